// The vector layer: kernels are written once against VecF (floats), VecI (32-bit unsigned) and Mask, and compiled once
// per instruction set.
//
// A translation unit defines BPK_ISA (the namespace all kernels of that unit live in, so that no symbol compiled with
// AVX-512 can be linked into another unit) and is compiled with the flags of its set:
//   avx2         -mavx2 -mfma -mbmi2
//   avx512       the above and -mavx512f -mavx512bw -mavx512dq -mavx512vl
//   avx512_bf16  the above and -mavx512bf16
//   amx          the above and -mamx-tile -mamx-bf16 -mamx-int8
//
// What a kernel may use (P is const float* or const bf16*, n a count of elements, 0 or less means none):
//   VecF::lanes, zero(), set(float), load(P), load_partial(P, n) [missing lanes are 0], store(p, v), store_partial(p, v, n)
//   + - * / on VecF;  fma(a,b,c) = a*b+c;  fnma(a,b,c) = c-a*b;  fms(a,b,c) = a*b-c
//   max min abs sqrt round copy_sign;  max and min return b when either operand is NaN
//   less(a,b), first_lanes(n) -> Mask;  select(mask, yes, no)
//   reduce_add reduce_max;  transpose(VecF[lanes]);  scale_by_power(v, n) = v * 2^n for whole n
//   lane_range(a,b) -> Mask of lanes a..b-1;  swap_neighbours, load_doubled, rotate_pairs, for rotary pairs (2j, 2j+1)
//   VecI: set_int, iota(), load_int, ^ + *, shift_right<n>, at_least(a,b) -> Mask (unsigned)
//   DoubleSum: add_squares(v), total(), for sums in f64;  with_type(dtype, [&](auto tag) { using T = decltype(tag); ... })
//   round_bf16(v): the float that a store to bf16 would leave;  to_bf16 / to_float for single values
//   exp, gelu, ... are in math.h
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels.h"

#ifndef BPK_ISA
#error "define BPK_ISA before including a kernel header"
#endif

#define BPK_INLINE inline __attribute__((always_inline))
#define BPK_INLINE_LAMBDA __attribute__((always_inline))  // between a lambda's parameters and its body

namespace bpk::BPK_ISA {

struct bf16 {
  uint16_t bits;
};

BPK_INLINE float to_float(float x) { return x; }
BPK_INLINE float to_float(bf16 x) { return __builtin_bit_cast(float, uint32_t(x.bits) << 16); }

// Rounds to nearest even and keeps NaN a NaN.
BPK_INLINE bf16 to_bf16(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  if (x != x) return {uint16_t(bits >> 16 | 0x40)};
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

BPK_INLINE void store(float* p, float x) { *p = x; }
BPK_INLINE void store(bf16* p, float x) { *p = to_bf16(x); }

template <class T>
BPK_INLINE T min_of(T a, T b) { return b < a ? b : a; }
template <class T>
BPK_INLINE T max_of(T a, T b) { return a < b ? b : a; }
BPK_INLINE int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace bpk::BPK_ISA

#ifdef __AVX512F__
#include "vec_avx512.h"
#else
#include "vec_avx2.h"
#endif

namespace bpk::BPK_ISA {

// Calls body(i, n) for each group of lanes in [0, size): n is VecF::lanes except perhaps for the last group.
template <class Body>
BPK_INLINE void for_lanes(int64_t size, const Body& body) {
  int64_t i = 0;
  for (; i + VecF::lanes <= size; i += VecF::lanes) body(i, VecF::lanes);
  if (i < size) body(i, int(size - i));
}

// load and store where n is VecF::lanes or a remainder; the branch is the same for a whole row, hence predicted.
template <class T>
BPK_INLINE VecF load_some(const T* p, int64_t n) { return n >= VecF::lanes ? load(p) : load_partial(p, n); }
template <class T>
BPK_INLINE void store_some(T* p, VecF v, int64_t n) {
  if (n >= VecF::lanes) store(p, v);
  else store_partial(p, v, n);
}

// body(float{}) or body(bf16{}): the one place where a run-time type becomes a compile-time one.
template <class Body>
BPK_INLINE void with_type(DType type, const Body& body) {
  if (type == DType::bf16) body(bf16{});
  else body(float{});
}

// The value that remains after a store in the type of `p`.
BPK_INLINE VecF round_like(const float*, VecF v) { return v; }
BPK_INLINE VecF round_like(const bf16*, VecF v) { return round_bf16(v); }

}  // namespace bpk::BPK_ISA
