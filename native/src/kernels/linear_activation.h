// The gelu of the linear layers: for bf16 by a polynomial that is as accurate as bf16 can show, at a third of the cost.
#pragma once
#include "math.h"

namespace bpk::BPK_ISA {

// Beyond this the normal distribution is 0 or 1 for bf16.
constexpr float gelu_bf16_limit = 4.4f;

// An odd polynomial, c[0] x + c[1] x^3 + ..., at x held within the limit; NaN stays NaN.
template <int n>
BPK_INLINE VecF odd_polynomial(VecF x, const float (&c)[n]) {
  const VecF inner = max(set(-gelu_bf16_limit), min(set(gelu_bf16_limit), x));
  return inner * polynomial(inner * inner, c);
}

// Errors against f64, absolute: 9e-5 for gelu, 2e-4 for its gradient. A bf16 near 1 is 4e-3 from the next.
BPK_INLINE VecF gelu_bf16(VecF x) {
  constexpr float c[] = {0.39892906f,     -0.0664359108f, 0.00990700629f,  -0.0011495552f,  0.000103381331f,
                         -7.04485137e-6f, 3.47357741e-7f, -1.15357093e-8f, 2.28470742e-10f, -2.02403892e-12f};
  const VecF above = max(set(-gelu_bf16_limit), x), inner = min(set(gelu_bf16_limit), above);  // NaN stays NaN
  return above * fma(inner, polynomial(inner * inner, c), set(0.5f));
}

BPK_INLINE VecF gelu_gradient_bf16(VecF x) {
  constexpr float c[] = {0.797687531f,    -0.26513955f,  0.0588242002f,   -0.00891271885f, 0.00096394046f,
                         -7.45134967e-5f, 3.9997658e-6f, -1.40656724e-7f, 2.89699531e-9f,  -2.63787586e-11f};
  return odd_polynomial(x, c) + set(0.5f);
}

// Value and gradient; what the caller does not use costs nothing.
template <class T>
BPK_INLINE ValueAndGradient gelu_as(VecF x) {
  if constexpr (sizeof(T) == 2) return {gelu_bf16(x), gelu_gradient_bf16(x)};
  else return gelu_both(x);
}

}  // namespace bpk::BPK_ISA
