// Layer norm and RMS norm, with the residual sum and its dropout in front.
//
//   forward   h = residual + dropout(x);  y = (h - mean) * inverse_std * weight + bias
//   backward  dh = inverse_std * (g - mean(g) - xhat * mean(g * xhat)) + dh_residual,  g = dy * weight
//
// h is rounded to its stored type before it is normalised, so that the backward pass differentiates what was computed.
#pragma once
#include "random.h"
#include "threads.h"

namespace bpk::BPK_ISA {

// Sum of term(i, n) over a row in four independent chains; lanes from n on must be zero.
template <class Term>
BPK_INLINE float sum_row(int64_t width, const Term& term) {
  constexpr int lanes = VecF::lanes;
  VecF a = zero(), b = zero(), c = zero(), d = zero();
  int64_t i = 0;
  for (; i + 4 * lanes <= width; i += 4 * lanes) {
    a = a + term(i, lanes);
    b = b + term(i + lanes, lanes);
    c = c + term(i + 2 * lanes, lanes);
    d = d + term(i + 3 * lanes, lanes);
  }
  for (; i < width; i += lanes) a = a + term(i, width - i);
  return reduce_add((a + b) + (c + d));
}

template <class T>
class NormRow {
 public:
  NormRow(const NormForward& args, float* row) : args_(args), mask_(args.dropout), row_(row) {}

  void forward(int64_t token) const {
    const int64_t width = args_.width, start = token * width;
    const float sum = gather(token);
    const float mean = args_.rms ? 0.0f : sum / float(width);
    const float variance = sum_row(width, [&](int64_t i, int64_t n) {
                             const VecF centred = load(row_ + i) - set(mean);
                             const VecF square = centred * centred;
                             return n < VecF::lanes ? select(first_lanes(n), square, zero()) : square;
                           }) / float(width);
    const float inverse_std = 1.0f / __builtin_sqrtf(variance + args_.epsilon);
    if (args_.mean) args_.mean[token] = mean;
    if (args_.inverse_std) args_.inverse_std[token] = inverse_std;
    T* y = static_cast<T*>(args_.y) + start;
    for_lanes(width, [&](int64_t i, int n) {
      const VecF gain = load_some(args_.weight + i, n) * set(inverse_std);
      const VecF shift = args_.bias ? load_some(args_.bias + i, n) : zero();
      store_some(y + i, fma(load(row_ + i) - set(mean), gain, shift), n);
    });
  }

 private:
  // Leaves h in row_ as floats, writes it out where wanted, and returns its sum.
  float gather(int64_t token) const {
    const int64_t start = token * args_.width;
    const T* x = static_cast<const T*>(args_.x) + start;
    const T* residual = args_.residual ? static_cast<const T*>(args_.residual) + start : nullptr;
    T* h = args_.h ? static_cast<T*>(args_.h) + start : nullptr;
    const bool drop = args_.dropout > 0;
    const RandomKeys keys = drop ? random_keys(args_.seed, uint64_t(token)) : RandomKeys{};
    return sum_row(args_.width, [&](int64_t i, int64_t n) {
      VecF v = load_some(x + i, n);
      if (drop) v = mask_.apply(v, uint32_t(i), keys);
      if (residual) v = v + load_some(residual + i, n);
      v = round_like(x, v);
      store(row_ + i, v);
      if (h) store_some(h + i, v, n);
      return v;
    });
  }

  const NormForward& args_;
  DropoutMask mask_;
  float* row_;
};

inline void norm_forward(const NormForward& args) {
  with_type(args.dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_ranges(args.tokens, args.tokens * args.width, [&](int64_t begin, int64_t end) {
      const NormRow<T> row(args, scratch<float>(0, args.width));
      for (int64_t token = begin; token < end; ++token) row.forward(token);
    });
  });
}

// Adds one row to the parameter gradients and writes its dx and dresidual.
template <class T>
inline void norm_backward_row(const NormBackward& args, const DropoutMask& mask, int64_t token, float* dweight,
                              float* dbias) {
  const int64_t width = args.width, start = token * width;
  const T* h = static_cast<const T*>(args.h) + start;
  const T* dy = static_cast<const T*>(args.dy) + start;
  const VecF mean = set(args.rms ? 0.0f : args.mean[token]);
  const VecF inverse_std = set(args.inverse_std[token]);

  VecF gradient_sum = zero(), projection_sum = zero();
  for_lanes(width, [&](int64_t i, int n) {
    const VecF d = load_some(dy + i, n);  // zero beyond the row, and so is all that is summed
    const VecF xhat = (load_some(h + i, n) - mean) * inverse_std;
    const VecF g = d * load_some(args.weight + i, n);
    gradient_sum = gradient_sum + g;
    projection_sum = fma(g, xhat, projection_sum);
    if (dweight) store_some(dweight + i, fma(d, xhat, load_some(dweight + i, n)), n);
    if (dbias) store_some(dbias + i, d + load_some(dbias + i, n), n);
  });
  const VecF mean_gradient = set(args.rms ? 0.0f : reduce_add(gradient_sum) / float(width));
  const VecF mean_projection = set(reduce_add(projection_sum) / float(width));

  const T* dh = args.dh ? static_cast<const T*>(args.dh) + start : nullptr;
  T* dx = static_cast<T*>(args.dx) + start;
  T* dresidual = args.dresidual && args.dresidual != args.dx ? static_cast<T*>(args.dresidual) + start : nullptr;
  const bool drop = args.dropout > 0;
  const RandomKeys keys = drop ? random_keys(args.seed, uint64_t(token)) : RandomKeys{};
  for_lanes(width, [&](int64_t i, int n) {
    const VecF xhat = (load_some(h + i, n) - mean) * inverse_std;
    const VecF g = load_some(dy + i, n) * load_some(args.weight + i, n);
    VecF d = fnma(xhat, mean_projection, g - mean_gradient) * inverse_std;
    if (dh) d = d + load_some(dh + i, n);
    if (dresidual) store_some(dresidual + i, d, n);
    if (drop) d = mask.apply(d, uint32_t(i), keys);
    store_some(dx + i, d, n);
  });
}

// Parameter gradients are summed per chunk of rows and then over the chunks, whose number depends on the shape alone:
// the result is the same for any number of threads.
template <class T>
inline void norm_backward_typed(const NormBackward& args) {
  const int64_t width = args.width, stride = round_up(width, 16);
  const int64_t chunks = min_of<int64_t>(64, (args.tokens + 7) / 8);
  const bool parameters = args.dweight || args.dbias;
  float* const partial = parameters ? scratch<float>(0, chunks * 2 * stride) : nullptr;
  const DropoutMask mask(args.dropout);
  parallel_team(args.tokens * width * 2, [&](int thread, int threads) {
    for (int64_t c = chunks * thread / threads; c < chunks * (thread + 1) / threads; ++c) {
      float* const dweight = args.dweight ? partial + c * 2 * stride : nullptr;
      float* const dbias = args.dbias ? partial + (c * 2 + 1) * stride : nullptr;
      if (parameters) std::memset(partial + c * 2 * stride, 0, size_t(2 * stride) * sizeof(float));
      for (int64_t token = args.tokens * c / chunks; token < args.tokens * (c + 1) / chunks; ++token)
        norm_backward_row<T>(args, mask, token, dweight, dbias);
    }
    if (!parameters) return;
    if (threads > 1) team_barrier();
    const int64_t begin = stride / 16 * thread / threads * 16;
    const int64_t end = min_of(width, stride / 16 * (thread + 1) / threads * 16);
    for (int64_t i = begin; i < end; i += VecF::lanes) {
      VecF weight_sum = zero(), bias_sum = zero();
      for (int64_t c = 0; c < chunks; ++c) {
        weight_sum = weight_sum + load(partial + c * 2 * stride + i);
        bias_sum = bias_sum + load(partial + (c * 2 + 1) * stride + i);
      }
      if (args.dweight) store_some(args.dweight + i, weight_sum, end - i);
      if (args.dbias) store_some(args.dbias + i, bias_sum, end - i);
    }
  });
}

inline void norm_backward(const NormBackward& args) {
  with_type(args.dtype, [&](auto tag) { norm_backward_typed<decltype(tag)>(args); });
}

}  // namespace bpk::BPK_ISA
