// Picks the kernel table for this machine, among those that were compiled.
#include <cstdlib>

#include "kernels/isa.h"
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

// By Isa; null where the build left an instruction set out.
constexpr const Kernels* tables[isa_count] = {
    nullptr,
#ifdef BPK_HAS_AVX2
    &avx2_kernels,
#else
    nullptr,
#endif
#ifdef BPK_HAS_AVX512
    &avx512_kernels,
#else
    nullptr,
#endif
#ifdef BPK_HAS_AVX512_BF16
    &avx512_bf16_kernels,
#else
    nullptr,
#endif
#ifdef BPK_HAS_AMX
    &amx_kernels,
#else
    nullptr,
#endif
};

Isa wanted_isa() {
  static const Isa wanted = [] {
    const char* mask = std::getenv("BERT_KERNELS_ISA");
    return best_isa(mask ? isa_of_name(mask) : isa_amx);
  }();
  return wanted;
}

}  // namespace

const char* wanted_kernels() { return isa_names[wanted_isa()]; }

bool has_kernels(const char* isa) { return tables[isa_of_name(isa)] != nullptr; }

const Kernels* select_kernels() {
  int isa = wanted_isa();
  while (isa > isa_none && !tables[isa]) isa--;
  return tables[isa];
}

}  // namespace bpk
