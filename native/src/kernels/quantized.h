// Linear layers on weights quantized in MLX's affine layout: groups along a row share a scale and an offset, values of
// 4 or 8 bits fill 32-bit words from the low end. The weight is widened while it is packed, so the products are those
// of linear.h.
#pragma once
#include "linear.h"

namespace bpk::BPK_ISA {

constexpr int run_length = 16;  // values that are widened at a time; groups are 32, 64 or 128 long

// The values of a run, a byte each.
template <int bits>
BPK_INLINE __m128i bytes_of_run(const uint32_t* words) {
  if (bits == 8) return _mm_loadu_si128((const __m128i*)words);
  const __m128i pairs = _mm_loadl_epi64((const __m128i*)words), low = _mm_set1_epi8(0x0f);
  return _mm_unpacklo_epi8(_mm_and_si128(pairs, low), _mm_and_si128(_mm_srli_epi16(pairs, 4), low));
}

BPK_INLINE void widen_run(__m128i bytes, VecF scale, VecF offset, float* to) {
#ifdef __AVX512F__
  store(to, fma(VecF{_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))}, scale, offset));
#else
  store(to, fma(VecF{_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))}, scale, offset));
  store(to + 8, fma(VecF{_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))}, scale, offset));
#endif
}

// Widens values [begin, begin + count) of one row; begin and count are multiples of a run.
template <int bits, class S>
inline void dequantize(const QuantizedLinear& call, int64_t row, int64_t begin, int64_t count, float* to) {
  constexpr int per_word = 32 / bits;
  const int shift = __builtin_ctz(unsigned(call.group_size));  // dividing would take longer than the rest
  const uint32_t* words = call.weight + row * (call.in_features / per_word);
  const int64_t first_group = row * (call.in_features >> shift);
  for (int64_t i = begin; i < begin + count; i += run_length, to += run_length) {
    const int64_t group = first_group + (i >> shift);
    const VecF scale = set(to_float(static_cast<const S*>(call.scales)[group]));
    const VecF offset = set(to_float(static_cast<const S*>(call.biases)[group]));
    widen_run(bytes_of_run<bits>(words + i / per_word), scale, offset, to);
  }
}

inline void dequantize(const QuantizedLinear& call, int64_t row, int64_t begin, int64_t count, float* to) {
  const bool is_f32 = call.scale_dtype == DType::f32;
  if (call.bits == 4)
    is_f32 ? dequantize<4, float>(call, row, begin, count, to) : dequantize<4, bf16>(call, row, begin, count, to);
  else is_f32 ? dequantize<8, float>(call, row, begin, count, to) : dequantize<8, bf16>(call, row, begin, count, to);
}

template <class T>
void quantized_linear_of(const QuantizedLinear& call) {
  using Engine = typename EngineFor<T>::Type;
  using Step = typename Engine::Step;
  const int64_t in = call.in_features, out = call.out_features;
  const GemmShape shape{call.tokens, panels_of_columns(out), padded_steps<Step>(in)};
  const RowSource<Step, T> source{static_cast<const T*>(call.x), in, in};
  const LinearEpilogue<T> epilogue{static_cast<T*>(call.y), nullptr, call.bias, out, Activation::none};
  uint32_t* panels = scratch<uint32_t>(panels_slot, shape.panels * shape.steps * panel_width);
  TaskCounter counter;
  PackingGate gate;
  parallel_team(product_cost(call.tokens, in, out), [&](int thread, int threads) {
    float* rows = scratch<float>(partial_slot, panel_width * in);
    for_share(shape.panels, thread, threads, [&](int64_t panel) {
      const int64_t row0 = panel * panel_width, count = min_of<int64_t>(panel_width, out - row0);
      for (int64_t i = 0; i < count; ++i) dequantize(call, row0 + i, 0, in, rows + i * in);
      pack_panel_of_rows<Step>(panels + panel * shape.steps * panel_width, in,
                               [&](int j) -> const float* { return j < count ? rows + j * in : nullptr; });
    });
    gate.wait_for(threads);
    multiply<Engine>(shape, threads, counter, source, panels, epilogue);
  });
}

// dx = dy W; a panel holds the same few columns of all rows of W.
template <class T>
void quantized_linear_backward_of(const QuantizedLinearBackward& backward) {
  using Engine = typename EngineFor<T>::Type;
  using Step = typename Engine::Step;
  const QuantizedLinear& call = backward.forward;
  const int64_t in = call.in_features, out = call.out_features;
  const GemmShape shape{call.tokens, panels_of_columns(in), padded_steps<Step>(out)};
  const RowSource<Step, T> source{static_cast<const T*>(backward.dy), out, out};
  const PlainEpilogue<T> epilogue{static_cast<T*>(backward.dx), in};
  uint32_t* panels = scratch<uint32_t>(panels_slot, shape.panels * shape.steps * panel_width);
  TaskCounter counter;
  PackingGate gate;
  parallel_team(product_cost(call.tokens, in, out), [&](int thread, int threads) {
    float* columns = scratch<float>(partial_slot, panel_width * out);
    for_share(shape.panels, thread, threads, [&](int64_t panel) {
      const int64_t column = panel * panel_width, count = min_of<int64_t>(panel_width, in - column);
      for (int64_t row = 0; row < out; ++row) dequantize(call, row, column, count, columns + row * panel_width);
      pack_panel_of_columns<Step>(panels + panel * shape.steps * panel_width, columns, panel_width, out, count, 0,
                                  shape.steps);
    });
    gate.wait_for(threads);
    multiply<Engine>(shape, threads, counter, source, panels, epilogue);
  });
}

inline void quantized_linear(const QuantizedLinear& call) {
  if (call.tokens <= 0) return;
  if (call.dtype == DType::f32) quantized_linear_of<float>(call);
  else quantized_linear_of<bf16>(call);
}

inline void quantized_linear_backward(const QuantizedLinearBackward& call) {
  if (call.forward.tokens <= 0) return;
  if (call.forward.dtype == DType::f32) quantized_linear_backward_of<float>(call);
  else quantized_linear_backward_of<bf16>(call);
}

}  // namespace bpk::BPK_ISA
