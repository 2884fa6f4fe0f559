// Random bits as a pure function of (seed, row, column), so that the backward pass repeats the forward's mask.
//
// A row of the array gets two 32-bit keys from a strong 64-bit mixer; each element then costs one integer hash of its
// column under those keys (the multipliers are those of Wellons' low-bias 32-bit hash).
#pragma once
#include "vec.h"

namespace bpk::BPK_ISA {

struct RandomKeys {
  uint32_t first, second;
};

// The finaliser of SplitMix64 (Steele, Lea and Flood 2014), applied twice.
inline RandomKeys random_keys(const uint32_t* seed, uint64_t row) {
  uint64_t x = (uint64_t(seed[0]) << 32 | seed[1]) + (row + 1) * 0x9e3779b97f4a7c15u;
  for (int i = 0; i < 2; ++i) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
  }
  return {uint32_t(x), uint32_t(x >> 32)};
}

BPK_INLINE VecI random_bits(VecI column, VecI first, VecI second) {
  VecI x = column + first;
  x = (x ^ shift_right<16>(x)) * set_int(0x21f0aaad);
  x = x ^ second;
  x = (x ^ shift_right<15>(x)) * set_int(0x735a2d97);
  return x ^ shift_right<15>(x);
}

// Keeps an element with probability 1 - p and scales what is kept, so that the expectation stays.
class DropoutMask {
 public:
  explicit DropoutMask(float probability)
      : threshold_(probability >= 1 ? 0xffffffffu : uint32_t(double(max_of(probability, 0.0f)) * 4294967296.0)),
        scale_(probability >= 1 ? 0.0f : 1.0f / (1.0f - probability)) {}

  BPK_INLINE VecF apply(VecF x, VecI column, VecI first, VecI second) const {
    const Mask keep = at_least(random_bits(column, first, second), set_int(threshold_));
    return select(keep, x * set(scale_), zero());
  }

  // For elements column, column + 1, ... of one row.
  BPK_INLINE VecF apply(VecF x, uint32_t column, RandomKeys keys) const {
    return apply(x, set_int(column) + iota(), set_int(keys.first), set_int(keys.second));
  }

 private:
  uint32_t threshold_;
  float scale_;
};

}  // namespace bpk::BPK_ISA
