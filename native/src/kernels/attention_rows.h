// Moving the rows of one head between the packed [tokens, 3 * heads * head_size] array and working buffers, with rotary
// position embedding (RoPE) applied on the way in and undone, as its transpose, on the way out.
#pragma once
#include "vec.h"

namespace bpk::BPK_ISA {

struct Rotation {
  const float* cosines;  // [positions, head_size / 2], null for none
  const float* sines;
  bool interleaved;
};

constexpr Rotation kNoRotation = {nullptr, nullptr, false};

// Rotates pairs (j, j + half) of one row.
template <bool inverse, class From, class To>
BPK_INLINE void rotate_halves(const From* x, To* y, const float* cosines, const float* sines, int64_t half, VecF scale) {
  for_lanes(half, [&](int64_t j, int n) {
    const VecF a = load_some(x + j, n) * scale, b = load_some(x + half + j, n) * scale;
    const VecF c = load_some(cosines + j, n), s = load_some(sines + j, n);
    store_some(y + j, inverse ? fma(a, c, b * s) : fms(a, c, b * s), n);
    store_some(y + half + j, inverse ? fms(b, c, a * s) : fma(b, c, a * s), n);
  });
}

// Rotates pairs (2j, 2j + 1) of one row.
template <bool inverse, class From, class To>
BPK_INLINE void rotate_neighbours(const From* x, To* y, const float* cosines, const float* sines, int64_t size, VecF scale) {
  for_lanes(size, [&](int64_t i, int n) {
    const VecF v = load_some(x + i, n) * scale;
    const VecF c = load_doubled(cosines + i / 2, n / 2), s = load_doubled(sines + i / 2, n / 2);
    store_some(y + i, rotate_pairs<inverse>(v, c, swap_neighbours(v) * s), n);
  });
}

template <bool inverse, class From, class To>
BPK_INLINE void move_row(const From* x, To* y, int64_t size, const Rotation& rotation, int64_t position, float scale) {
  const VecF factor = set(scale);
  const int64_t half = size / 2;
  if (!rotation.cosines) {
    for_lanes(size, [&](int64_t i, int n) { store_some(y + i, load_some(x + i, n) * factor, n); });
  } else if (rotation.interleaved) {
    rotate_neighbours<inverse>(x, y, rotation.cosines + position * half, rotation.sines + position * half, size, factor);
  } else {
    rotate_halves<inverse>(x, y, rotation.cosines + position * half, rotation.sines + position * half, half, factor);
  }
}

// Copies `count` rows, the first of them at `position` of its sequence, to rows of `padded_size` elements, and fills what
// is between the copied part and [padded_count, padded_size] with zeros.
template <class From, class To>
inline void gather_rows(const From* x, int64_t stride, int64_t position, int64_t count, int64_t padded_count, int64_t size,
                        int64_t padded_size, const Rotation& rotation, To* out) {
  for (int64_t r = 0; r < count; ++r) {
    To* row = out + r * padded_size;
    move_row<false>(x + (position + r) * stride, row, size, rotation, position + r, 1.0f);
    if (padded_size > size) std::memset(static_cast<void*>(row + size), 0, size_t(padded_size - size) * sizeof(To));
  }
  if (padded_count > count)
    std::memset(static_cast<void*>(out + count * padded_size), 0, size_t((padded_count - count) * padded_size) * sizeof(To));
}

// The transpose of gather_rows, times `scale`.
template <class To>
inline void scatter_rows(const float* x, int64_t padded_size, int64_t position, int64_t count, int64_t size,
                         const Rotation& rotation, float scale, To* out, int64_t stride) {
  for (int64_t r = 0; r < count; ++r)
    move_row<true>(x + r * padded_size, out + (position + r) * stride, size, rotation, position + r, scale);
}

}  // namespace bpk::BPK_ISA
