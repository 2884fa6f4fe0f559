#!/bin/bash
# Builds the C++ tests once per instruction set that this machine has, under ASan and UBSan, and runs them.
#   native/tests/run.sh [test ...]     SANITIZE=0 switches the sanitizers off; BUILD_DIR chooses where the programs go
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD_DIR:-$(mktemp -d)}
compiler=${CXX:-g++}
mkdir -p "$build"
[ -n "${BUILD_DIR:-}" ] || trap 'rm -rf "$build"' EXIT

avx2="-mavx2 -mfma -mbmi2"
avx512="$avx2 -mavx512f -mavx512bw -mavx512dq -mavx512vl"
avx512_bf16="$avx512 -mavx512bf16 -mavx512vnni"
amx="$avx512_bf16 -mamx-tile -mamx-bf16 -mamx-int8"
emulated_amx="$amx -include $here/emulated_tiles.h"
sets=(avx2)
grep -qw avx512bw /proc/cpuinfo && sets+=(avx512)
grep -qw avx512_bf16 /proc/cpuinfo && sets+=(avx512_bf16)
if grep -qw amx_bf16 /proc/cpuinfo; then
  sets+=(amx)
elif grep -qw avx512_bf16 /proc/cpuinfo; then
  sets+=(emulated_amx)
fi

tests=("$@")
if [ ${#tests[@]} = 0 ]; then
  for file in "$here"/test_*.cpp; do
    name=$(basename "$file" .cpp)
    tests+=("${name#test_}")
  done
fi

flags=(-std=c++20 -fopenmp -fno-math-errno -Wall -Wextra -Wno-unknown-pragmas -Wno-uninitialized -Wno-maybe-uninitialized -I "$here/../src" -I "$here")
if [ "${SANITIZE:-1}" = 1 ]; then flags+=(-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all); else flags+=(-O3 -g1); fi

build_one() {
  local name=$1 set=$2
  "$compiler" "${flags[@]}" ${!set} -DBPK_ISA="${set#emulated_}" "$here/test_$name.cpp" -o "$build/$name-$set"
}

# Without tiles there is nothing to emulate.
sets_of() {
  for set in "${sets[@]}"; do
    [ "$set" = emulated_amx ] && ! grep -q may_use_tiles "$here/test_$1.cpp" || echo "$set"
  done
}

running=0
for name in "${tests[@]}"; do
  for set in $(sets_of "$name"); do
    build_one "$name" "$set" &
    running=$((running + 1))
    if [ $running -ge "${JOBS:-$(nproc)}" ]; then wait -n; running=$((running - 1)); fi
  done
done
while [ $running -gt 0 ]; do wait -n; running=$((running - 1)); done

# The four programs of a test run side by side: most of their time goes into single-threaded references.
failed=0
for name in "${tests[@]}"; do
  programs=()
  for set in $(sets_of "$name"); do
    OMP_NUM_THREADS=${OMP_NUM_THREADS:-4} "$build/$name-$set" &
    programs+=($!)
  done
  for program in "${programs[@]}"; do wait "$program" || failed=1; done
done
exit $failed
