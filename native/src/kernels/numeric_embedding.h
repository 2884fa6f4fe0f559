// What the numbers of a row add to the embeddings of their cells' tokens: a running sum of ramps, and a part of the next.
#pragma once
#include "threads.h"

namespace bpk::BPK_ISA {

// The product as MLX rounds it: the compiler would fuse it with the sum that it becomes part of.
BPK_INLINE VecF unfused_product(VecF a, VecF b) {
  VecF product = a * b;
  asm("" : "+x"(product.value));
  return product;
}

// below[f, k] = weight[f, 0] + ... + weight[f, k - 1]
inline float* sum_ramps_below(const NumericEmbedding& args) {
  const int64_t size = args.ramps * args.width;
  float* below = scratch<float>(0, args.numbers * size);
  for (int64_t f = 0; f < args.numbers; ++f) {
    const float* weight = args.weight + f * size;
    float* sums = below + f * size;
    std::memset(sums, 0, size_t(args.width) * sizeof(float));
    for (int64_t i = args.width; i < size; ++i) sums[i] = sums[i - args.width] + weight[i - args.width];
  }
  return below;
}

template <class T>
inline void numeric_embedding_typed(const NumericEmbedding& args) {
  const float* below = sum_ramps_below(args);
  const int64_t width = args.width;
  const auto embed = [&](int64_t token, int64_t number, float value) {
    T* y = static_cast<T*>(args.y) + token * width;
    if (!(value == value)) return for_lanes(width, [&](int64_t i, int n) { store_some(y + i, zero(), n); });
    const float place = min_of(max_of(value, 0.0f), 1.0f) * float(args.ramps);
    const int64_t ramp = min_of(int64_t(place), args.ramps - 1);
    const VecF part = round_like(y, set(place - float(ramp)));
    const int64_t at = (number * args.ramps + ramp) * width;
    for_lanes(width, [&](int64_t i, int n) {
      const VecF start = round_like(y, load_some(below + at + i, n));
      const VecF slope = round_like(y, load_some(args.weight + at + i, n));
      store_some(y + i, start + round_like(y, unfused_product(part, slope)), n);
    });
  };
  parallel_ranges(args.tokens, args.tokens * width, [&](int64_t begin, int64_t end) {
    int64_t row = 0;
    for (int64_t token = begin; token < end; ++token) {
      while (row < args.sequences && args.cu_seqlens[row + 1] <= token) ++row;
      const int64_t number = args.number_of_token[args.ids[token]];
      const bool has_number = row < args.sequences && number < args.numbers;
      embed(token, number, has_number ? args.values[row * args.numbers + number] : __builtin_nanf(""));
    }
  });
}

inline void numeric_embedding(const NumericEmbedding& args) {
  with_type(args.dtype, [&](auto tag) { numeric_embedding_typed<decltype(tag)>(args); });
}

}  // namespace bpk::BPK_ISA
