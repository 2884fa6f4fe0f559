// Activations, dropout and sums on their own, and the sum of squares, all bound by memory bandwidth.
#pragma once
#include "math.h"
#include "random.h"
#include "threads.h"

namespace bpk::BPK_ISA {

// Activations cost about this many plain element visits.
constexpr int64_t kActivationCost = 4;

inline bool is_gated(Activation a) { return a == Activation::geglu || a == Activation::swiglu; }

template <class T>
inline void activation_forward_typed(const ActivationForward& args) {
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  const int64_t size = args.tokens * args.width, width = args.width;
  if (!is_gated(args.activation)) {
    parallel_ranges(size, size * kActivationCost, [&](int64_t begin, int64_t end) {
      for_lanes(end - begin, [&](int64_t i, int n) {
        const VecF v = load_some(x + begin + i, n);
        store_some(y + begin + i, args.activation == Activation::gelu ? gelu<T>(v) : v, n);
      });
    }, 64);
    return;
  }
  parallel_ranges(args.tokens, size * kActivationCost, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const T* row = x + token * 2 * width;
      for_lanes(width, [&](int64_t i, int n) {
        const VecF v = load_some(row + i, n);
        const VecF activated = args.activation == Activation::geglu ? gelu<T>(v) : silu<T>(v);
        store_some(y + token * width + i, activated * load_some(row + width + i, n), n);
      });
    }
  });
}

template <class T>
inline void activation_backward_typed(const ActivationBackward& args) {
  const T* x = static_cast<const T*>(args.x);
  const T* dy = static_cast<const T*>(args.dy);
  T* dx = static_cast<T*>(args.dx);
  const int64_t size = args.tokens * args.width, width = args.width;
  if (!is_gated(args.activation)) {
    parallel_ranges(size, size * kActivationCost, [&](int64_t begin, int64_t end) {
      for_lanes(end - begin, [&](int64_t i, int n) {
        const VecF d = load_some(dy + begin + i, n);
        const bool identity = args.activation == Activation::none;
        store_some(dx + begin + i, identity ? d : d * gelu_gradient<T>(load_some(x + begin + i, n)), n);
      });
    }, 64);
    return;
  }
  parallel_ranges(args.tokens, size * kActivationCost, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const T* row = x + token * 2 * width;
      T* drow = dx + token * 2 * width;
      for_lanes(width, [&](int64_t i, int n) {
        const VecF v = load_some(row + i, n);
        const VecF d = load_some(dy + token * width + i, n);
        const ValueAndGradient f = args.activation == Activation::geglu ? gelu_both<T>(v) : silu_both<T>(v);
        store_some(drow + i, d * f.gradient * load_some(row + width + i, n), n);
        store_some(drow + width + i, d * f.value, n);
      });
    }
  });
}

inline void activation_forward(const ActivationForward& args) {
  with_type(args.dtype, [&](auto tag) { activation_forward_typed<decltype(tag)>(args); });
}
inline void activation_backward(const ActivationBackward& args) {
  with_type(args.dtype, [&](auto tag) { activation_backward_typed<decltype(tag)>(args); });
}

// The mask sees a flat array as rows of this length, so that one pair of random keys serves many elements.
constexpr int64_t kDropoutRow = 1024;

template <class T>
inline void dropout_typed(const Dropout& args) {
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  const DropoutMask mask(args.probability);
  parallel_ranges((args.size + kDropoutRow - 1) / kDropoutRow, args.size, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const RandomKeys keys = random_keys(args.seed, uint64_t(row));
      const int64_t start = row * kDropoutRow;
      for_lanes(min_of(kDropoutRow, args.size - start), [&](int64_t i, int n) {
        store_some(y + start + i, mask.apply(load_some(x + start + i, n), uint32_t(i), keys), n);
      });
    }
  });
}

inline void dropout(const Dropout& args) {
  with_type(args.dtype, [&](auto tag) { dropout_typed<decltype(tag)>(args); });
}

template <class T>
inline void add_typed(const Add& args) {
  const T *a = static_cast<const T*>(args.a), *b = static_cast<const T*>(args.b);
  T* y = static_cast<T*>(args.y);
  parallel_ranges(args.size, args.size, [&](int64_t begin, int64_t end) {
    for_lanes(end - begin, [&](int64_t i, int n) {
      store_some(y + begin + i, load_some(a + begin + i, n) + load_some(b + begin + i, n), n);
    });
  }, 64);
}

inline void add(const Add& args) {
  with_type(args.dtype, [&](auto tag) { add_typed<decltype(tag)>(args); });
}

constexpr int64_t kSquareBlock = 1 << 14;

template <class T>
inline double square_sum_of_block(const T* x, int64_t size) {
  DoubleSum even, odd;
  int64_t i = 0;
  for (; i + 2 * VecF::lanes <= size; i += 2 * VecF::lanes) {
    even.add_squares(load(x + i));
    odd.add_squares(load(x + i + VecF::lanes));
  }
  for (; i < size; i += VecF::lanes) even.add_squares(load_some(x + i, size - i));
  return even.total() + odd.total();
}

// Blocks of a fixed size are summed in f64 and then added in order: the same result for any number of threads.
inline void square_sum(const SquareSum& args) {
  const auto blocks_of = [&](int64_t a) { return (args.arrays[a].size + kSquareBlock - 1) / kSquareBlock; };
  int64_t blocks = 0, size = 0;
  for (int64_t a = 0; a < args.count; ++a) blocks += blocks_of(a), size += args.arrays[a].size;
  double* const sums = scratch<double>(0, blocks);
  TaskCounter counter;
  parallel_team(size / 2, [&](int, int) {
    int64_t array = 0, first = 0;  // the array that the last block was in, and its first block
    team_tasks(counter, blocks, 4, [&](int64_t b) {
      if (b < first) array = first = 0;
      for (; b >= first + blocks_of(array); ++array) first += blocks_of(array);
      const SquareSumArray& work = args.arrays[array];
      const int64_t begin = (b - first) * kSquareBlock;
      with_type(work.dtype, [&](auto tag) {
        const auto* x = static_cast<const decltype(tag)*>(work.x) + begin;
        sums[b] = square_sum_of_block(x, min_of(kSquareBlock, work.size - begin));
      });
    });
  });
  double total = 0;
  for (int64_t b = 0; b < blocks; ++b) total += sums[b];
  *args.out = float(total);
}

}  // namespace bpk::BPK_ISA
