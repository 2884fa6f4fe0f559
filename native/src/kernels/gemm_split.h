// f32 products on AMX tiles. A float is the sum of three bf16: its 24 bits are theirs. Of the nine products of such parts
// the six largest are kept; the others are below the last bit of an f32 product. Tiles multiply sixteen times as fast as
// vector registers, so six products cost less than half of one.
//
// Operands are packed like those of other steps (gemm_pack.h), but a step block holds its three parts one after another:
// first the high ones, then what rounding left over, twice. An infinity has no such parts and gives NaN.
#pragma once
#include "gemm_engine.h"

#ifdef __AMX_TILE__
namespace bpk::BPK_ISA {

struct SplitStep {
  static constexpr int width = 2;
};
template <>
constexpr int parts_of<SplitStep> = 3;

template <class Step>
concept IsSplit = parts_of<Step> == 3;

// The parts of 32 floats, two bf16 in each 32-bit lane.
struct Parts {
  VecF part[3];
};

// Lane i holds elements 2i and 2i + 1 of a run of 32.
BPK_INLINE Parts split_run(VecF low, VecF high) {
  Parts parts;
#pragma GCC unroll 3
  for (VecF& part : parts.part) {
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(high.value, low.value);
    part = {_mm512_castsi512_ps(both)};
    low = low - widen(_mm512_castsi512_si256(both));
    high = high - widen(_mm512_extracti64x4_epi64(both, 1));
  }
  return parts;
}

// Lane i holds element i of two rows.
BPK_INLINE Parts split_rows(VecF first, VecF second) {
  // 0 16 1 17 ...: puts the halves of a register beside each other.
  const __m512i order = (iota() + (iota() + set_int(16)) * set_int(1 << 16)).value;
  Parts parts;
#pragma GCC unroll 3
  for (VecF& part : parts.part) {
    const __m512i pairs = _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(second.value, first.value));
    part = {_mm512_castsi512_ps(pairs)};
    first = first - VecF{_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16))};
    second = second - VecF{_mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(int(0xffff0000))))};
  }
  return parts;
}

template <class T>
BPK_INLINE Parts load_split_run(const T* p, int64_t n) {
  return split_run(load_some(p, n), load_some(p + VecF::lanes, n - VecF::lanes));
}

template <class T>
BPK_INLINE Parts load_split_rows(const T* p, int64_t ld, int64_t rows, int64_t n) {
  return split_rows(rows > 0 ? load_some(p, n) : zero(), rows > 1 ? load_some(p + ld, n) : zero());
}

// Where the elements of a step block begin; step counts include the parts.
BPK_INLINE int64_t element_of(int64_t step) { return step / parts_of<SplitStep> * SplitStep::width; }
constexpr int64_t split_block = parts_of<SplitStep> * VecF::lanes;

template <class T>
struct RowSource<SplitStep, T> {
  const T* data;
  int64_t ld, inner;

  void pack_row(uint32_t* to, int64_t row0, int i, int rows, int padded_rows, int64_t step0, int64_t steps) const {
    const int64_t part_size = padded_rows * VecF::lanes;
    const T* row = data + (row0 + i) * ld;
    to += i * VecF::lanes;
    for (int64_t s = step0; s < step0 + steps; s += split_block, to += 3 * part_size) {
      const int64_t k = element_of(s);
      const Parts parts = i < rows ? load_split_run(row + k, inner - k) : Parts{zero(), zero(), zero()};
      for (int p = 0; p < 3; ++p) store_bits(to + p * part_size, parts.part[p]);
    }
  }
};

template <class T>
struct ColumnSource<SplitStep, T> {
  const T* data;
  int64_t ld, inner;

  void pack_row(uint32_t* to, int64_t row0, int i, int rows, int padded_rows, int64_t step0, int64_t steps) const {
    const int strips = padded_rows / VecF::lanes;
    for_share(strips * (steps / split_block), i, padded_rows, [&](int64_t block) {
      pack_block(to + block / strips * 3 * padded_rows * VecF::lanes, row0, int(block % strips) * VecF::lanes, rows,
                 padded_rows, element_of(step0 + block / strips * split_block));
    });
  }

 private:
  // A step block, from element k on, of as many rows as a register has lanes, from row i0 on.
  void pack_block(uint32_t* to, int64_t row0, int i0, int rows, int padded_rows, int64_t k) const {
    constexpr int lanes = VecF::lanes;
    VecF block[3][lanes];
    for (int j = 0; j < lanes; ++j, k += 2) {
      const T* from = data + k * ld + row0 + i0;
      const Parts parts = load_split_rows(from, ld, inner - k, rows - i0);
      for (int p = 0; p < 3; ++p) block[p][j] = parts.part[p];
      // Rows are too far apart for the hardware prefetcher.
      for (int e = 0; e < 2; ++e) _mm_prefetch(reinterpret_cast<const char*>(from + (2 * lanes + e) * ld), _MM_HINT_T0);
    }
    for (int p = 0; p < 3; ++p) {
      transpose(block[p]);
      for (int j = 0; j < lanes; ++j) store_bits(to + (p * padded_rows + i0 + j) * lanes, block[p][j]);
    }
  }
};

template <IsSplit Step, class ColumnPointer>
void pack_panel_of_rows(uint32_t* panel, int64_t inner, const ColumnPointer& column) {
  constexpr int lanes = VecF::lanes;
  for (int64_t s = 0; s < padded_steps<Step>(inner); s += split_block) {
    for (int half = 0; half < 2; ++half) {
      VecF block[3][lanes];
      for (int j = 0; j < lanes; ++j) {
        const auto* row = column(half * lanes + j);
        const int64_t k = element_of(s);
        const Parts parts = row ? load_split_run(row + k, inner - k) : Parts{zero(), zero(), zero()};
        for (int p = 0; p < 3; ++p) block[p][j] = parts.part[p];
      }
      for (int p = 0; p < 3; ++p) {
        transpose(block[p]);
        for (int j = 0; j < lanes; ++j)
          store_bits(panel + (s + p * lanes + j) * panel_width + half * lanes, block[p][j]);
      }
    }
  }
}

template <IsSplit Step, class T>
void pack_panel_of_columns(uint32_t* panel, const T* data, int64_t ld, int64_t inner, int64_t columns, int64_t step0,
                           int64_t steps) {
  constexpr int lanes = VecF::lanes;
  for (int64_t s = step0; s < step0 + steps; s += split_block) {
    for (int j = 0; j < lanes; ++j) {
      const int64_t k = element_of(s) + 2 * j;
      for (int half = 0; half < 2; ++half) {
        const int64_t column = half * lanes;
        const Parts parts = load_split_rows(data + k * ld + column, ld, inner - k, columns - column);
        for (int p = 0; p < 3; ++p)
          store_bits(panel + (s + p * lanes + j) * panel_width + column, parts.part[p]);
      }
    }
  }
}

struct SplitTileEngine {
  using Step = SplitStep;
  static constexpr int max_rows = 32;
  static constexpr bool overlaps = false;  // products are dense enough here to be held up by work among them
  // Six products for every three tiles loaded: the L2 cache is fast enough, and long slices fetch the sums less often.
  static constexpr int max_steps = 576;
  static int64_t most_rows(int64_t) { return 256; }
  static constexpr int padded_rows(int rows) { return rows <= 16 ? 16 : 32; }
  static int group_begin(int rows, int, int group) { return min_of(rows, group * max_rows); }
  using Session = TileSession;

  template <class Between>
  static void multiply(int rows, const uint32_t* a, const uint32_t* b, int64_t step_blocks, float* c, bool accumulate,
                       PrefetchRange next, const Between&) {
    if (rows > 16) multiply_32(a, b, step_blocks / 3, c, accumulate, next);
    else multiply_16(a, b, step_blocks / 3, c, accumulate, next);
  }

 private:
  static constexpr int stride = panel_width * 4;
  static constexpr int64_t a_part = 32 * VecF::lanes, b_part = VecF::lanes * panel_width;

  static BPK_INLINE void prefetch(PrefetchRange& next) {
    for (int line = 0; line < 3 * next.lines; ++line, next.from += 16)
      _mm_prefetch(reinterpret_cast<const char*>(next.from), _MM_HINT_T1);
  }

  // Tiles 0..3 hold C as 2 x 2, tiles 4 and 5 the rows of A, tiles 6 and 7 the columns of B. The smallest products come
  // first. Each load stands well before its use and among products, so that tiles are never waited for.
  static void multiply_32(const uint32_t* a, const uint32_t* b, int64_t blocks, float* c, bool accumulate,
                          PrefetchRange next) {
    asm volatile("" ::: "memory");  // the tile intrinsics do not tell the compiler that they read memory
    float* lower = c + 16 * panel_width;
    if (accumulate) {
      _tile_loadd(0, c, stride);
      _tile_loadd(1, c + 16, stride);
      _tile_loadd(2, lower, stride);
      _tile_loadd(3, lower + 16, stride);
    } else {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    for (int64_t block = 0; block < blocks; ++block, a += 3 * a_part, b += 3 * b_part) {
      prefetch(next);
      const uint32_t *b1 = b + b_part, *b2 = b1 + b_part;
      const uint32_t *a1 = a + a_part, *a2 = a1 + a_part;
      _tile_loadd(4, a, 64);
      _tile_loadd(6, b2, stride);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, b2 + 16, stride);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(5, a + 256, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_loadd(6, b1, stride);
      _tile_dpbf16ps(3, 5, 7);
      _tile_loadd(7, b1 + 16, stride);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(4, a1, 64);
      _tile_dpbf16ps(3, 5, 7);
      _tile_loadd(5, a1 + 256, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_loadd(6, b, stride);
      _tile_dpbf16ps(3, 5, 7);
      _tile_loadd(7, b + 16, stride);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(4, a2, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
      _tile_loadd(5, a2 + 256, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(4, a, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
      _tile_loadd(5, a + 256, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, stride);
    _tile_stored(1, c + 16, stride);
    _tile_stored(2, lower, stride);
    _tile_stored(3, lower + 16, stride);
  }

  // The last rows of a matrix.
  static void multiply_16(const uint32_t* a, const uint32_t* b, int64_t blocks, float* c, bool accumulate,
                          PrefetchRange next) {
    asm volatile("" ::: "memory");  // the tile intrinsics do not tell the compiler that they read memory
    constexpr int64_t part = 16 * VecF::lanes;
    if (accumulate) {
      _tile_loadd(0, c, stride);
      _tile_loadd(1, c + 16, stride);
    } else {
      _tile_zero(0);
      _tile_zero(1);
    }
    for (int64_t block = 0; block < blocks; ++block, a += 3 * part, b += 3 * b_part) {
      prefetch(next);
      _tile_loadd(2, a, 64);
      _tile_loadd(3, a + part, 64);
      _tile_loadd(4, b + 2 * b_part, stride);
      _tile_loadd(5, b + 2 * b_part + 16, stride);
      _tile_dpbf16ps(0, 2, 4);
      _tile_dpbf16ps(1, 2, 5);
      _tile_loadd(6, b + b_part, stride);
      _tile_loadd(7, b + b_part + 16, stride);
      _tile_dpbf16ps(0, 3, 6);
      _tile_dpbf16ps(1, 3, 7);
      _tile_dpbf16ps(0, 2, 6);
      _tile_dpbf16ps(1, 2, 7);
      _tile_loadd(4, b, stride);
      _tile_loadd(5, b + 16, stride);
      _tile_loadd(6, a + 2 * part, 64);
      _tile_dpbf16ps(0, 6, 4);
      _tile_dpbf16ps(1, 6, 5);
      _tile_dpbf16ps(0, 3, 4);
      _tile_dpbf16ps(1, 3, 5);
      _tile_dpbf16ps(0, 2, 4);
      _tile_dpbf16ps(1, 2, 5);
    }
    _tile_stored(0, c, stride);
    _tile_stored(1, c + 16, stride);
  }
};

}  // namespace bpk::BPK_ISA
#endif
