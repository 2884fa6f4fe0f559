// The linear layer, y = act(x W^T + b): weight packing and the forward pass. The backward pass is in linear_backward.h.
#pragma once
#include "gemm.h"
#include "gemm_split.h"
#include "linear_epilogue.h"

namespace bpk::BPK_ISA {

// f32 products for f32 activations. For bf16: tiles, or the bf16 dot product, or else f32 after widening.
#if defined(__AMX_TILE__)
using FloatEngine = SplitTileEngine;
using Bf16Engine = TileEngine<Bf16Tiles>;
#elif defined(__AVX512BF16__)
using FloatEngine = VectorEngine<FloatStep>;
using Bf16Engine = VectorEngine<Bf16Step>;
#else
using FloatEngine = VectorEngine<FloatStep>;
using Bf16Engine = FloatEngine;
#endif

template <class T>
struct EngineFor;
template <>
struct EngineFor<float> {
  using Type = FloatEngine;
};
template <>
struct EngineFor<bf16> {
  using Type = Bf16Engine;
};

inline int64_t panels_of_columns(int64_t columns) { return ceil_divide(columns, panel_width); }

// Panels of a weight: in a gated layer each serves VecF::lanes outputs, with the rows of both halves side by side.
inline int64_t panels_of_weight(int64_t out_features, Activation activation) {
  return is_gated(activation) ? ceil_divide(out_features / 2, VecF::lanes) : panels_of_columns(out_features);
}

inline size_t packed_bytes(int64_t in_features, int64_t out_features, DType dtype, Activation activation) {
  const int64_t steps =
      dtype == DType::f32 ? padded_steps<FloatEngine::Step>(in_features) : padded_steps<Bf16Engine::Step>(in_features);
  return size_t(panels_of_weight(out_features, activation) * steps) * panel_width * 4;
}

// The row of the weight that column j of a panel holds, or -1.
inline int64_t weight_row(int64_t panel, int j, int64_t out_features, Activation activation) {
  if (!is_gated(activation)) {
    const int64_t row = panel * panel_width + j;
    return row < out_features ? row : -1;
  }
  const int64_t half = out_features / 2, column = panel * VecF::lanes + j % VecF::lanes;
  return column < half ? j / VecF::lanes * half + column : -1;
}

template <class Step, class W>
void pack_weight_share(const W* weight, int64_t in_features, int64_t out_features, Activation activation,
                       uint32_t* panels, int thread, int threads) {
  const int64_t panel_size = padded_steps<Step>(in_features) * panel_width;
  for_share(panels_of_weight(out_features, activation), thread, threads, [&](int64_t panel) {
    pack_panel_of_rows<Step>(panels + panel * panel_size, in_features, [&](int j) -> const W* {
      const int64_t row = weight_row(panel, j, out_features, activation);
      return row < 0 ? nullptr : weight + row * in_features;
    });
  });
}

template <class Step>
void pack_any_weight_share(const void* weight, DType dtype, int64_t in_features, int64_t out_features,
                           Activation activation, uint32_t* panels, int thread, int threads) {
  if (dtype == DType::f32)
    pack_weight_share<Step>(static_cast<const float*>(weight), in_features, out_features, activation, panels, thread,
                            threads);
  else
    pack_weight_share<Step>(static_cast<const bf16*>(weight), in_features, out_features, activation, panels, thread,
                            threads);
}

inline void pack_weight(const PackWeight& call) {
  parallel_team(call.in_features * call.out_features, [&](int thread, int threads) {
    auto* panels = static_cast<uint32_t*>(call.packed);
    if (call.dtype == DType::f32)
      pack_any_weight_share<FloatEngine::Step>(call.weight, call.weight_dtype, call.in_features, call.out_features,
                                       call.activation, panels, thread, threads);
    else
      pack_any_weight_share<Bf16Engine::Step>(call.weight, call.weight_dtype, call.in_features, call.out_features,
                                              call.activation, panels, thread, threads);
  });
}

// The work of a product in units of parallel_team's cost.
inline int64_t product_cost(int64_t a, int64_t b, int64_t c) { return a * b / 16 * c / 2; }

template <class T>
void linear_forward_of(const LinearForward& call) {
  using Engine = typename EngineFor<T>::Type;
  using Step = typename Engine::Step;
  const GemmShape shape{call.tokens, panels_of_weight(call.out_features, call.activation),
                        padded_steps<Step>(call.in_features)};
  const RowSource<Step, T> source{static_cast<const T*>(call.x), call.in_features, call.in_features};
  const LinearEpilogue<T> epilogue{static_cast<T*>(call.y), static_cast<T*>(call.z), call.bias, call.out_features,
                               call.activation};
  auto* packed = static_cast<const uint32_t*>(call.packed);
  uint32_t* fresh = packed ? nullptr : scratch<uint32_t>(panels_slot, shape.panels * shape.steps * panel_width);
  TaskCounter counter;
  PackingGate gate;
  parallel_team(product_cost(call.tokens, call.in_features, call.out_features), [&](int thread, int threads) {
    if (fresh) {
      pack_any_weight_share<Step>(call.weight, call.weight_dtype, call.in_features, call.out_features, call.activation,
                                  fresh, thread, threads);
      gate.wait_for(threads);
    }
    multiply<Engine>(shape, threads, counter, source, packed ? packed : fresh, epilogue);
  });
}

inline void linear_forward(const LinearForward& call) {
  if (call.tokens <= 0) return;
  if (call.dtype == DType::f32) linear_forward_of<float>(call);
  else linear_forward_of<bf16>(call);
}

}  // namespace bpk::BPK_ISA
