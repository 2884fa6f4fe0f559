// VecF, VecI and Mask on AVX2 with FMA (8 lanes); see vec.h.
#pragma once

namespace bpk::BPK_ISA {

struct VecF {
  static constexpr int lanes = 8;
  __m256 value;
};
struct VecI {
  __m256i value;
};
struct Mask {
  __m256i bits;  // all ones or all zeros per lane
};

BPK_INLINE VecF zero() { return {_mm256_setzero_ps()}; }
BPK_INLINE VecF set(float x) { return {_mm256_set1_ps(x)}; }

BPK_INLINE VecI iota() { return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)}; }
BPK_INLINE Mask first_lanes(int64_t n) {
  const int count = int(min_of<int64_t>(max_of<int64_t>(n, 0), 8));
  return {_mm256_cmpgt_epi32(_mm256_set1_epi32(count), iota().value)};
}

// Widens 8 bf16 held in a 128-bit register.
BPK_INLINE VecF widen(__m128i x) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16))};
}

// The rounded bf16 in the upper half of each lane.
BPK_INLINE __m256i rounded_bits(VecF v) {
  const __m256i bits = _mm256_castps_si256(v.value);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v.value, v.value, _CMP_UNORD_Q));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  return _mm256_blendv_epi8(rounded, quiet, nan);
}

BPK_INLINE __m128i narrow(VecF v) {
  const __m256i high = _mm256_srli_epi32(rounded_bits(v), 16);
  const __m256i packed = _mm256_packus_epi32(high, high);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}

BPK_INLINE VecF round_bf16(VecF v) {
  return {_mm256_castsi256_ps(_mm256_and_si256(rounded_bits(v), _mm256_set1_epi32(int(0xffff0000))))};
}

BPK_INLINE VecF load(const float* p) { return {_mm256_loadu_ps(p)}; }
BPK_INLINE VecF load(const bf16* p) { return widen(_mm_loadu_si128((const __m128i*)p)); }
BPK_INLINE VecF load_partial(const float* p, int64_t n) { return {_mm256_maskload_ps(p, first_lanes(n).bits)}; }
BPK_INLINE VecF load_partial(const bf16* p, int64_t n) {
  alignas(16) bf16 copy[8] = {};
  for (int64_t i = 0; i < n && i < 8; ++i) copy[i] = p[i];
  return load(copy);
}
BPK_INLINE void store(float* p, VecF v) { _mm256_storeu_ps(p, v.value); }
BPK_INLINE void store(bf16* p, VecF v) { _mm_storeu_si128((__m128i*)p, narrow(v)); }
BPK_INLINE void store_partial(float* p, VecF v, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n).bits, v.value); }
BPK_INLINE void store_partial(bf16* p, VecF v, int64_t n) {
  alignas(16) bf16 copy[8];
  store(copy, v);
  for (int64_t i = 0; i < n && i < 8; ++i) p[i] = copy[i];
}

BPK_INLINE VecF operator+(VecF a, VecF b) { return {_mm256_add_ps(a.value, b.value)}; }
BPK_INLINE VecF operator-(VecF a, VecF b) { return {_mm256_sub_ps(a.value, b.value)}; }
BPK_INLINE VecF operator*(VecF a, VecF b) { return {_mm256_mul_ps(a.value, b.value)}; }
BPK_INLINE VecF operator/(VecF a, VecF b) { return {_mm256_div_ps(a.value, b.value)}; }
BPK_INLINE VecF fma(VecF a, VecF b, VecF c) { return {_mm256_fmadd_ps(a.value, b.value, c.value)}; }
BPK_INLINE VecF fnma(VecF a, VecF b, VecF c) { return {_mm256_fnmadd_ps(a.value, b.value, c.value)}; }
BPK_INLINE VecF fms(VecF a, VecF b, VecF c) { return {_mm256_fmsub_ps(a.value, b.value, c.value)}; }
BPK_INLINE VecF max(VecF a, VecF b) { return {_mm256_max_ps(a.value, b.value)}; }
BPK_INLINE VecF min(VecF a, VecF b) { return {_mm256_min_ps(a.value, b.value)}; }
BPK_INLINE VecF abs(VecF a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.value)}; }
BPK_INLINE VecF sqrt(VecF a) { return {_mm256_sqrt_ps(a.value)}; }
BPK_INLINE VecF round(VecF a) { return {_mm256_round_ps(a.value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
// To 12 bits; and in full by a division, which is as cheap as two refinements here.
BPK_INLINE VecF approximate_reciprocal(VecF a) { return {_mm256_rcp_ps(a.value)}; }
BPK_INLINE VecF refine_reciprocal(VecF a, VecF) { return {_mm256_div_ps(_mm256_set1_ps(1.0f), a.value)}; }
BPK_INLINE VecF copy_sign(VecF size, VecF sign) {
  const __m256 minus = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_and_ps(minus, sign.value), _mm256_andnot_ps(minus, size.value))};
}

BPK_INLINE Mask less(VecF a, VecF b) { return {_mm256_castps_si256(_mm256_cmp_ps(a.value, b.value, _CMP_LT_OQ))}; }
BPK_INLINE VecF select(Mask m, VecF yes, VecF no) {
  return {_mm256_blendv_ps(no.value, yes.value, _mm256_castsi256_ps(m.bits))};
}
BPK_INLINE bool any(Mask m) { return _mm256_movemask_epi8(m.bits) != 0; }

BPK_INLINE float reduce_add(VecF v) {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(v.value), _mm256_extractf128_ps(v.value, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
BPK_INLINE float reduce_max(VecF v) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(v.value), _mm256_extractf128_ps(v.value, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

// Two steps, because 2^n itself may overflow where v * 2^n does not. n must lie within [-252, 254].
BPK_INLINE VecF scale_by_power(VecF v, VecF n) {
  const __m256i power = _mm256_cvtps_epi32(n.value);
  const __m256i half = _mm256_srai_epi32(power, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i one = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i two = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(power, half), bias), 23);
  return {_mm256_mul_ps(_mm256_mul_ps(v.value, _mm256_castsi256_ps(one)), _mm256_castsi256_ps(two))};
}
BPK_INLINE VecF floor(VecF x) { return {_mm256_round_ps(x.value, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
// x = floor(x) + fraction(x), and v * 2^floor(x): the two halves of a base-two exponential.
BPK_INLINE VecF fraction(VecF x) {
  const VecF clamped = max(set(-250.0f), min(set(250.0f), x));  // also keeps infinity - infinity away
  return clamped - floor(clamped);
}
BPK_INLINE VecF scale_by_floor(VecF v, VecF x) {
  return scale_by_power(v, floor(max(set(-250.0f), min(set(250.0f), x))));
}

BPK_INLINE VecI set_int(uint32_t x) { return {_mm256_set1_epi32(int(x))}; }
BPK_INLINE VecI load_int(const uint32_t* p) { return {_mm256_loadu_si256((const __m256i*)p)}; }
BPK_INLINE VecI operator+(VecI a, VecI b) { return {_mm256_add_epi32(a.value, b.value)}; }
BPK_INLINE VecI operator^(VecI a, VecI b) { return {_mm256_xor_si256(a.value, b.value)}; }
BPK_INLINE VecI operator*(VecI a, VecI b) { return {_mm256_mullo_epi32(a.value, b.value)}; }
template <int bits>
BPK_INLINE VecI shift_right(VecI a) { return {_mm256_srli_epi32(a.value, bits)}; }
BPK_INLINE Mask at_least(VecI a, VecI b) {
  return {_mm256_cmpeq_epi32(_mm256_max_epu32(a.value, b.value), a.value)};
}

BPK_INLINE Mask lane_range(int64_t begin, int64_t end) {
  return {_mm256_andnot_si256(first_lanes(begin).bits, first_lanes(end).bits)};
}

// x1 x0 x3 x2 ...
BPK_INLINE VecF swap_neighbours(VecF v) { return {_mm256_permute_ps(v.value, 0xb1)}; }
// p0 p0 p1 p1 ..., reading at most n floats.
BPK_INLINE VecF load_doubled(const float* p, int64_t n) {
  const VecF half = load_partial(p, min_of<int64_t>(n, 4));
  return {_mm256_permutevar8x32_ps(half.value, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3))};
}
// a*b - c in even lanes and a*b + c in odd ones; the other way round when inverse.
template <bool inverse>
BPK_INLINE VecF rotate_pairs(VecF a, VecF b, VecF c) {
  return {inverse ? _mm256_fmsubadd_ps(a.value, b.value, c.value) : _mm256_fmaddsub_ps(a.value, b.value, c.value)};
}

class DoubleSum {
 public:
  BPK_INLINE void add_squares(VecF v) {
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v.value));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(v.value, 1));
    low_ = _mm256_fmadd_pd(low, low, low_);
    high_ = _mm256_fmadd_pd(high, high, high_);
  }
  double total() const {
    const __m256d sum = _mm256_add_pd(low_, high_);
    const __m128d pair = _mm_add_pd(_mm256_castpd256_pd128(sum), _mm256_extractf128_pd(sum, 1));
    return _mm_cvtsd_f64(pair) + _mm_cvtsd_f64(_mm_unpackhi_pd(pair, pair));
  }

 private:
  __m256d low_ = _mm256_setzero_pd(), high_ = _mm256_setzero_pd();
};

// Rows become columns in place.
BPK_INLINE void transpose(VecF (&rows)[8]) {
  __m256 t[8], u[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(rows[i].value, rows[i + 1].value);
    t[i + 1] = _mm256_unpackhi_ps(rows[i].value, rows[i + 1].value);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[i].value = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
    rows[i + 4].value = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
  }
}

}  // namespace bpk::BPK_ISA
