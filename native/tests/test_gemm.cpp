// Linear layers against f64: forward, gradients, packed, gated, quantized and int8, at odd sizes and on odd numbers.
#include <omp.h>

#include "check.h"
#include "kernels/int8.h"
#include "kernels/linear_backward.h"
#include "kernels/quantized.h"

namespace kernels = bpk::BPK_ISA;
using namespace test;
using bpk::Activation;

namespace {

template <class T>
constexpr double tolerance() {
  return sizeof(T) == 2 ? 1.2e-2 : 3e-6;
}

double phi(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
bool gated(Activation a) { return kernels::is_gated(a); }

double activate(Activation a, double x) {
  if (a == Activation::none) return x;
  return a == Activation::swiglu ? x * sigmoid(x) : x * phi(x);
}
double activate_gradient(Activation a, double x) {
  if (a == Activation::none) return 1;
  if (a == Activation::swiglu) return sigmoid(x) * (1 + x * (1 - sigmoid(x)));
  return phi(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
}

struct Case {
  int64_t tokens, in, out;
  Activation activation;
  bool bias;
  std::string name() const { return text(tokens, in, out, "activation", int(activation), bias ? "bias" : "no bias"); }
  int64_t width() const { return gated(activation) ? out / 2 : out; }
};

struct Reference {
  Doubles z, y, dx, dweight, dbias;
};

Reference reference(const Case& c, const Doubles& x, const Doubles& w, const Doubles& b, const Doubles& dy) {
  Reference r{Doubles(c.tokens * c.out), Doubles(c.tokens * c.width()), Doubles(c.tokens * c.in), Doubles(c.out * c.in),
              Doubles(c.out)};
  for (int64_t t = 0; t < c.tokens; ++t) {
    double* z = &r.z[t * c.out];
    for (int64_t n = 0; n < c.out; ++n) {
      z[n] = c.bias ? b[n] : 0;
      for (int64_t k = 0; k < c.in; ++k) z[n] += x[t * c.in + k] * w[n * c.in + k];
    }
    Doubles g(c.out);
    for (int64_t n = 0; n < c.width(); ++n) {
      const double d = dy[t * c.width() + n], a = activate(c.activation, z[n]),
                   slope = activate_gradient(c.activation, z[n]);
      const double factor = gated(c.activation) ? z[c.width() + n] : 1;
      r.y[t * c.width() + n] = a * factor;
      g[n] = d * slope * factor;
      if (gated(c.activation)) g[c.width() + n] = d * a;
    }
    for (int64_t n = 0; n < c.out; ++n) {
      r.dbias[n] += g[n];
      for (int64_t k = 0; k < c.in; ++k) {
        r.dx[t * c.in + k] += g[n] * w[n * c.in + k];
        r.dweight[n * c.in + k] += g[n] * x[t * c.in + k];
      }
    }
  }
  return r;
}

template <class T>
bpk::LinearForward forward_call(const Case& c, const Array<T>& x, const Array<float>& w, const Array<float>& b,
                                Array<T>& y, Array<T>& z) {
  return {c.tokens,        c.in,     c.out,
          dtype_of<T>(),   x.data(), w.data(),
          bpk::DType::f32, nullptr,  c.bias ? b.data() : nullptr,
          c.activation,    y.data(), c.activation == Activation::none ? nullptr : z.data()};
}

template <class T>
void check_linear(const Case& c) {
  const std::string name = text("linear", name_of<T>()) + c.name();
  const auto x = Array<T>::normal(c.tokens * c.in, 1);
  const auto w = Array<float>::normal(c.out * c.in, 2, 1 / std::sqrt(double(c.in)));
  const auto b = Array<float>::normal(c.out, 3);
  const auto dy = Array<T>::normal(c.tokens * c.width(), 4);
  const Reference want = reference(c, x.doubles(), w.doubles(), b.doubles(), dy.doubles());

  Array<T> y(c.tokens * c.width()), z(c.tokens * c.out);
  bpk::LinearForward forward = forward_call(c, x, w, b, y, z);
  kernels::linear_forward(forward);
  expect_close(y, want.y, tolerance<T>(), name + "y");
  if (forward.z) expect_close(z, want.z, tolerance<T>(), name + "z");

  Array<char> packed(int64_t(kernels::packed_bytes(c.in, c.out, dtype_of<T>(), c.activation)));
  kernels::pack_weight({c.in, c.out, dtype_of<T>(), w.data(), bpk::DType::f32, c.activation, packed.data()});
  Array<T> again(y.size());
  bpk::LinearForward inference = forward;
  inference.weight = nullptr;
  inference.packed = packed.data();
  inference.z = nullptr;
  inference.y = again.data();
  kernels::linear_forward(inference);
  expect(same_bytes(y, again), name + "packed weights give the same bytes");

  Array<T> dx(c.tokens * c.in);
  Array<float> dweight(c.out * c.in), dbias(c.out);
  bpk::LinearBackward backward{c.tokens,        c.in,         c.out,     dtype_of<T>(), x.data(),  w.data(),
                               bpk::DType::f32, c.activation, forward.z, dy.data(),     dx.data(), dweight.data(),
                               dbias.data()};
  kernels::linear_backward(backward);
  expect_close(dx, want.dx, 2 * tolerance<T>(), name + "dx");
  expect_close(dweight, want.dweight, 2 * tolerance<T>(), name + "dweight");
  expect_close(dbias, want.dbias, 2 * tolerance<T>(), name + "dbias");

  for (int part = 0; part < 3; ++part) {
    Array<T> one_dx(dx.size());
    Array<float> one_dweight(dweight.size()), one_dbias(dbias.size());
    bpk::LinearBackward one = backward;
    one.dx = part == 0 ? one_dx.data() : nullptr;
    one.dweight = part == 1 ? one_dweight.data() : nullptr;
    one.dbias = part == 2 ? one_dbias.data() : nullptr;
    kernels::linear_backward(one);
    const bool same = part == 0   ? same_bytes(dx, one_dx)
                      : part == 1 ? same_bytes(dweight, one_dweight)
                                  : same_bytes(dbias, one_dbias);
    expect(same, name + "a gradient asked for alone is the same");
  }
}

template <class T>
void check_threads() {
  const Case c{301, 130, 262, Activation::gelu, true};
  const auto x = Array<T>::normal(c.tokens * c.in, 1);
  const auto w = Array<float>::normal(c.out * c.in, 2, 0.1), b = Array<float>::normal(c.out, 3);
  const auto dy = Array<T>::normal(c.tokens * c.out, 4);
  const int most = omp_get_max_threads();
  Array<T> first_y(0), first_dx(0);
  Array<float> first_dweight(0), first_dbias(0);
  for (int threads = 1; threads <= 4; ++threads) {
    omp_set_num_threads(threads);
    Array<T> y(c.tokens * c.out), z(c.tokens * c.out), dx(c.tokens * c.in);
    Array<float> dweight(c.out * c.in), dbias(c.out);
    const auto forward = forward_call(c, x, w, b, y, z);
    kernels::linear_forward(forward);
    kernels::linear_backward({c.tokens, c.in, c.out, dtype_of<T>(), x.data(), w.data(), bpk::DType::f32, c.activation,
                              z.data(), dy.data(), dx.data(), dweight.data(), dbias.data()});
    if (threads == 1) {
      first_y = y, first_dx = dx, first_dweight = dweight, first_dbias = dbias;
      continue;
    }
    expect(same_bytes(y, first_y) && same_bytes(dx, first_dx) && same_bytes(dweight, first_dweight) &&
               same_bytes(dbias, first_dbias),
           text("linear", name_of<T>(), "gives the same bytes with", threads, "threads"));
  }
  omp_set_num_threads(most);
}

// Each f32 product by itself, over all signs and many sizes: no bit of an operand is lost, however products are formed.
void check_f32_precision() {
  const int64_t tokens = 40, out = 70;
  Array<float> x(tokens), w(out), y(tokens * out);
  Random random(1);
  const auto draw = [&] { return float(std::ldexp(random.normal(), random.below(40) - 20)); };
  for (int64_t i = 0; i < tokens; ++i) x[i] = draw();
  for (int64_t i = 0; i < out; ++i) w[i] = draw();
  kernels::linear_forward({tokens, 1, out, bpk::DType::f32, x.data(), w.data(), bpk::DType::f32, nullptr, nullptr,
                           Activation::none, y.data(), nullptr});
  double worst = 0;
  for (int64_t i = 0; i < y.size(); ++i) {
    const double want = double(x[i / out]) * w[i % out];
    worst = std::max(worst, std::fabs(y[i] - want) / std::fabs(want));
  }
  expect(worst < 1.2e-7, text("linear f32 rounds each product like f32, error", std::to_string(worst * 1e7), "e-7"));
}

// One bad token spoils its own row and no other.
template <class T>
void check_odd_numbers() {
  const Case c{37, 50, 34, Activation::none, false};
  for (float odd : {not_a_number, inf}) {
    auto x = Array<T>::normal(c.tokens * c.in, 1);
    const auto w = Array<float>::normal(c.out * c.in, 2), b = Array<float>::normal(c.out, 3);
    kernels::store(&x[5 * c.in + 49], odd);
    Array<T> y(c.tokens * c.out), z(c.tokens * c.out);
    kernels::linear_forward(forward_call(c, x, w, b, y, z));
    bool right = true;
    for (int64_t i = 0; i < y.size(); ++i) right = right && std::isfinite(to_float(y[i])) == (i / c.out != 5);
    expect(right, text("linear", name_of<T>(), "keeps NaN and infinity to their row"));
  }
  auto x = Array<T>::filled(c.tokens * c.in, 1e-39f);
  const auto w = Array<float>::filled(c.out * c.in, 1e-20f), b = Array<float>::filled(c.out, 0);
  Array<T> y(c.tokens * c.out), z(c.tokens * c.out);
  kernels::linear_forward(forward_call(c, x, w, b, y, z));
  bool is_zero = true;
  for (int64_t i = 0; i < y.size(); ++i) is_zero = is_zero && to_float(y[i]) == 0;
  expect(is_zero, text("linear", name_of<T>(), "flushes denormals"));
}

void check_empty() {
  Array<float> dweight = Array<float>::filled(12, 7), dbias = Array<float>::filled(4, 7);
  kernels::linear_forward({0, 3, 4, bpk::DType::f32, nullptr, nullptr, bpk::DType::f32, nullptr, nullptr,
                           Activation::none, nullptr, nullptr});
  kernels::linear_backward({0, 3, 4, bpk::DType::f32, nullptr, nullptr, bpk::DType::f32, Activation::none, nullptr,
                            nullptr, nullptr, dweight.data(), dbias.data()});
  expect(same_bytes(dweight, Array<float>::filled(12, 0)) && same_bytes(dbias, Array<float>::filled(4, 0)),
         "no tokens give zero gradients");
}

template <class T, class S>
void check_quantized(int64_t tokens, int64_t in, int64_t out, int bits, int group) {
  const std::string name = text("quantized", name_of<T>(), name_of<S>(), tokens, in, out, "bits", bits, "group", group);
  Random random(9);
  Array<uint32_t> words(out * in * bits / 32);
  for (int64_t i = 0; i < words.size(); ++i) words[i] = random.bits() ^ random.bits() << 8;
  const auto scales = Array<S>::normal(out * in / group, 5, 0.01), offsets = Array<S>::normal(out * in / group, 6, 0.1);
  const auto x = Array<T>::normal(tokens * in, 1), dy = Array<T>::normal(tokens * out, 2);
  const auto b = Array<float>::normal(out, 3);
  Doubles w(out * in);
  for (int64_t i = 0; i < out * in; ++i) {
    const int per_word = 32 / bits;
    const uint32_t q = words[i / per_word] >> (i % per_word * bits) & ((1u << bits) - 1);
    w[i] = double(q) * to_float(scales[i / group]) + to_float(offsets[i / group]);
  }
  const Case c{tokens, in, out, Activation::none, true};
  const Reference want = reference(c, x.doubles(), w, b.doubles(), dy.doubles());
  Array<T> y(tokens * out), dx(tokens * in);
  const bpk::QuantizedLinear forward{
      tokens,        in,    out,  dtype_of<T>(), x.data(), words.data(), scales.data(), offsets.data(),
      dtype_of<S>(), group, bits, b.data(),      y.data()};
  kernels::quantized_linear(forward);
  expect_close(y, want.y, tolerance<T>(), name + "y");
  kernels::quantized_linear_backward({forward, dy.data(), dx.data()});
  expect_close(dx, want.dx, tolerance<T>(), name + "dx");
}

// Against f64 arithmetic on the same integers; a value on the edge between two integers may round either way.
template <class T>
void check_int8(const Case& c) {
  const std::string name = text("int8", name_of<T>()) + c.name();
  const auto x = Array<T>::normal(c.tokens * c.in, 1, 1, 0.3);
  const auto w = Array<float>::normal(c.out * c.in, 2, 1 / std::sqrt(double(c.in))), b = Array<float>::normal(c.out, 3);
  Array<char> packed(int64_t(kernels::packed_int8_bytes(c.in, c.out)), 4);
  kernels::pack_int8({c.in, c.out, w.data(), c.activation, packed.data()});
  Array<T> y(c.tokens * c.width());
  kernels::int8_linear(
      {c.tokens, c.in, c.out, dtype_of<T>(), x.data(), packed.data(), b.data(), c.activation, y.data()});
  Doubles xq(x.size()), wq(w.size());
  for (int64_t n = 0; n < c.out; ++n) {
    double largest = 0;
    for (int64_t k = 0; k < c.in; ++k) largest = std::max(largest, double(std::fabs(w[n * c.in + k])));
    for (int64_t k = 0; k < c.in; ++k) wq[n * c.in + k] = std::rint(w[n * c.in + k] * 127 / largest) * largest / 127;
  }
  for (int64_t t = 0; t < c.tokens; ++t) {
    double low = 0, high = 0;
    for (int64_t k = 0; k < c.in; ++k)
      low = std::min(low, double(to_float(x[t * c.in + k]))), high = std::max(high, double(to_float(x[t * c.in + k])));
    const double scale = (high - low) / 255, zero = std::rint(-low / scale);
    for (int64_t k = 0; k < c.in; ++k) {
      const double q = std::min(255.0, std::max(0.0, std::rint(to_float(x[t * c.in + k]) / scale + zero)));
      xq[t * c.in + k] = (q - zero) * scale;
    }
  }
  const Doubles dy(c.tokens * c.width());
  expect_close(y, reference(c, xq, wq, b.doubles(), dy).y, 2e-2, name + "y");
}

}  // namespace

int main() {
#ifdef __AMX_BF16__
  if (!may_use_tiles()) return 0;  // nothing to test
#endif
  const int64_t sizes[][3] = {{1, 1, 2},    {1, 50, 2},     {3, 17, 34},   {14, 64, 96},  {15, 257, 130},
                              {33, 96, 66}, {64, 128, 256}, {100, 50, 66}, {257, 300, 98}};
  for (const auto& s : sizes) {
    for (Activation a : {Activation::none, Activation::gelu, Activation::geglu, Activation::swiglu}) {
      for (bool bias : {false, true}) {
        const Case c{s[0], s[1], s[2], a, bias};
        check_linear<float>(c);
        check_linear<bf16>(c);
        if (bias) check_int8<float>(c), check_int8<bf16>(c);
      }
    }
  }
  // Long enough inside to be cut into several blocks, in both directions.
  check_linear<float>({40, 1100, 70, Activation::gelu, true});
  check_linear<bf16>({40, 6400, 36, Activation::geglu, true});
  check_linear<float>({1100, 40, 34, Activation::swiglu, true});
  check_threads<float>();
  check_threads<bf16>();
  check_odd_numbers<float>();
  check_odd_numbers<bf16>();
  check_empty();
  check_f32_precision();
  for (int bits : {4, 8}) {
    check_quantized<float, float>(5, 128, 33, bits, 32);
    check_quantized<float, bf16>(17, 192, 96, bits, 64);
    check_quantized<bf16, float>(33, 256, 50, bits, 128);
    check_quantized<bf16, bf16>(70, 64, 130, bits, 64);
  }
  return report("gemm");
}
