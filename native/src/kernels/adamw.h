// AdamW with decoupled weight decay and bias correction (Loshchilov and Hutter 2019), in place where out equals in.
// All arrays of a call share one parallel region, dealt out in chunks: the work is bound by memory, and cores differ.
#pragma once
#include <initializer_list>

#include "threads.h"

namespace bpk::BPK_ISA {

// What is the same for all elements.
struct AdamWFactors {
  float gradient_scale, beta1_rest, beta2_rest, step_size, root_scale, epsilon;

  explicit AdamWFactors(const AdamW& args) {
    const double rate = *args.learning_rate, step = *args.step;
    gradient_scale = *args.gradient_scale;
    beta1_rest = 1 - args.beta1;
    beta2_rest = 1 - args.beta2;
    step_size = float(rate / (1 - __builtin_pow(double(args.beta1), step)));
    root_scale = float(1 / __builtin_sqrt(1 - __builtin_pow(double(args.beta2), step)));
    epsilon = args.epsilon;
  }
};

inline void adamw_chunk(const AdamWArray& array, int64_t begin, int64_t end, const AdamWFactors& factors, float decay) {
  // Local copies: the stores below might change what is reached through references.
  const float *parameter = array.parameter, *gradient = array.gradient, *m_in = array.m, *v_in = array.v;
  float *parameter_out = array.parameter_out, *m_out = array.m_out, *v_out = array.v_out;
  const VecF gradient_scale = set(factors.gradient_scale), step_size = set(factors.step_size), keep = set(1 - decay);
  const VecF beta1_rest = set(factors.beta1_rest), beta2_rest = set(factors.beta2_rest);
  const VecF root_scale = set(factors.root_scale), epsilon = set(factors.epsilon);
  for_lanes(end - begin, [&](int64_t offset, int n) BPK_INLINE_LAMBDA {
    const int64_t i = begin + offset;
    // Seven streams are more than the hardware prefetcher follows well; a page ahead is not too far at the end either.
    constexpr int64_t ahead = 512;
    for (const float* stream : {parameter, gradient, m_in, v_in})
      _mm_prefetch(reinterpret_cast<const char*>(stream + i + ahead), _MM_HINT_T0);
    const VecF g = load_some(gradient + i, n) * gradient_scale;
    const VecF m_before = load_some(m_in + i, n), v_before = load_some(v_in + i, n);
    const VecF m = fma(beta1_rest, g - m_before, m_before);
    const VecF v = fma(beta2_rest, fms(g, g, v_before), v_before);
    const VecF denominator = fma(sqrt(v), root_scale, epsilon);
    const VecF p = fnma(step_size, m / denominator, load_some(parameter + i, n) * keep);
    store_some(m_out + i, m, n);
    store_some(v_out + i, v, n);
    store_some(parameter_out + i, p, n);
  });
}

inline void adamw(const AdamW& args) {
  constexpr int64_t chunk = 1 << 14;
  const AdamWFactors factors(args);
  const auto chunks_of = [&](int64_t a) { return (args.arrays[a].size + chunk - 1) / chunk; };
  int64_t chunks = 0, size = 0;
  for (int64_t a = 0; a < args.count; ++a) chunks += chunks_of(a), size += args.arrays[a].size;
  TaskCounter counter;
  parallel_team(size * 2, [&](int, int) {
    int64_t array = 0, first = 0;  // the array that the last chunk was in, and its first chunk
    team_tasks(counter, chunks, 4, [&](int64_t i) {
      if (i < first) array = first = 0;
      for (; i >= first + chunks_of(array); ++array) first += chunks_of(array);
      const AdamWArray& work = args.arrays[array];
      const int64_t begin = (i - first) * chunk;
      adamw_chunk(work, begin, min_of(begin + chunk, work.size), factors, *args.learning_rate * work.weight_decay);
    });
  });
}

}  // namespace bpk::BPK_ISA
