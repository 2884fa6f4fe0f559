// Linear layers in int8 for inference. Weights are symmetric, one scale per row: w = w_scale * q. Activations are
// quantized per token as they arrive, to unsigned bytes with a zero point: x = x_scale * (q - zero). Hence
//   y = x_scale * w_scale * (sum of q_x q_w - zero * sum of q_w), where the second sum is known beforehand.
// Products are exact in int32: by tiles, by the int8 dot product, or else in pairs of int16.
#pragma once
#include "linear.h"

namespace bpk::BPK_ISA {

#ifdef __AVX512VNNI__
struct Int8Step {
  static constexpr int width = 4;

  static BPK_INLINE VecF load_along(const void* p, int64_t n) {
    if (n >= 64) return load_bits(p);
    const __mmask64 mask = (uint64_t(1) << max_of<int64_t>(n, 0)) - 1;
    return {_mm512_castsi512_ps(_mm512_maskz_loadu_epi8(mask, p))};
  }
  static BPK_INLINE VecF multiply_add(VecF a, VecF b, VecF sum) {
    const auto bits = [](VecF v) { return _mm512_castps_si512(v.value); };
    return {_mm512_castsi512_ps(_mm512_dpbusd_epi32(bits(sum), bits(a), bits(b)))};
  }
};
#else
struct Int8Step {
  static constexpr int width = 2;

  static BPK_INLINE VecF load_along(const uint8_t* p, int64_t n) { return widen_bytes(p, n); }
  static BPK_INLINE VecF load_along(const int8_t* p, int64_t n) { return widen_bytes(p, n); }
#ifdef __AVX512F__
  static BPK_INLINE VecF multiply_add(VecF a, VecF b, VecF sum) {
    const auto bits = [](VecF v) { return _mm512_castps_si512(v.value); };
    return {_mm512_castsi512_ps(_mm512_add_epi32(bits(sum), _mm512_madd_epi16(bits(a), bits(b))))};
  }
#else
  static BPK_INLINE VecF multiply_add(VecF a, VecF b, VecF sum) {
    const auto bits = [](VecF v) { return _mm256_castps_si256(v.value); };
    return {_mm256_castsi256_ps(_mm256_add_epi32(bits(sum), _mm256_madd_epi16(bits(a), bits(b))))};
  }
#endif

 private:
  template <class Byte>
  static BPK_INLINE VecF widen_bytes(const Byte* p, int64_t n) {
    int16_t wide[2 * VecF::lanes] = {};
    const int64_t count = min_of<int64_t>(n, 2 * VecF::lanes);
    for (int64_t i = 0; i < count; ++i) wide[i] = p[i];
    return load_bits(wide);
  }
};
#endif

#ifdef __AMX_INT8__
struct Int8Tiles {
  using Step = Int8Step;
  static BPK_INLINE void products_upper() {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
  }
  static BPK_INLINE void products_lower() {
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
};
using Int8Engine = TileEngine<Int8Tiles>;
#else
using Int8Engine = VectorEngine<Int8Step>;
#endif

BPK_INLINE VecF from_int(VecF bits) {
#ifdef __AVX512F__
  return {_mm512_cvtepi32_ps(_mm512_castps_si512(bits.value))};
#else
  return {_mm256_cvtepi32_ps(_mm256_castps_si256(bits.value))};
#endif
}

// The packed weight: scales and sums of the rows, then the panels.
struct PackedInt8 {
  float* scales;
  float* sums;
  uint32_t* panels;

  static int64_t padded_rows(int64_t out_features) { return round_up(out_features, 2 * panel_width); }
  static PackedInt8 at(void* packed, int64_t out_features) {
    auto* floats = static_cast<float*>(packed);
    const int64_t rows = padded_rows(out_features);
    return {floats, floats + rows, static_cast<uint32_t*>(packed) + 2 * rows};
  }
};

// One size for all activations: a gated weight may need one panel more.
inline size_t packed_int8_bytes(int64_t in_features, int64_t out_features) {
  const int64_t rows = PackedInt8::padded_rows(out_features);
  const int64_t panels = panels_of_columns(out_features) + 1;
  return size_t(2 * rows + panels * padded_steps<Int8Step>(in_features) * panel_width) * 4;
}

inline void pack_int8(const PackInt8& call) {
  const PackedInt8 packed = PackedInt8::at(call.packed, call.out_features);
  const int64_t in = call.in_features, panel_size = padded_steps<Int8Step>(in) * panel_width;
  parallel_team(call.in_features * call.out_features, [&](int thread, int threads) {
    int8_t* rows = scratch<int8_t>(partial_slot, panel_width * in);
    for_share(panels_of_weight(call.out_features, call.activation), thread, threads, [&](int64_t panel) {
      int64_t row_of[panel_width];
      for (int j = 0; j < panel_width; ++j) {
        const int64_t row = row_of[j] = weight_row(panel, j, call.out_features, call.activation);
        if (row < 0) continue;
        const float* w = call.weight + row * in;
        float largest = 0;
        for (int64_t i = 0; i < in; ++i) largest = max_of(largest, __builtin_fabsf(w[i]));
        const float inverse = largest > 0 ? 127 / largest : 0;
        int32_t sum = 0;
        for (int64_t i = 0; i < in; ++i) sum += rows[j * in + i] = int8_t(__builtin_rintf(w[i] * inverse));
        packed.scales[row] = largest / 127;
        packed.sums[row] = float(sum);
      }
      pack_panel_of_rows<Int8Step>(packed.panels + panel * panel_size, in,
                                   [&](int j) -> const int8_t* { return row_of[j] < 0 ? nullptr : rows + j * in; });
    });
  });
}

// Stores whole numbers between 0 and 255.
BPK_INLINE void store_bytes(uint8_t* to, VecF v, int64_t n) {
#ifdef __AVX512F__
  _mm_mask_storeu_epi8(to, first_lanes(n).bits, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v.value)));
#else
  float values[VecF::lanes];
  store(values, v);
  for (int64_t j = 0; j < n; ++j) to[j] = uint8_t(int(values[j]));
#endif
}

struct QuantizedRow {
  float scale, zero;
};

// The range always contains zero, so that padding and dropped activations stay exact.
template <class T>
QuantizedRow quantize_row(const T* x, int64_t size, uint8_t* to) {
  VecF low = zero(), high = zero(), taint = zero();
  for_lanes(size, [&](int64_t i, int64_t n) {
    const VecF v = load_some(x + i, n);
    low = min(v, low);
    high = max(v, high);
    taint = fma(v, zero(), taint);  // NaN where v is NaN or infinite
  });
  const float smallest = -reduce_max(zero() - low), largest = reduce_max(high);
  const float scale = (largest - smallest) / 255, inverse = scale > 0 ? 1 / scale : 0;
  const float offset = __builtin_rintf(-smallest * inverse);
  for_lanes(size, [&](int64_t i, int64_t n) {
    const VecF q = max(zero(), min(set(255.0f), round(fma(load_some(x + i, n), set(inverse), set(offset)))));
    store_bytes(to + i, q, n);
  });
  return {scale + reduce_add(taint), offset};
}

struct Int8Scale {
  const QuantizedRow* tokens;
  const float* scales;
  const float* sums;

  struct Columns {
    const QuantizedRow* tokens;
    VecF scales, sums;

    BPK_INLINE VecF operator()(const float* products, int64_t token) const {
      const QuantizedRow row = tokens[token];
      return fnma(set(row.zero), sums, from_int(load(products))) * (set(row.scale) * scales);
    }
  };

  BPK_INLINE Columns of(int64_t column, int64_t count) const {
    return {tokens, load_partial(scales + column, count), load_partial(sums + column, count)};
  }
};

template <class T>
void int8_linear_of(const Int8Linear& call) {
  const int64_t in = call.in_features, tokens = call.tokens;
  const PackedInt8 packed = PackedInt8::at(const_cast<void*>(call.packed), call.out_features);
  const GemmShape shape{tokens, panels_of_weight(call.out_features, call.activation), padded_steps<Int8Step>(in)};
  uint8_t* quantized = scratch<uint8_t>(gradient_slot, tokens * in);
  QuantizedRow* rows = scratch<QuantizedRow>(transposed_slot, tokens);
  const RowSource<Int8Step, uint8_t> source{quantized, in, in};
  const Int8Scale scale{rows, packed.scales, packed.sums};
  T* y = static_cast<T*>(call.y);
  const LinearEpilogue<T, Int8Scale> epilogue{y, nullptr, call.bias, call.out_features, call.activation, scale};
  TaskCounter counter;
  PackingGate gate;
  parallel_team(product_cost(tokens, in, call.out_features), [&](int thread, int threads) {
    for_share(tokens, thread, threads, [&](int64_t token) {
      rows[token] = quantize_row(static_cast<const T*>(call.x) + token * in, in, quantized + token * in);
    });
    gate.wait_for(threads);
    multiply<Int8Engine>(shape, threads, counter, source, packed.panels, epilogue);
  });
}

inline void int8_linear(const Int8Linear& call) {
  if (call.tokens <= 0) return;
  if (call.dtype == DType::f32) int8_linear_of<float>(call);
  else int8_linear_of<bf16>(call);
}

}  // namespace bpk::BPK_ISA
