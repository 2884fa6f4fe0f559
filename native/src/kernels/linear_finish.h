// What happens to a finished tile of a linear layer while it is in the L1 cache: bias, activation, rounding, storing.
#pragma once
#include "elementwise.h"
#include "gemm_engine.h"
#include "kernels.h"

namespace bpk::BPK_ISA {

// Stores a tile as it is: the gradients.
template <class T>
struct PlainFinish {
  T* out;
  int64_t columns;

  void operator()(const float* tile, int64_t row0, int rows, int64_t panel) const {
    const int64_t column = panel * panel_width, left = columns - column;
    for (int i = 0; i < rows; ++i, tile += panel_width) {
      T* to = out + (row0 + i) * columns + column;
      store_some(to, load(tile), left);
      store_some(to + VecF::lanes, load(tile + VecF::lanes), left - VecF::lanes);
    }
  }
};

// Turns sums into pre-activations; the int8 layers put their scales here.
struct NoScale {
  BPK_INLINE VecF operator()(const float* sums, int64_t, int64_t, int64_t) const { return load(sums); }
};

// y = act(scale(sums) + bias), and z before the activation when asked for. In a gated layer the two halves of a panel
// hold the same columns of the two halves of the weight.
template <class T, class Scale = NoScale>
struct LinearFinish {
  T* y;
  T* z;
  const float* bias;
  int64_t out_features;
  Activation activation;
  Scale scale{};

  void operator()(const float* tile, int64_t row0, int rows, int64_t panel) const {
    switch (activation) {
      case Activation::none: return plain(tile, row0, rows, panel, [](VecF v) { return v; });
      case Activation::gelu: return plain(tile, row0, rows, panel, [](VecF v) { return gelu(v); });
      case Activation::geglu: return gated(tile, row0, rows, panel, [](VecF v) { return gelu(v); });
      case Activation::swiglu: return gated(tile, row0, rows, panel, [](VecF v) { return silu(v); });
    }
  }

 private:
  static constexpr int lanes = VecF::lanes;

  BPK_INLINE VecF bias_at(int64_t column, int64_t count) const { return bias ? load_partial(bias + column, count) : zero(); }

  template <class Act>
  BPK_INLINE void plain(const float* tile, int64_t row0, int rows, int64_t panel, const Act& act) const {
    for (int half = 0; half < 2; ++half) {
      const int64_t column = panel * panel_width + half * lanes, count = out_features - column;
      if (count <= 0) return;
      const VecF b = bias_at(column, count);
      for (int i = 0; i < rows; ++i) {
        const VecF v = scale(tile + i * panel_width + half * lanes, row0 + i, column, count) + b;
        const int64_t at = (row0 + i) * out_features + column;
        if (z) store_some(z + at, v, count);
        store_some(y + at, act(v), count);
      }
    }
  }

  template <class Act>
  BPK_INLINE void gated(const float* tile, int64_t row0, int rows, int64_t panel, const Act& act) const {
    const int64_t width = out_features / 2, column = panel * lanes, count = width - column;
    const VecF first_bias = bias_at(column, count), second_bias = bias_at(width + column, count);
    for (int i = 0; i < rows; ++i, tile += panel_width) {
      const VecF first = scale(tile, row0 + i, column, count) + first_bias;
      const VecF second = scale(tile + lanes, row0 + i, width + column, count) + second_bias;
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
