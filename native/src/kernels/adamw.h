// AdamW with decoupled weight decay and bias correction (Loshchilov and Hutter 2019), in place where out equals in.
#pragma once
#include "threads.h"

namespace bpk::BPK_ISA {

inline void adamw(const AdamW& args) {
  const double rate = *args.learning_rate, step = *args.step;
  const double correction_m = 1 - __builtin_pow(double(args.beta1), step);
  const double correction_v = 1 - __builtin_pow(double(args.beta2), step);
  const float step_size = float(rate / correction_m);
  const float root_scale = float(1 / __builtin_sqrt(correction_v));
  const float keep = float(1 - rate * double(args.weight_decay));
  const float gradient_scale = *args.gradient_scale;

  const auto update = [&](int64_t i, int64_t n) {
    const VecF g = load_some(args.gradient + i, n) * set(gradient_scale);
    const VecF m_before = load_some(args.m + i, n), v_before = load_some(args.v + i, n);
    const VecF m = fma(set(1 - args.beta1), g - m_before, m_before);
    const VecF v = fma(set(1 - args.beta2), fms(g, g, v_before), v_before);
    const VecF denominator = fma(sqrt(v), set(root_scale), set(args.epsilon));
    const VecF p = fnma(set(step_size), m / denominator, load_some(args.parameter + i, n) * set(keep));
    store_some(args.m_out + i, m, n);
    store_some(args.v_out + i, v, n);
    store_some(args.parameter_out + i, p, n);
  };
  parallel_ranges(args.size, args.size * 2, [&](int64_t begin, int64_t end) {
    for_lanes(end - begin, [&](int64_t i, int n) { update(begin + i, n); });
  }, 1024);
}

}  // namespace bpk::BPK_ISA
