// The instruction sets, and which of them this machine has. Compiled for baseline x86-64: it runs before anything is known.
#pragma once
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

namespace bpk {

// Each includes all before it.
enum Isa { isa_none, isa_avx2, isa_avx512, isa_avx512_bf16, isa_amx, isa_count };

inline constexpr const char* isa_names[isa_count] = {"none", "avx2", "avx512", "avx512_bf16", "amx"};

// None for a name that no instruction set has.
inline Isa isa_of_name(const char* name) {
  int isa = isa_amx;
  while (isa > isa_none && std::strcmp(name, isa_names[isa])) isa--;
  return static_cast<Isa>(isa);
}

// Linux grants the 8 KB of tile state per process and only on request (containers and old kernels refuse).
inline bool request_tiles() {
#if defined(SYS_arch_prctl)
  constexpr int request_permission = 0x1023;
  constexpr int tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

inline bool cpu_has_amx() {
  constexpr unsigned bf16 = 1u << 22, tile = 1u << 24, int8 = 1u << 25;
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  return (edx & (bf16 | tile | int8)) == (bf16 | tile | int8);
}

// The best instruction set of this CPU up to `most`. The builtins also ask XGETBV whether the system saves the registers;
// tiles are requested only where they would be used.
inline Isa best_isa(Isa most = isa_amx) {
  __builtin_cpu_init();
  if (most < isa_avx2 || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return isa_none;
  if (most < isa_avx512 || !__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return isa_avx2;
  if (most < isa_avx512_bf16 || !__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vnni"))
    return isa_avx512;
  return most >= isa_amx && cpu_has_amx() && request_tiles() ? isa_amx : isa_avx512_bf16;
}

}  // namespace bpk
