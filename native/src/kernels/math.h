// Elementary functions on VecF. NaN in gives NaN out; infinities give the limits, except gelu(-inf) and silu(-inf), which
// are NaN as in other libraries (they are written as -inf * 0).
//
// What feeds a bf16 result may be cheaper: gelu<bf16>(x), silu<bf16>(x) and so on take half the time of the f32 forms,
// which are the default. Largest relative errors, measured in tests/test_math.cpp:
//   exp 1.2e-7;  erf 2e-7;  silu 3e-7;  gelu 5e-7, in the far negative tail too, where forms built on 1 + erf(x) lose every
//   digit;  exp2_softmax<float> 2e-7;  with bf16: exp2_softmax 9e-5, silu 2e-4, gelu 3e-4 (half a bf16 step is 2e-3).
#pragma once
#include "vec.h"

namespace bpk::BPK_ISA {

// c[0] + c[1] x + c[2] x^2 + ...
template <int n>
BPK_INLINE VecF polynomial(VecF x, const float (&c)[n]) {
  VecF sum = set(c[n - 1]);
#pragma GCC unroll 16
  for (int i = n - 2; i >= 0; --i) sum = fma(sum, x, set(c[i]));
  return sum;
}

// exp(x + correction) for x in [-110, 100] and a correction that is small beside x.
BPK_INLINE VecF exp_reduced(VecF x, VecF correction) {
  constexpr float log2_e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  constexpr float tail[] = {0.49999994f, 0.16666521f, 0.041668389f, 0.0083687167f, 0.0013814598f};  // (e^r - 1 - r) / r^2
  const VecF n = round(x * set(log2_e));
  const VecF r = fnma(n, set(ln2_low), fnma(n, set(ln2_high), x)) + correction;
  const VecF p = fma(polynomial(r, tail), r * r, r + set(1.0f));
  return scale_by_power(p, n);
}

BPK_INLINE VecF exp(VecF x) { return exp_reduced(max(set(-110.0f), min(set(100.0f), x)), zero()); }

// 2^x for softmax, with the accuracy that the type of the probabilities can hold. 2^0 is exactly 1.
template <class Element>
BPK_INLINE VecF exp2_softmax(VecF x) {
  const VecF f = fraction(x);
  if constexpr (sizeof(Element) == 2) {
    constexpr float c[] = {1.0f, 0.69511682f, 0.22764498f, 0.077067047f};
    return scale_by_floor(polynomial(f, c), x);
  } else {
    constexpr float c[] = {1.0f, 0.6931513f, 0.24016444f, 0.055799913f, 0.0090170298f, 0.0018671302f};
    return scale_by_floor(polynomial(f, c), x);
  }
}

template <class Element>
BPK_INLINE VecF exp_for(VecF x) {
  if constexpr (sizeof(Element) == 2) return exp2_softmax<Element>(x * set(1.44269504f));
  else return exp(x);
}

// 1 / x for x of ordinary size.
template <class Element>
BPK_INLINE VecF reciprocal(VecF x) {
  const VecF guess = approximate_reciprocal(x);
  if constexpr (sizeof(Element) == 2) return guess;
  else return refine_reciprocal(x, guess);
}

// The standard normal distribution: cumulative Phi(x) and density * sqrt(2 pi) = exp(-x^2 / 2).
struct Normal {
  VecF cumulative, bell;
};

// The upper tail is Q(a) = exp(-a^2/2) R(a), where (a + k) R(a) is a polynomial in (a - k) / (a + k).
template <class Element = float>
BPK_INLINE Normal normal(VecF x) {
  const VecF a = min(set(14.0f), abs(x));  // the bell is below the smallest float there
  VecF bell, tail;
  if constexpr (sizeof(Element) == 2) {
    constexpr float ratio[] = {0.70670664f, -0.43350643f, 0.13086285f, 0.0082199881f, -0.012962705f};  // k = 2.5
    const VecF inverse = reciprocal<Element>(a + set(2.5f));
    bell = exp2_softmax<Element>(a * a * set(-0.72134752f));
    tail = polynomial(fnma(set(5.0f), inverse, set(1.0f)), ratio) * inverse * bell;
  } else {
    constexpr float ratio[] = {0.72908366f,   -0.5093323f,   0.23001935f,    -0.047256101f,  -0.01047994f,
                               0.0069239209f, 0.0010760364f, -0.00090325123f, -0.00026676545f};  // k = 3
    const VecF inverse = reciprocal<Element>(a + set(3.0f));
    const VecF square = a * a;
    const VecF lost = fms(a, a, square);  // what rounding took from the square; it matters when a is large
    bell = exp_reduced(square * set(-0.5f), lost * set(-0.5f));
    tail = polynomial(fnma(set(6.0f), inverse, set(1.0f)), ratio) * inverse * bell;
  }
  return {select(less(x, zero()), tail, set(1.0f) - tail), bell};
}

BPK_INLINE VecF erf(VecF x) {
  constexpr float series[] = {1.1283791f,    -0.37612626f,    0.11283585f, -0.026853811f,
                              0.0051883277f, -0.00080101931f, 7.853860e-05f};
  const VecF a = abs(x);
  const VecF small = a * polynomial(a * a, series);
  const VecF large = fma(set(2.0f), normal(a * set(1.41421356f)).cumulative, set(-1.0f));
  return copy_sign(select(less(a, set(1.0f)), small, large), x);
}

struct ValueAndGradient {
  VecF value, gradient;
};

template <class Element = float>
BPK_INLINE VecF gelu(VecF x) { return x * normal<Element>(x).cumulative; }

template <class Element = float>
BPK_INLINE ValueAndGradient gelu_both(VecF x) {
  const Normal n = normal<Element>(x);
  return {x * n.cumulative, fma(x * set(0.39894228f), n.bell, n.cumulative)};
}
template <class Element = float>
BPK_INLINE VecF gelu_gradient(VecF x) { return gelu_both<Element>(x).gradient; }

template <class Element = float>
BPK_INLINE ValueAndGradient silu_both(VecF x) {
  // Finite, so that 1 - s can be had as e * s, without cancellation.
  const VecF e = min(set(1e37f), exp_for<Element>(zero() - x));
  const VecF s = reciprocal<Element>(set(1.0f) + e);
  const VecF value = x * s;
  return {value, fma(value, e * s, s)};
}
template <class Element = float>
BPK_INLINE VecF silu(VecF x) { return silu_both<Element>(x).value; }
template <class Element = float>
BPK_INLINE VecF silu_gradient(VecF x) { return silu_both<Element>(x).gradient; }

}  // namespace bpk::BPK_ISA
