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

template <class T>
BPK_INLINE void copy_row(const T* x, T* y, int64_t size) {
  constexpr int64_t step = VecF::lanes * int64_t(sizeof(float) / sizeof(T));  // a whole register, whatever it holds
  int64_t i = 0;
  for (; i + step <= size; i += step)
    store(reinterpret_cast<float*>(y + i), load(reinterpret_cast<const float*>(x + i)));
  for (; i < size; i += VecF::lanes) store_some(y + i, load_some(x + i, size - i), size - i);
}

// Asks for rows that will be written. They are far apart in memory, beyond what the hardware prefetches, and stores that
// miss fill the store buffer and stop everything.
template <class T>
inline void prefetch_for_write(const T* x, int64_t stride, int64_t count, int64_t size) {
  for (int64_t r = 0; r < count; ++r) {
    const char* row = reinterpret_cast<const char*>(x + r * stride);
    for (int64_t byte = 0; byte < size * int64_t(sizeof(T)); byte += 64) asm volatile("prefetchw %0" ::"m"(row[byte]));
  }
}

// Copies `count` rows, the first of them at `position` of its sequence, to rows of `padded_size` elements, and fills what
// is between the copied part and [padded_count, padded_size] with zeros.
template <class From, class To>
inline void gather_rows(const From* x, int64_t stride, int64_t position, int64_t count, int64_t padded_count, int64_t size,
                        int64_t padded_size, const Rotation& rotation, To* out) {
  for (int64_t r = 0; r < count; ++r) {
    const From* from = x + (position + r) * stride;
    To* row = out + r * padded_size;
    if constexpr (sizeof(From) == sizeof(To)) {
      if (rotation.cosines) move_row<false>(from, row, size, rotation, position + r, 1.0f);
      else copy_row(from, row, size);
    } else {
      move_row<false>(from, row, size, rotation, position + r, 1.0f);
    }
    for (int64_t i = size; i < padded_size; ++i) row[i] = To{};
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
