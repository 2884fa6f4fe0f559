// Sums over the tokens of each sequence, in f32, and their gradient.
#pragma once
#include "threads.h"

namespace bpk::BPK_ISA {

// A task is a sequence and a slice of the columns, so that one long sequence keeps all threads busy too. Tokens are added
// in order, whoever does it: the sums come out the same for any number of threads.
template <class T>
inline void sequence_sum_forward_typed(const SequenceSumForward& args) {
  constexpr int64_t slice = 4 * VecF::lanes;
  const T* x = static_cast<const T*>(args.x);
  const int64_t width = args.width, slices = (width + slice - 1) / slice;
  TaskCounter counter;
  parallel_team(args.tokens * width, [&](int, int) {
    team_tasks(counter, args.sequences * slices, max_of<int64_t>(1, slices / 2), [&](int64_t task) {
      const int64_t sequence = task / slices, column = task % slices * slice;
      const int64_t count = min_of(slice, width - column);
      VecF sums[4] = {zero(), zero(), zero(), zero()};
      for (int64_t token = args.cu_seqlens[sequence]; token < args.cu_seqlens[sequence + 1]; ++token) {
        const T* row = x + token * width + column;
        if (count == slice) {
          for (int i = 0; i < 4; ++i) sums[i] = sums[i] + load(row + i * VecF::lanes);
        } else {
          for (int i = 0; i * VecF::lanes < count; ++i) sums[i] = sums[i] + load_some(row + i * VecF::lanes, count - i * VecF::lanes);
        }
      }
      float* out = args.y + sequence * width + column;
      for (int i = 0; i * VecF::lanes < count; ++i) store_some(out + i * VecF::lanes, sums[i], count - i * VecF::lanes);
    });
  });
}

// Each thread owns a range of the tokens and walks along the sequences that lie in it.
template <class T>
inline void sequence_sum_backward_typed(const SequenceSumBackward& args) {
  T* dx = static_cast<T*>(args.dx);
  const int64_t width = args.width;
  parallel_ranges(args.tokens, args.tokens * width, [&](int64_t begin, int64_t end) {
    int64_t sequence = 0;
    for (int64_t token = begin; token < end; ++token) {
      while (sequence < args.sequences && args.cu_seqlens[sequence + 1] <= token) ++sequence;
      T* row = dx + token * width;
      if (sequence == args.sequences) {
        std::memset(static_cast<void*>(row), 0, size_t(width) * sizeof(T));
        continue;
      }
      const float* d = args.dy + sequence * width;
      for_lanes(width, [&](int64_t i, int n) { store_some(row + i, load_some(d + i, n), n); });
    }
  });
}

inline void sequence_sum_forward(const SequenceSumForward& args) {
  with_type(args.dtype, [&](auto tag) { sequence_sum_forward_typed<decltype(tag)>(args); });
}
inline void sequence_sum_backward(const SequenceSumBackward& args) {
  with_type(args.dtype, [&](auto tag) { sequence_sum_backward_typed<decltype(tag)>(args); });
}

}  // namespace bpk::BPK_ISA
