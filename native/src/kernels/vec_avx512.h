// VecF, VecI and Mask on AVX-512 (16 lanes); see vec.h.
#pragma once

namespace bpk::BPK_ISA {

struct VecF {
  static constexpr int lanes = 16;
  __m512 value;
};
struct VecI {
  __m512i value;
};
struct Mask {
  __mmask16 bits;
};

BPK_INLINE VecF zero() { return {_mm512_setzero_ps()}; }
BPK_INLINE VecF set(float x) { return {_mm512_set1_ps(x)}; }

BPK_INLINE Mask first_lanes(int64_t n) { return {__mmask16((1u << min_of<int64_t>(max_of<int64_t>(n, 0), 16)) - 1)}; }

// Widens 16 bf16 held in a 256-bit register.
BPK_INLINE VecF widen(__m256i x) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16))};
}

BPK_INLINE __m256i narrow(VecF v) {
#ifdef __AVX512BF16__
  return (__m256i)_mm512_cvtneps_pbh(v.value);
#else
  const __m512i bits = _mm512_castps_si512(v.value);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(v.value, v.value, _CMP_UNORD_Q);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16));
#endif
}

BPK_INLINE VecF load(const float* p) { return {_mm512_loadu_ps(p)}; }
BPK_INLINE VecF load(const bf16* p) { return widen(_mm256_loadu_si256((const __m256i*)p)); }
BPK_INLINE VecF load_partial(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n).bits, p)}; }
BPK_INLINE VecF load_partial(const bf16* p, int64_t n) {
  return widen(_mm256_maskz_loadu_epi16(first_lanes(n).bits, p));
}
BPK_INLINE void store(float* p, VecF v) { _mm512_storeu_ps(p, v.value); }
BPK_INLINE void store(bf16* p, VecF v) { _mm256_storeu_si256((__m256i*)p, narrow(v)); }
BPK_INLINE void store_partial(float* p, VecF v, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n).bits, v.value); }
BPK_INLINE void store_partial(bf16* p, VecF v, int64_t n) {
  _mm256_mask_storeu_epi16(p, first_lanes(n).bits, narrow(v));
}
BPK_INLINE VecF round_bf16(VecF v) { return widen(narrow(v)); }

BPK_INLINE VecF operator+(VecF a, VecF b) { return {_mm512_add_ps(a.value, b.value)}; }
BPK_INLINE VecF operator-(VecF a, VecF b) { return {_mm512_sub_ps(a.value, b.value)}; }
BPK_INLINE VecF operator*(VecF a, VecF b) { return {_mm512_mul_ps(a.value, b.value)}; }
BPK_INLINE VecF operator/(VecF a, VecF b) { return {_mm512_div_ps(a.value, b.value)}; }
BPK_INLINE VecF fma(VecF a, VecF b, VecF c) { return {_mm512_fmadd_ps(a.value, b.value, c.value)}; }
BPK_INLINE VecF fnma(VecF a, VecF b, VecF c) { return {_mm512_fnmadd_ps(a.value, b.value, c.value)}; }
BPK_INLINE VecF fms(VecF a, VecF b, VecF c) { return {_mm512_fmsub_ps(a.value, b.value, c.value)}; }
BPK_INLINE VecF max(VecF a, VecF b) { return {_mm512_max_ps(a.value, b.value)}; }
BPK_INLINE VecF min(VecF a, VecF b) { return {_mm512_min_ps(a.value, b.value)}; }
BPK_INLINE VecF abs(VecF a) { return {_mm512_abs_ps(a.value)}; }
BPK_INLINE VecF sqrt(VecF a) { return {_mm512_sqrt_ps(a.value)}; }
BPK_INLINE VecF round(VecF a) { return {_mm512_roundscale_ps(a.value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
// To 14 bits, and from there to all but the last.
BPK_INLINE VecF approximate_reciprocal(VecF a) { return {_mm512_rcp14_ps(a.value)}; }
BPK_INLINE VecF refine_reciprocal(VecF a, VecF guess) { return fma(guess, fnma(a, guess, {_mm512_set1_ps(1.0f)}), guess); }
BPK_INLINE VecF copy_sign(VecF size, VecF sign) {
  const __m512i minus = _mm512_set1_epi32(int(0x80000000));
  const __m512i from = _mm512_castps_si512(sign.value), to = _mm512_castps_si512(size.value);
  return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(minus, from, to, 0xca))};  // minus ? from : to, bit by bit
}

BPK_INLINE Mask less(VecF a, VecF b) { return {_mm512_cmp_ps_mask(a.value, b.value, _CMP_LT_OQ)}; }
BPK_INLINE VecF select(Mask m, VecF yes, VecF no) { return {_mm512_mask_mov_ps(no.value, m.bits, yes.value)}; }
BPK_INLINE bool any(Mask m) { return m.bits != 0; }

BPK_INLINE float reduce_add(VecF v) { return _mm512_reduce_add_ps(v.value); }
BPK_INLINE float reduce_max(VecF v) { return _mm512_reduce_max_ps(v.value); }

BPK_INLINE VecF scale_by_power(VecF v, VecF n) { return {_mm512_scalef_ps(v.value, n.value)}; }
// x = floor(x) + fraction(x), and v * 2^floor(x): the two halves of a base-two exponential.
BPK_INLINE VecF fraction(VecF x) { return {_mm512_reduce_ps(x.value, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
BPK_INLINE VecF scale_by_floor(VecF v, VecF x) { return {_mm512_scalef_ps(v.value, x.value)}; }

BPK_INLINE VecI set_int(uint32_t x) { return {_mm512_set1_epi32(int(x))}; }
BPK_INLINE VecI iota() { return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }
BPK_INLINE VecI load_int(const uint32_t* p) { return {_mm512_loadu_si512(p)}; }
BPK_INLINE VecI operator+(VecI a, VecI b) { return {_mm512_add_epi32(a.value, b.value)}; }
BPK_INLINE VecI operator^(VecI a, VecI b) { return {_mm512_xor_si512(a.value, b.value)}; }
BPK_INLINE VecI operator*(VecI a, VecI b) { return {_mm512_mullo_epi32(a.value, b.value)}; }
template <int bits>
BPK_INLINE VecI shift_right(VecI a) { return {_mm512_srli_epi32(a.value, bits)}; }
BPK_INLINE Mask at_least(VecI a, VecI b) { return {_mm512_cmpge_epu32_mask(a.value, b.value)}; }

BPK_INLINE Mask lane_range(int64_t begin, int64_t end) {
  return {__mmask16(first_lanes(end).bits & ~first_lanes(begin).bits)};
}

// x1 x0 x3 x2 ...
BPK_INLINE VecF swap_neighbours(VecF v) { return {_mm512_permute_ps(v.value, 0xb1)}; }
// p0 p0 p1 p1 ..., reading at most n floats.
BPK_INLINE VecF load_doubled(const float* p, int64_t n) {
  const __m256 half = _mm256_maskz_loadu_ps(__mmask8(first_lanes(n).bits), p);
  const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  return {_mm512_permutexvar_ps(twice, _mm512_castps256_ps512(half))};
}
// a*b - c in even lanes and a*b + c in odd ones; the other way round when inverse.
template <bool inverse>
BPK_INLINE VecF rotate_pairs(VecF a, VecF b, VecF c) {
  return {inverse ? _mm512_fmsubadd_ps(a.value, b.value, c.value) : _mm512_fmaddsub_ps(a.value, b.value, c.value)};
}

class DoubleSum {
 public:
  BPK_INLINE void add_squares(VecF v) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v.value));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v.value, 1));
    low_ = _mm512_fmadd_pd(low, low, low_);
    high_ = _mm512_fmadd_pd(high, high, high_);
  }
  double total() const { return _mm512_reduce_add_pd(_mm512_add_pd(low_, high_)); }

 private:
  __m512d low_ = _mm512_setzero_pd(), high_ = _mm512_setzero_pd();
};

// Rows become columns in place.
BPK_INLINE void transpose(VecF (&rows)[16]) {
  __m512 t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(rows[i].value, rows[i + 1].value);
    t[i + 1] = _mm512_unpackhi_ps(rows[i].value, rows[i + 1].value);
  }
  __m512 u[16];
  const auto pairs = [](__m512 x) { return _mm512_castps_pd(x); };
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    u[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(pairs(t[i]), pairs(t[i + 2])));
    u[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(pairs(t[i]), pairs(t[i + 2])));
    u[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(pairs(t[i + 1]), pairs(t[i + 3])));
    u[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(pairs(t[i + 1]), pairs(t[i + 3])));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(u[i], u[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(u[i], u[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[i].value = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
    rows[i + 8].value = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    rows[i + 4].value = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
    rows[i + 12].value = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

}  // namespace bpk::BPK_ISA
