// Embedding lookup and its gradient. Ids outside the table read as zeros and receive nothing.
#pragma once
#include "threads.h"

namespace bpk::BPK_ISA {

template <class T, class Table>
inline void embedding_forward_typed(const EmbeddingForward& args) {
  const Table* table = static_cast<const Table*>(args.table);
  T* y = static_cast<T*>(args.y);
  const int64_t width = args.width;
  parallel_ranges(args.tokens, args.tokens * width, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const int64_t id = args.ids[token];
      const bool inside = id >= 0 && id < args.rows;
      const Table* row = inside ? table + id * width : nullptr;
      for_lanes(width, [&](int64_t i, int n) {
        store_some(y + token * width + i, row ? load_some(row + i, n) : zero(), n);
      });
    }
  });
}

inline void embedding_forward(const EmbeddingForward& args) {
  with_type(args.dtype, [&](auto tag) {
    with_type(args.table_dtype, [&](auto table_tag) {
      embedding_forward_typed<decltype(tag), decltype(table_tag)>(args);
    });
  });
}

// Each thread owns a slice of the columns and walks the tokens in order: no atomics, no sorting, and the sums come out
// the same for any number of threads.
template <class T>
inline void embedding_backward_typed(const EmbeddingBackward& args) {
  const T* dy = static_cast<const T*>(args.dy);
  const int64_t width = args.width;
  parallel_team((args.rows + args.tokens) * width, [&](int thread, int threads) {
    const int64_t first_row = args.rows * thread / threads, last_row = args.rows * (thread + 1) / threads;
    std::memset(args.dtable + first_row * width, 0, size_t((last_row - first_row) * width) * sizeof(float));
    if (threads > 1) team_barrier();
    const int64_t slices = (width + 15) / 16;
    const int64_t begin = min_of(width, slices * thread / threads * 16);
    const int64_t end = min_of(width, slices * (thread + 1) / threads * 16);
    if (begin == end) return;
    for (int64_t token = 0; token < args.tokens; ++token) {
      const int64_t id = args.ids[token];
      if (id < 0 || id >= args.rows) continue;
      float* row = args.dtable + id * width + begin;
      const T* d = dy + token * width + begin;
      for_lanes(end - begin, [&](int64_t i, int n) { store_some(row + i, load_some(row + i, n) + load_some(d + i, n), n); });
    }
  });
}

inline void embedding_backward(const EmbeddingBackward& args) {
  with_type(args.dtype, [&](auto tag) { embedding_backward_typed<decltype(tag)>(args); });
}

}  // namespace bpk::BPK_ISA
