// Steps: the matrix kernels see the inner dimension in units of four bytes, whatever the element type. One step holds
// one f32, two bf16 or four int8, so that packing, blocking and the register kernel are written once for all of them.
//
//   Step::width                          elements per step
//   Step::load_along(p, n)               VecF::lanes consecutive steps of a row; elements from n on count as zero
//   Step::load_across(p, ld, rows, n)    one step of VecF::lanes columns: `width` rows, ld apart; missing ones are zero
//   Step::multiply_add(a, b, sum)        sum + a b over the elements of the step, per lane
//
// A VecF carries the steps as bits; sums are f32, or int32 for the integer steps.
#pragma once
#include "math.h"
#include "vec.h"

namespace bpk::BPK_ISA {

// In how many parts an element is held; the parts of a step block follow each other (gemm_split.h).
template <class Step>
constexpr int parts_of = 1;

BPK_INLINE VecF load_bits(const void* p) { return load(static_cast<const float*>(p)); }
BPK_INLINE void store_bits(void* p, VecF v) { store(static_cast<float*>(p), v); }

struct FloatStep {
  static constexpr int width = 1;

  template <class T>
  static BPK_INLINE VecF load_along(const T* p, int64_t n) {
    return load_some(p, n);
  }
  template <class T>
  static BPK_INLINE VecF load_across(const T* p, int64_t, int64_t rows, int64_t n) {
    return rows > 0 ? load_some(p, n) : zero();
  }
  static BPK_INLINE VecF multiply_add(VecF a, VecF b, VecF sum) { return fma(a, b, sum); }
};

#ifdef __AVX512BF16__
struct Bf16Step {
  static constexpr int width = 2;

  static BPK_INLINE VecF load_along(const bf16* p, int64_t n) {
    if (n >= 32) return load_bits(p);
    const __mmask32 mask = (1u << max_of<int64_t>(n, 0)) - 1;
    return {_mm512_castsi512_ps(_mm512_maskz_loadu_epi16(mask, p))};
  }
  static BPK_INLINE VecF load_along(const float* p, int64_t n) {
    const VecF low = load_some(p, n), high = n > 16 ? load_some(p + 16, n - 16) : zero();
    return {_mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(high.value, low.value))};
  }
  static BPK_INLINE VecF load_across(const bf16* p, int64_t ld, int64_t rows, int64_t n) {
    const __mmask16 mask = first_lanes(n).bits;
    const __m256i low = rows > 0 ? _mm256_maskz_loadu_epi16(mask, p) : _mm256_setzero_si256();
    const __m256i high = rows > 1 ? _mm256_maskz_loadu_epi16(mask, p + ld) : _mm256_setzero_si256();
    return pair(low, high);
  }
  static BPK_INLINE VecF load_across(const float* p, int64_t ld, int64_t rows, int64_t n) {
    const VecF low = rows > 0 ? load_some(p, n) : zero();
    const VecF high = rows > 1 ? load_some(p + ld, n) : zero();
    return pair(narrow(low), narrow(high));
  }
  static BPK_INLINE VecF multiply_add(VecF a, VecF b, VecF sum) {
    return {_mm512_dpbf16_ps(sum.value, (__m512bh)a.value, (__m512bh)b.value)};
  }

 private:
  static BPK_INLINE VecF pair(__m256i low, __m256i high) {
    const __m512i upper = _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16);
    return {_mm512_castsi512_ps(_mm512_or_si512(_mm512_cvtepu16_epi32(low), upper))};
  }
};
#endif

}  // namespace bpk::BPK_ISA
