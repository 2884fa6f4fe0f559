// Picks the kernel table for this machine. Compiled for baseline x86-64: it must run before anything is known.
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "kernels/kernels.h"

namespace bpk {

#ifdef BPK_HAS_AVX2
extern const Kernels avx2_kernels;
#endif
#ifdef BPK_HAS_AVX512
extern const Kernels avx512_kernels;
#endif
#ifdef BPK_HAS_AVX512_BF16
extern const Kernels avx512_bf16_kernels;
#endif
#ifdef BPK_HAS_AMX
extern const Kernels amx_kernels;
#endif

namespace {

// Each level includes all below it. The builtins also ask XGETBV whether the system saves the registers.
enum Level { no_level, avx2_level, avx512_level, avx512_bf16_level, amx_level };

// Linux grants the 8 KB of tile state per process and only on request (containers and old kernels refuse).
bool request_tiles() {
#if defined(SYS_arch_prctl)
  constexpr int request_permission = 0x1023;
  constexpr int tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

bool cpu_has_amx() {
  constexpr unsigned bf16 = 1u << 22, tile = 1u << 24, int8 = 1u << 25;
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  return (edx & (bf16 | tile | int8)) == (bf16 | tile | int8);
}

Level level_of_cpu() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return no_level;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return avx2_level;
  if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vnni")) return avx512_level;
  return cpu_has_amx() ? amx_level : avx512_bf16_level;
}

Level level_of_name(const char* name) {
  if (!name) return amx_level;
  if (!std::strcmp(name, "avx2")) return avx2_level;
  if (!std::strcmp(name, "avx512")) return avx512_level;
  if (!std::strcmp(name, "avx512_bf16")) return avx512_bf16_level;
  return amx_level;
}

const Kernels* select() {
  const Level cpu = level_of_cpu();
  const Level mask = level_of_name(std::getenv("BERT_KERNELS_ISA"));
  const Level level = cpu < mask ? cpu : mask;
  (void)level;
#ifdef BPK_HAS_AMX
  if (level >= amx_level && request_tiles()) return &amx_kernels;
#endif
#ifdef BPK_HAS_AVX512_BF16
  if (level >= avx512_bf16_level) return &avx512_bf16_kernels;
#endif
#ifdef BPK_HAS_AVX512
  if (level >= avx512_level) return &avx512_kernels;
#endif
#ifdef BPK_HAS_AVX2
  if (level >= avx2_level) return &avx2_kernels;
#endif
  return nullptr;
}

}  // namespace

const Kernels* select_kernels() {
  static const Kernels* const kernels = select();
  return kernels;
}

}  // namespace bpk
