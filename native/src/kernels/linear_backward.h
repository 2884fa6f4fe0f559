// Gradients of the linear layer:  g = dy * act'(z);  dx = g W;  dW = g^T x;  db = column sums of g.
#pragma once
#include "linear.h"

namespace bpk::BPK_ISA {

// Rows are summed in chunks of fixed size, and the chunks in order: the result does not depend on the threads.
constexpr int64_t bias_chunk = 128;

// g for `rows` rows from row0 on, added up over the rows into `sums` when not null.
template <class T>
void activation_gradient_rows(const LinearBackward& call, int64_t row0, int64_t rows, T* gradient, float* sums) {
  const int64_t width = is_gated(call.activation) ? call.out_features / 2 : call.out_features;
  const T* z = static_cast<const T*>(call.z);
  const T* dy = static_cast<const T*>(call.dy);
  for (int64_t row = row0; row < row0 + rows; ++row) {
    const auto emit = [&](int64_t column, VecF g, int64_t n) {
      if (gradient) store_some(gradient + row * call.out_features + column, g, n);
      if (sums) store_some(sums + column, (row == row0 ? zero() : load_some(sums + column, n)) + g, n);
    };
    for_lanes(width, [&](int64_t c, int64_t n) {
      const VecF d = load_some(dy + row * width + c, n);
      const T* zr = z + row * call.out_features + c;
      if (call.activation == Activation::none) {
        emit(c, d, n);
      } else if (call.activation == Activation::gelu) {
        emit(c, d * gelu_as<T>(load_some(zr, n)).gradient, n);
      } else {
        const VecF first = load_some(zr, n), second = load_some(zr + width, n);
        const ValueAndGradient act = call.activation == Activation::geglu ? gelu_as<T>(first) : silu_both(first);
        emit(c, d * second * act.gradient, n);
        emit(width + c, d * act.value, n);
      }
    });
  }
}

// All panels of a matrix by columns. The threads share its rows, so that each reads whole rows in order: a column alone
// would touch a page for every few of its elements.
template <class Step, class W>
void pack_columns_share(const W* matrix, int64_t inner, int64_t columns, uint32_t* panels, int thread, int threads) {
  constexpr int64_t slice = VecF::lanes * parts_of<Step>;
  const int64_t steps = padded_steps<Step>(inner);
  for_share(steps / slice, thread, threads, [&](int64_t i) {
    for (int64_t panel = 0; panel < panels_of_columns(columns); ++panel) {
      const int64_t column = panel * panel_width;
      pack_panel_of_columns<Step>(panels + panel * steps * panel_width, matrix + column, columns, inner,
                                  columns - column, i * slice, slice);
    }
  });
}

template <class T>
void linear_backward_of(const LinearBackward& call) {
  using Engine = typename EngineFor<T>::Type;
  using Step = typename Engine::Step;
  const bool has_activation = call.activation != Activation::none;
  const int64_t tokens = call.tokens, in = call.in_features, out = call.out_features;
  const GemmShape dx_shape{tokens, panels_of_columns(in), padded_steps<Step>(out)};
  const GemmShape dw_shape{out, panels_of_columns(in), padded_steps<Step>(tokens)};
  const int64_t chunks = ceil_divide(tokens, bias_chunk);

  T* gradient = has_activation ? scratch<T>(gradient_slot, tokens * out) : nullptr;
  float* partial = call.dbias ? scratch<float>(partial_slot, chunks * out) : nullptr;
  uint32_t* weight_panels =
      call.dx ? scratch<uint32_t>(panels_slot, dx_shape.panels * dx_shape.steps * panel_width) : nullptr;
  uint32_t* x_panels =
      call.dweight ? scratch<uint32_t>(transposed_slot, dw_shape.panels * dw_shape.steps * panel_width) : nullptr;
  const T* g = has_activation ? gradient : static_cast<const T*>(call.dy);
  TaskCounter chunk_counter, dx_counter, dw_counter;
  PackingGate gate;

  parallel_team(product_cost(tokens, in, out), [&](int thread, int threads) {
    if (weight_panels) {
      if (call.weight_dtype == DType::f32)
        pack_columns_share<Step>(static_cast<const float*>(call.weight), out, in, weight_panels, thread, threads);
      else pack_columns_share<Step>(static_cast<const bf16*>(call.weight), out, in, weight_panels, thread, threads);
    }
    if (x_panels) pack_columns_share<Step>(static_cast<const T*>(call.x), tokens, in, x_panels, thread, threads);
    if (gradient || partial) {
      for (int64_t chunk; (chunk = chunk_counter.take()) < chunks;) {
        const int64_t row0 = chunk * bias_chunk;
        activation_gradient_rows<T>(call, row0, min_of(bias_chunk, tokens - row0), gradient,
                                    partial ? partial + chunk * out : nullptr);
      }
    }
    gate.wait_for(threads);
    if (partial) {
      for_share(ceil_divide(out, VecF::lanes), thread, threads, [&](int64_t group) {
        const int64_t column = group * VecF::lanes, n = out - column;
        VecF sum = zero();
        for (int64_t chunk = 0; chunk < chunks; ++chunk) sum = sum + load_some(partial + chunk * out + column, n);
        store_some(call.dbias + column, sum, n);
      });
    }
    if (weight_panels) {
      const RowSource<Step, T> source{g, out, out};
      multiply<Engine>(dx_shape, threads, dx_counter, source, weight_panels,
                       PlainEpilogue<T>{static_cast<T*>(call.dx), in});
    }
    if (x_panels) {
      const ColumnSource<Step, T> source{g, out, tokens};
      multiply<Engine>(dw_shape, threads, dw_counter, source, x_panels, PlainEpilogue<float, true>{call.dweight, in});
    }
  });
}

inline void linear_backward(const LinearBackward& call) {
  if (call.tokens <= 0) {
    if (call.dweight) std::memset(call.dweight, 0, sizeof(float) * size_t(call.in_features * call.out_features));
    if (call.dbias) std::memset(call.dbias, 0, sizeof(float) * size_t(call.out_features));
    return;
  }
  if (call.dtype == DType::f32) linear_backward_of<float>(call);
  else linear_backward_of<bf16>(call);
}

}  // namespace bpk::BPK_ISA
