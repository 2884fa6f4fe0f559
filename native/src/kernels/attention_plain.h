// Block products for attention in f32 on vector registers: the engine for f32, and for bf16 without AMX.
//
// An engine says in which type blocks are held (Element), to which multiples they are padded, and how to multiply them.
// The right-hand operand of a product comes in two forms: `across` contracts over the width of a head (the keys in
// q k^T), `along` contracts over tokens (the values in p v).
#pragma once
#include "vec.h"

namespace bpk::BPK_ISA {

class PlainEngine {
 public:
  using Element = float;
  static constexpr int64_t token_step = VecF::lanes;  // blocks hold a multiple of this many tokens
  static constexpr int64_t width_step = VecF::lanes;  // and rows a multiple of this many elements
  static constexpr int64_t depth_step = 1;            // a product contracts over a multiple of this many tokens
  static constexpr int64_t row_step = 2;              // and has a multiple of this many rows in the backward pass
  static constexpr int64_t strip = 24;                // rows of scores in work at a time in the backward pass; even
  static constexpr int64_t forward_strip = 24;
  static constexpr int64_t key_block = 64;
  static constexpr int64_t query_block = 64;
  static constexpr int64_t backward_key_block = 96;

  struct Operand {  // element (k, n) is data[k * stride + n]
    const float* data;
    int64_t stride;
    Operand columns(int64_t n) const { return {data + n, stride}; }
    Operand depth(int64_t k) const { return {data + k * stride, stride}; }
  };

  static void begin_thread() {}
  static void end_thread() {}

  static constexpr bool packs_along = false;  // rows of tokens already are what is needed

  // Operands that lie packed in memory.
  static Operand across(const float* packed, int64_t tokens, int64_t) { return {packed, tokens}; }
  static Operand along(const float* packed, int64_t width) { return {packed, width}; }

  static Operand pack_across(const float* rows, int64_t tokens, int64_t width, float* out) {
    constexpr int lanes = VecF::lanes;
    for (int64_t t = 0; t < tokens; t += lanes)
      for (int64_t d = 0; d < width; d += lanes) {
        VecF block[lanes];
        for (int i = 0; i < lanes; ++i) block[i] = load(rows + (t + i) * width + d);
        transpose(block);
        for (int i = 0; i < lanes; ++i) store(out + (d + i) * tokens + t, block[i]);
      }
    return across(out, tokens, width);
  }

  static Operand pack_along(const float* rows, int64_t, int64_t width, float*) { return {rows, width}; }

  // c (+)= a b for `rows` rows of a with `depth` elements each and `columns` columns of b.
  template <bool accumulate>
  static void product(int64_t rows, int64_t depth, const float* a, int64_t a_stride, Operand b, int64_t columns, float* c,
                      int64_t c_stride) {
    product_strided<accumulate>(rows, depth, a, a_stride, 1, b, columns, c, c_stride);
  }

  // A product that can be taken in steps; on vector registers there is nothing to gain from that.
  template <bool accumulate>
  struct Product {
    int64_t rows, depth;
    const float* a;
    int64_t a_stride;
    Operand b;
    int64_t columns;
    float* c;
    int64_t c_stride;

    void step() { complete(); }
    void complete() {
      if (columns) product<accumulate>(rows, depth, a, a_stride, b, columns, c, c_stride);
      columns = 0;
    }
  };

  // One row of probabilities, two registers at a time.
  BPK_INLINE static void store_run(float* p, VecF first, VecF second) {
    store(p, first);
    store(p + VecF::lanes, second);
  }

  // Two rows of probabilities.
  BPK_INLINE static void store_pair(float* p, int64_t stride, VecF first, VecF second) {
    store(p, first);
    store(p + stride, second);
  }

  // The gradient of the queries, dq[query] += sum over keys of ds[key][query] k[key]: here, strip by strip of keys.
  class QueryGradient {
   public:
    static constexpr int64_t score_size = 0;  // elements of `scores` needed below
    static int64_t along_size(int64_t) { return 0; }
    static int64_t keys_size(int64_t) { return 0; }

    // `sums` holds tokens * width zeros.
    QueryGradient(float* sums, int64_t, int64_t width) : sums_(sums), width_(width) {}

    void begin_key_block(const float* rows, int64_t, float*) { rows_ = rows; }
    void begin_query_block(float*, bool) {}

    // Two rows of score gradients, for keys `key` and key + 1 of the block and queries from `query` of the block.
    BPK_INLINE void store_pair(int64_t, int64_t, float* p, int64_t stride, VecF first, VecF second) const {
      PlainEngine::store_pair(p, stride, first, second);
    }
    void complete_strip(int64_t key, int64_t keys, const float* scores, int64_t stride, int64_t query,
                        int64_t queries) const {
      const Operand rows = {rows_ + key * width_, width_};
      product_strided<true>(queries, keys, scores, 1, stride, rows, width_, sums_ + query * width_, width_);
    }
    void complete_query_block(int64_t, int64_t) const {}

    // token_step rows of the result, in `out` or in place.
    const float* rows(int64_t query, float*) const { return sums_ + query * width_; }

   private:
    float* sums_;
    const float* rows_ = nullptr;
    int64_t width_;
  };

 private:
  static constexpr int row_tile = 6;
  static constexpr int column_tile = VecF::lanes == 16 ? 4 : 2;  // 24 or 12 sums: what the registers hold

  template <bool accumulate, int rows, int vectors>
  static void tile(int64_t depth, const float* a, int64_t a_row, int64_t a_depth, Operand b, float* c, int64_t c_stride) {
    constexpr int lanes = VecF::lanes;
    VecF sums[rows][vectors];
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < vectors; ++v) sums[r][v] = accumulate ? load(c + r * c_stride + v * lanes) : zero();
    for (int64_t k = 0; k < depth; ++k) {
      VecF right[vectors];
      for (int v = 0; v < vectors; ++v) right[v] = load(b.data + k * b.stride + v * lanes);
#pragma GCC unroll 6
      for (int r = 0; r < rows; ++r) {
        const VecF left = set(a[r * a_row + k * a_depth]);
        for (int v = 0; v < vectors; ++v) sums[r][v] = fma(left, right[v], sums[r][v]);
      }
    }
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < vectors; ++v) store(c + r * c_stride + v * lanes, sums[r][v]);
  }

  template <bool accumulate, int vectors, class... Rest>
  static void tile_of_rows(int64_t rows, const Rest&... rest) {
    switch (rows) {
      case 1: return tile<accumulate, 1, vectors>(rest...);
      case 2: return tile<accumulate, 2, vectors>(rest...);
      case 3: return tile<accumulate, 3, vectors>(rest...);
      case 4: return tile<accumulate, 4, vectors>(rest...);
      case 5: return tile<accumulate, 5, vectors>(rest...);
      default: return tile<accumulate, 6, vectors>(rest...);
    }
  }

  template <bool accumulate>
  static void product_strided(int64_t rows, int64_t depth, const float* a, int64_t a_row, int64_t a_depth, Operand b,
                              int64_t columns, float* c, int64_t c_stride) {
    for (int64_t n = 0; n < columns; n += column_tile * VecF::lanes)
      for (int64_t r = 0; r < rows; r += row_tile) {
        const int64_t height = min_of<int64_t>(row_tile, rows - r);
        const float* left = a + r * a_row;
        float* sums = c + r * c_stride + n;
        switch (min_of<int64_t>(column_tile, (columns - n) / VecF::lanes)) {
          case 1: tile_of_rows<accumulate, 1>(height, depth, left, a_row, a_depth, b.columns(n), sums, c_stride); break;
          case 2: tile_of_rows<accumulate, 2>(height, depth, left, a_row, a_depth, b.columns(n), sums, c_stride); break;
          case 3: tile_of_rows<accumulate, 3>(height, depth, left, a_row, a_depth, b.columns(n), sums, c_stride); break;
          default: tile_of_rows<accumulate, 4>(height, depth, left, a_row, a_depth, b.columns(n), sums, c_stride);
        }
      }
  }
};

}  // namespace bpk::BPK_ISA
