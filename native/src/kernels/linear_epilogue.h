// What happens to a finished tile of a linear layer while it is in the L1 cache: bias, activation, rounding, storing.
#pragma once
#include "elementwise.h"
#include "gemm_engine.h"
#include "kernels.h"
#include "linear_activation.h"

namespace bpk::BPK_ISA {

// Asks for the lines of an output tile while it is being computed: a store that misses the cache waits for the line.
template <class T>
BPK_INLINE void prefetch_tile(const T* out, int64_t ld, int rows) {
  for (int i = 0; i < rows; ++i, out += ld) _mm_prefetch(reinterpret_cast<const char*>(out), _MM_HINT_T1);
}

// One row of a tile; a bf16 row is one cache line and one store.
template <class T>
BPK_INLINE void store_pair(T* to, VecF low, VecF high, int64_t count) {
#ifdef __AVX512BF16__
  if constexpr (sizeof(T) == 2) {
    if (count >= panel_width) return _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high.value, low.value));
  }
#endif
  store_some(to, low, count);
  store_some(to + VecF::lanes, high, count - VecF::lanes);
}

// The same around the caches, for what is read much later: saves fetching the old lines, and leaves room for what is
// read soon. multiply() fences these stores.
template <class T>
BPK_INLINE void stream_pair(T* to, VecF low, VecF high, int64_t count) {
  const bool whole_lines = count >= panel_width && reinterpret_cast<uintptr_t>(to) % 64 == 0;
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 4) {
    if (whole_lines) {
      _mm512_stream_ps(to, low.value);
      return _mm512_stream_ps(to + VecF::lanes, high.value);
    }
  }
#endif
#ifdef __AVX512BF16__
  if constexpr (sizeof(T) == 2) {
    if (whole_lines)
      return _mm512_stream_si512(reinterpret_cast<__m512i*>(to), (__m512i)_mm512_cvtne2ps_pbh(high.value, low.value));
  }
#endif
  (void)whole_lines;
  store_pair(to, low, high, count);
}

// Stores a tile as it is: the gradients. Those of weights wait for the optimizer and are streamed.
template <class T, bool streams = false>
struct PlainEpilogue {
  T* out;
  int64_t columns;

  void prefetch(int64_t row0, int rows, int64_t panel) const {
    if (streams) return;
    const T* corner = out + row0 * columns + panel * panel_width;
    prefetch_tile(corner, columns, rows);
    if (sizeof(T) * panel_width > 64) prefetch_tile(corner + VecF::lanes, columns, rows);
  }

  void operator()(const float* tile, int64_t row0, int rows, int64_t panel) const {
    const int64_t column = panel * panel_width, left = columns - column;
    for (int i = 0; i < rows; ++i, tile += panel_width) {
      T* to = out + (row0 + i) * columns + column;
      const VecF low = load(tile), high = load(tile + VecF::lanes);
      streams ? stream_pair(to, low, high, left) : store_pair(to, low, high, left);
    }
  }
};

// Turns sums into pre-activations; the int8 layers put their scales here. of(column, count) holds what belongs to a vector
// of columns, for all rows of a tile.
struct NoScale {
  struct Columns {
    BPK_INLINE VecF operator()(const float* sums, int64_t) const { return load(sums); }
  };
  BPK_INLINE Columns of(int64_t, int64_t) const { return {}; }
};

// y = act(scale(sums) + bias), and z before the activation when asked for. In a gated layer the two halves of a panel
// hold the same columns of the two halves of the weight.
template <class T, class Scale = NoScale>
struct LinearEpilogue {
  T* y;
  T* z;
  const float* bias;
  int64_t out_features;
  Activation activation;
  Scale scale{};

  void prefetch(int64_t row0, int rows, int64_t panel) const {
    const bool halves = is_gated(activation);
    const int64_t width = halves ? out_features / 2 : out_features, column = panel * (halves ? lanes : panel_width);
    prefetch_tile(y + row0 * width + column, width, rows);
    if (!halves && sizeof(T) * panel_width > 64) prefetch_tile(y + row0 * width + column + lanes, width, rows);
    if (!z || !halves) return;
    prefetch_tile(z + row0 * out_features + column, out_features, rows);
    prefetch_tile(z + row0 * out_features + width + column, out_features, rows);
  }

  void operator()(const float* tile, int64_t row0, int rows, int64_t panel) const {
    switch (activation) {
      case Activation::none: return plain(tile, row0, rows, panel, [](VecF v) { return v; });
      case Activation::gelu: return plain(tile, row0, rows, panel, [](VecF v) { return gelu_as<T>(v).value; });
      case Activation::geglu: return gated(tile, row0, rows, panel, [](VecF v) { return gelu_as<T>(v).value; });
      case Activation::swiglu: return gated(tile, row0, rows, panel, [](VecF v) { return silu(v); });
    }
  }

 private:
  static constexpr int lanes = VecF::lanes;

  BPK_INLINE VecF bias_at(int64_t column, int64_t count) const {
    return bias ? load_partial(bias + column, count) : zero();
  }

  template <class Act>
  BPK_INLINE void plain(const float* tile, int64_t row0, int rows, int64_t panel, const Act& act) const {
    const int64_t column = panel * panel_width, count = out_features - column, second = column + lanes;
    const VecF low_bias = bias_at(column, count), high_bias = bias_at(second, count - lanes);
    const auto low_scale = scale.of(column, count), high_scale = scale.of(second, count - lanes);
    for (int i = 0; i < rows; ++i, tile += panel_width) {
      const VecF low = low_scale(tile, row0 + i) + low_bias;
      const VecF high = high_scale(tile + lanes, row0 + i) + high_bias;
      const int64_t at = (row0 + i) * out_features + column;
      if (z) stream_pair(z + at, low, high, count);
      store_pair(y + at, act(low), act(high), count);
    }
  }

  template <class Act>
  BPK_INLINE void gated(const float* tile, int64_t row0, int rows, int64_t panel, const Act& act) const {
    const int64_t width = out_features / 2, column = panel * lanes, count = width - column;
    const VecF first_bias = bias_at(column, count), second_bias = bias_at(width + column, count);
    const auto first_scale = scale.of(column, count), second_scale = scale.of(width + column, count);
    for (int i = 0; i < rows; ++i, tile += panel_width) {
      const VecF first = first_scale(tile, row0 + i) + first_bias;
      const VecF second = second_scale(tile + lanes, row0 + i) + second_bias;
      if (z) {
        T* to = z + (row0 + i) * out_features + column;
        store_some(to, first, count);
        store_some(to + width, second, count);
      }
      store_some(y + (row0 + i) * width + column, act(first) * second, count);
    }
  }
};

}  // namespace bpk::BPK_ISA
