// Block products for attention in bf16 on AMX tiles; the interface is described in attention_plain.h.
//
// A tile holds 16 rows of 64 bytes. The right-hand operand of TDPBF16PS wants two consecutive steps of the contraction
// beside each other: tile row r holds, for each of 16 columns, elements 2r and 2r + 1 of that column.
#pragma once
#include "vec.h"

namespace bpk::BPK_ISA {

class AmxEngine {
 public:
  using Element = bf16;
  static constexpr int64_t token_step = 32;
  static constexpr int64_t width_step = 32;
  static constexpr int64_t depth_step = 32;
  static constexpr int64_t row_step = 32;
  static constexpr int64_t strip = 64;
  static constexpr int64_t forward_strip = 16;
  static constexpr int64_t key_block = 64;
  static constexpr int64_t query_block = 128;
  static constexpr int64_t backward_key_block = 256;

  struct Operand {  // tiles of 32 (depth) by 16 (columns)
    const bf16* data;
    int64_t column_stride, depth_stride;  // between tiles
    Operand columns(int64_t n) const { return {data + n / 16 * column_stride, column_stride, depth_stride}; }
    Operand depth(int64_t k) const { return {data + k / 32 * depth_stride, column_stride, depth_stride}; }
  };

  static void begin_thread() {
    // In read-only memory: the intrinsic shows the compiler only the first eight bytes, so stores to a local would vanish.
    static constexpr TileConfig config;
    _tile_loadconfig(&config);
  }
  static void end_thread() { _tile_release(); }

  static constexpr bool packs_along = true;

  static Operand across(const bf16* packed, int64_t, int64_t width) { return {packed, width * 16, tile_size}; }
  static Operand along(const bf16* packed, int64_t width) { return {packed, tile_size, width * 32}; }

  // Pairs lie along the width, so a tile is the transpose of a 16 x 16 block of 32-bit pairs.
  static Operand pack_across(const bf16* rows, int64_t tokens, int64_t width, bf16* out) {
    for (int64_t t = 0; t < tokens; t += 16)
      for (int64_t d = 0; d < width; d += 32) {
        VecF pairs[16];
        for (int i = 0; i < 16; ++i) pairs[i] = load_pairs(rows + (t + i) * width + d);
        transpose(pairs);
        for (int i = 0; i < 16; ++i) store_pairs(out + t * width + d * 16 + i * 32, pairs[i]);
      }
    return across(out, tokens, width);
  }

  static Operand pack_along(const bf16* rows, int64_t tokens, int64_t width, bf16* out) {
    for (int64_t t = 0; t < tokens; t += 32)
      for (int64_t d = 0; d < width; d += 32)
        for (int64_t r = 0; r < 16; ++r) {
          const Interleaved v = interleave(rows + (t + 2 * r) * width + d, width);
          bf16* tile = out + t * width + d * 32 + r * 32;
          store_pairs(tile, v.low);
          store_pairs(tile + tile_size, v.high);
        }
    return along(out, width);
  }

  // Two by two tiles where there are rows enough, since each tile loaded is then used twice; else one by four.
  template <bool accumulate>
  static void product(int64_t rows, int64_t depth, const bf16* a, int64_t a_stride, Operand b, int64_t columns, float* c,
                      int64_t c_stride) {
    // The tile intrinsics do not tell the compiler that they read memory.
    asm volatile("" ::: "memory");
    const int64_t tiles = columns / 16, steps = depth / 32;
    int64_t r = 0;
    for (; r + 16 < rows; r += 32) {
      const bf16* left = a + r * a_stride;
      float* sums = c + r * c_stride;
      int64_t n = 0;
      for (; n + 2 <= tiles; n += 2)
        two_by_two<accumulate>(steps, left, a_stride, b.columns(n * 16), sums + n * 16, c_stride);
      if (n == tiles) continue;
      const Operand last = b.columns(n * 16);
      one_by<accumulate, 1>(steps, left, a_stride, last, sums + n * 16, c_stride);
      one_by<accumulate, 1>(steps, left + 16 * a_stride, a_stride, last, sums + 16 * c_stride + n * 16, c_stride);
    }
    if (r < rows) {
      const bf16* left = a + r * a_stride;
      float* sums = c + r * c_stride;
      int64_t n = 0;
      for (; n + 4 <= tiles; n += 4)
        one_by<accumulate, 4>(steps, left, a_stride, b.columns(n * 16), sums + n * 16, c_stride);
      for (; n + 2 <= tiles; n += 2)
        one_by<accumulate, 2>(steps, left, a_stride, b.columns(n * 16), sums + n * 16, c_stride);
      if (n < tiles) one_by<accumulate, 1>(steps, left, a_stride, b.columns(n * 16), sums + n * 16, c_stride);
    }
  }

  // A product for at most 16 rows, taken in steps of 64 columns.
  template <bool accumulate>
  struct Product {
    int64_t rows, depth;
    const bf16* a;
    int64_t a_stride;
    Operand b;
    int64_t columns;
    float* c;
    int64_t c_stride;

    BPK_INLINE void step() {
      if (columns == 0) return;
      const int64_t part = min_of<int64_t>(columns, 64);
      product<accumulate>(16, depth, a, a_stride, b, part, c, c_stride);
      columns -= part;
      b = b.columns(64);
      c += 64;
    }
    void complete() {
      while (columns) step();
    }
  };

  // One row of probabilities, two registers at a time: a single store of full width, which tile loads can follow sooner.
  BPK_INLINE static void store_run(bf16* p, VecF first, VecF second) {
    _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(second.value, first.value));
  }

  BPK_INLINE static void store_pair(bf16* p, int64_t stride, VecF first, VecF second) {
    store(p, first);
    store(p + stride, second);
  }

  // dq^T (width, queries) += k^T (width, keys) ds (keys, queries): held transposed, because ds comes with a row per key.
  class QueryGradient {
   public:
    static constexpr int64_t score_size = backward_key_block * query_block;
    static int64_t along_size(int64_t size) { return size; }
    static int64_t keys_size(int64_t size) { return size; }

    QueryGradient(float* sums, int64_t tokens, int64_t width) : sums_(sums), tokens_(tokens), width_(width) {}

    void begin_key_block(const bf16* rows, int64_t keys, bf16* out) {
      keys_ = keys;
      keys_transposed_ = out;
      for (int64_t t = 0; t < keys; t += 32)
        for (int64_t d = 0; d < width_; d += 32) {
          VecF low[16], high[16];
          for (int r = 0; r < 16; ++r) {
            const Interleaved v = interleave(rows + (t + 2 * r) * width_ + d, width_);
            low[r] = v.low;
            high[r] = v.high;
          }
          transpose(low);
          transpose(high);
          for (int i = 0; i < 16; ++i) {
            store_pairs(out + (d + i) * keys + t, low[i]);
            store_pairs(out + (d + 16 + i) * keys + t, high[i]);
          }
        }
    }

    // A window leaves parts of the block unwritten, which must count as zero.
    void begin_query_block(bf16* scores, bool clear) {
      scores_ = scores;
      if (clear) std::memset(static_cast<void*>(scores), 0, size_t(keys_ * query_block) * sizeof(bf16));
    }

    BPK_INLINE void store_pair(int64_t key, int64_t query, bf16* p, int64_t stride, VecF first, VecF second) const {
      const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second.value, first.value);
      _mm256_storeu_si256((__m256i*)p, _mm512_castsi512_si256(both));
      _mm256_storeu_si256((__m256i*)(p + stride), _mm512_extracti64x4_epi64(both, 1));
      bf16* tile = scores_ + (key / 32 * (query_block / 16) + query / 16) * tile_size;
      _mm512_storeu_si512(tile + key % 32 / 2 * 32, _mm512_permutexvar_epi16(interleaving(), both));
    }

    void complete_strip(int64_t, int64_t, const bf16*, int64_t, int64_t, int64_t) const {}
    void complete_query_block(int64_t query, int64_t queries) const {
      const Operand scores = {scores_, tile_size, query_block / 16 * tile_size};
      product<true>(width_, keys_, keys_transposed_, keys_, scores, queries, sums_ + query, tokens_);
    }

    const float* rows(int64_t query, float* out) const {
      for (int64_t d = 0; d < width_; d += 16)
        for (int64_t t = 0; t < token_step; t += 16) {
          VecF block[16];
          for (int i = 0; i < 16; ++i) block[i] = load(sums_ + (d + i) * tokens_ + query + t);
          transpose(block);
          for (int i = 0; i < 16; ++i) store(out + (t + i) * width_ + d, block[i]);
        }
      return out;
    }

   private:
    float* sums_;
    bf16* scores_ = nullptr;
    bf16* keys_transposed_ = nullptr;
    int64_t tokens_, width_, keys_ = 0;
  };

 private:
  struct TileConfig {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };

  static constexpr int64_t tile_size = 16 * 32;

  // 32 bf16 moved as 16 pairs; no arithmetic touches them.
  BPK_INLINE static VecF load_pairs(const bf16* p) { return {_mm512_loadu_ps(p)}; }
  BPK_INLINE static void store_pairs(bf16* p, VecF v) { _mm512_storeu_ps(p, v.value); }

  // 0 16 1 17 ...: puts the halves of a register beside each other.
  BPK_INLINE static __m512i interleaving() {
    const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_or_si512(low, _mm512_slli_epi32(_mm512_add_epi32(low, _mm512_set1_epi32(16)), 16));
  }

  struct Interleaved {
    VecF low, high;  // columns 0..15 and 16..31
  };
  // 32 columns of two consecutive rows, element beside element.
  BPK_INLINE static Interleaved interleave(const bf16* row, int64_t stride) {
    const __m512i first = _mm512_loadu_si512(row), second = _mm512_loadu_si512(row + stride);
    const __m512i low = _mm512_inserti64x4(first, _mm512_castsi512_si256(second), 1);
    const __m512i high = _mm512_inserti64x4(second, _mm512_extracti64x4_epi64(first, 1), 0);
    return {{_mm512_castsi512_ps(_mm512_permutexvar_epi16(interleaving(), low))},
            {_mm512_castsi512_ps(_mm512_permutexvar_epi16(interleaving(), high))}};
  }

  // Sums in tiles 0..3 (two rows of two), left operands in 4 and 5, right ones in 6 and 7.
  template <bool accumulate>
  static void two_by_two(int64_t steps, const bf16* a, int64_t a_stride, Operand b, float* c, int64_t c_stride) {
    const int64_t c_bytes = c_stride * int64_t(sizeof(float)), a_bytes = a_stride * int64_t(sizeof(bf16));
    float* const below = c + 16 * c_stride;
    if constexpr (accumulate) {
      _tile_loadd(0, c, c_bytes);
      _tile_loadd(1, c + 16, c_bytes);
      _tile_loadd(2, below, c_bytes);
      _tile_loadd(3, below + 16, c_bytes);
    } else {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    for (int64_t k = 0; k < steps; ++k) {
      const bf16* right = b.data + k * b.depth_stride;
      _tile_loadd(6, right, 64);
      _tile_loadd(4, a + k * 32, a_bytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, right + b.column_stride, 64);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(5, a + 16 * a_stride + k * 32, a_bytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, c_bytes);
    _tile_stored(1, c + 16, c_bytes);
    _tile_stored(2, below, c_bytes);
    _tile_stored(3, below + 16, c_bytes);
  }

  // Sums in tiles 0..3, the left operand in 4, the right ones in 5..7.
  template <bool accumulate, int tiles>
  static void one_by(int64_t steps, const bf16* a, int64_t a_stride, Operand b, float* c, int64_t c_stride) {
    const int64_t c_bytes = c_stride * int64_t(sizeof(float)), a_bytes = a_stride * int64_t(sizeof(bf16));
    if constexpr (accumulate) {
      _tile_loadd(0, c, c_bytes);
      if constexpr (tiles > 1) _tile_loadd(1, c + 16, c_bytes);
      if constexpr (tiles > 2) _tile_loadd(2, c + 32, c_bytes);
      if constexpr (tiles > 3) _tile_loadd(3, c + 48, c_bytes);
    } else {
      _tile_zero(0);
      if constexpr (tiles > 1) _tile_zero(1);
      if constexpr (tiles > 2) _tile_zero(2);
      if constexpr (tiles > 3) _tile_zero(3);
    }
    for (int64_t k = 0; k < steps; ++k) {
      const bf16* right = b.data + k * b.depth_stride;
      _tile_loadd(4, a + k * 32, a_bytes);
      _tile_loadd(5, right, 64);
      _tile_dpbf16ps(0, 4, 5);
      if constexpr (tiles > 1) {
        _tile_loadd(6, right + b.column_stride, 64);
        _tile_dpbf16ps(1, 4, 6);
      }
      if constexpr (tiles > 2) {
        _tile_loadd(7, right + 2 * b.column_stride, 64);
        _tile_dpbf16ps(2, 4, 7);
      }
      if constexpr (tiles > 3) {
        _tile_loadd(5, right + 3 * b.column_stride, 64);
        _tile_dpbf16ps(3, 4, 5);
      }
    }
    _tile_stored(0, c, c_bytes);
    if constexpr (tiles > 1) _tile_stored(1, c + 16, c_bytes);
    if constexpr (tiles > 2) _tile_stored(2, c + 32, c_bytes);
    if constexpr (tiles > 3) _tile_stored(3, c + 48, c_bytes);
  }
};

}  // namespace bpk::BPK_ISA
