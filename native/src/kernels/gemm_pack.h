// Packing: operands are copied into the order in which the register kernels read them.
//
// Left operand, for a group of rows:   [step block][row][VecF::lanes steps]
// Right operand, for a panel:          [step][panel_width columns]
//
// Both are zero-padded to whole step blocks, so the kernels have no tails; copying also removes any misalignment and
// the power-of-two strides that make rows collide in the cache.
#pragma once
#include "gemm_step.h"

namespace bpk::BPK_ISA {

constexpr int panel_width = 2 * VecF::lanes;

template <class Step>
BPK_INLINE int64_t padded_steps(int64_t elements) {
  return round_up((elements + Step::width - 1) / Step::width, VecF::lanes) * parts_of<Step>;
}

// One share of [0, count).
template <class Body>
inline void for_share(int64_t count, int thread, int threads, const Body& body) {
  for (int64_t i = count * thread / threads; i < count * (thread + 1) / threads; ++i) body(i);
}

// The left operand as it lies in memory when the inner dimension is contiguous: row i at data + i * ld.
template <class Step, class T>
struct RowSource {
  const T* data;
  int64_t ld, inner;  // inner = elements along the inner dimension

  // Row i of a group of `padded_rows`, which begins at row0.
  void pack_row(uint32_t* to, int64_t row0, int i, int rows, int padded_rows, int64_t step0, int64_t steps) const {
    constexpr int lanes = VecF::lanes;
    const T* row = data + (row0 + i) * ld;
    to += i * lanes;
    for (int64_t s = step0; s < step0 + steps; s += lanes, to += padded_rows * lanes) {
      const int64_t k = s * Step::width;
      store_bits(to, i < rows ? Step::load_along(row + k, inner - k) : zero());
    }
  }
};

// The left operand when the inner dimension is the slow one: element (i, k) at data + k * ld + i.
template <class Step, class T>
struct ColumnSource {
  const T* data;
  int64_t ld, inner;

  // Rows are made in blocks; each call makes as many as rows would.
  void pack_row(uint32_t* to, int64_t row0, int i, int rows, int padded_rows, int64_t step0, int64_t steps) const {
    constexpr int lanes = VecF::lanes;
    const int strips = (padded_rows + lanes - 1) / lanes;
    for_share(strips * (steps / lanes), i, padded_rows, [&](int64_t block) {
      pack_block(to + block / strips * padded_rows * lanes, row0, int(block % strips) * lanes, rows, padded_rows,
                 (step0 + block / strips * lanes) * Step::width);
    });
  }

 private:
  // A step block, from element k on, of as many rows as a register has lanes, from row i0 on.
  void pack_block(uint32_t* to, int64_t row0, int i0, int rows, int padded_rows, int64_t k) const {
    constexpr int lanes = VecF::lanes;
    VecF block[lanes];
    for (int j = 0; j < lanes; ++j, k += Step::width) {
      const T* from = data + k * ld + row0 + i0;
      block[j] = Step::load_across(from, ld, inner - k, rows - i0);
      // Rows are too far apart for the hardware prefetcher.
      for (int e = 0; e < Step::width; ++e)
        _mm_prefetch(reinterpret_cast<const char*>(from + (lanes * Step::width + e) * ld), _MM_HINT_T0);
    }
    transpose(block);
    for (int j = 0; j < lanes && i0 + j < padded_rows; ++j) store_bits(to + (i0 + j) * lanes, block[j]);
  }
};

// A panel whose columns are rows of a row-major matrix (the weight in y = x W^T): column j at column(j), null = zeros.
template <class Step, class ColumnPointer>
void pack_panel_of_rows(uint32_t* panel, int64_t inner, const ColumnPointer& column) {
  constexpr int lanes = VecF::lanes;
  for (int half = 0; half < 2; ++half) {
    for (int64_t s = 0; s < padded_steps<Step>(inner); s += lanes) {
      VecF block[lanes];
      for (int j = 0; j < lanes; ++j) {
        const auto* row = column(half * lanes + j);
        const int64_t k = s * Step::width;
        block[j] = row ? Step::load_along(row + k, inner - k) : zero();
      }
      transpose(block);
      for (int j = 0; j < lanes; ++j) store_bits(panel + (s + j) * panel_width + half * lanes, block[j]);
    }
  }
}

// Steps of a panel whose columns are columns of a row-major matrix: element (k, j) at data + k * ld + j, of which
// `inner` rows and `columns` columns exist.
template <class Step, class T>
void pack_panel_of_columns(uint32_t* panel, const T* data, int64_t ld, int64_t inner, int64_t columns, int64_t step0,
                           int64_t steps) {
  constexpr int lanes = VecF::lanes;
  panel += step0 * panel_width;
  for (int64_t s = step0; s < step0 + steps; ++s, panel += panel_width) {
    const int64_t k = s * Step::width;
    for (int half = 0; half < 2; ++half) {
      const int64_t j = half * lanes;
      store_bits(panel + j, Step::load_across(data + k * ld + j, ld, inner - k, columns - j));
    }
  }
}

}  // namespace bpk::BPK_ISA
