// Cross-entropy of integer labels over rows of logits, in f32. A negative label means "no label": loss and gradient are
// zero. A label that is not a class gives NaN, loudly.
#pragma once
#include "math.h"
#include "threads.h"

namespace bpk::BPK_ISA {

template <class T>
inline float log_sum_exp(const T* row, int64_t size) {
  VecF highest = set(-__builtin_inff());
  for_lanes(size, [&](int64_t i, int n) {
    const VecF v = load_some(row + i, n);
    highest = max(highest, n < VecF::lanes ? select(first_lanes(n), v, highest) : v);
  });
  // A NaN may be missed here; it meets the sum below.
  const float top = reduce_max(highest);
  VecF sum = zero();
  for_lanes(size, [&](int64_t i, int n) {
    const VecF e = exp(load_some(row + i, n) - set(top));
    sum = sum + (n < VecF::lanes ? select(first_lanes(n), e, zero()) : e);
  });
  return top + __builtin_logf(reduce_add(sum));
}

template <class T>
inline void cross_entropy_forward_typed(const CrossEntropyForward& args) {
  const T* logits = static_cast<const T*>(args.logits);
  parallel_ranges(args.tokens, args.tokens * args.classes * 4, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const T* row = logits + token * args.classes;
      const int64_t label = args.labels[token];
      const bool counts = label >= 0;
      const float normaliser = counts || args.log_sum_exp ? log_sum_exp(row, args.classes) : 0.0f;
      if (args.log_sum_exp) args.log_sum_exp[token] = normaliser;
      const float at_label = label < args.classes && counts ? to_float(row[label]) : __builtin_nanf("");
      args.loss[token] = counts ? normaliser - at_label : 0.0f;
    }
  });
}

template <class T>
inline void cross_entropy_backward_typed(const CrossEntropyBackward& args) {
  const T* logits = static_cast<const T*>(args.logits);
  T* dlogits = static_cast<T*>(args.dlogits);
  parallel_ranges(args.tokens, args.tokens * args.classes * 4, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const T* row = logits + token * args.classes;
      T* drow = dlogits + token * args.classes;
      const int64_t label = args.labels[token];
      if (label < 0) {
        std::memset(drow, 0, size_t(args.classes) * sizeof(T));
        continue;
      }
      const VecF normaliser = set(args.log_sum_exp[token]);
      const float dloss = label < args.classes ? args.dloss[token] : __builtin_nanf("");
      for_lanes(args.classes, [&](int64_t i, int n) {
        store_some(drow + i, exp(load_some(row + i, n) - normaliser) * set(dloss), n);
      });
      // Computed again rather than subtracted from the stored value, which may be rounded to bf16.
      if (label < args.classes)
        store(drow + label, (__builtin_expf(to_float(row[label]) - args.log_sum_exp[token]) - 1.0f) * dloss);
    }
  });
}

inline void cross_entropy_forward(const CrossEntropyForward& args) {
  with_type(args.dtype, [&](auto tag) { cross_entropy_forward_typed<decltype(tag)>(args); });
}
inline void cross_entropy_backward(const CrossEntropyBackward& args) {
  with_type(args.dtype, [&](auto tag) { cross_entropy_backward_typed<decltype(tag)>(args); });
}

}  // namespace bpk::BPK_ISA
