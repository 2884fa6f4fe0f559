// Norms, activations, dropout, embedding, cross-entropy, AdamW and the square sum against f64.
#include "check.h"
#include "kernels/adamw.h"
#include "kernels/cross_entropy.h"
#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/norm.h"

namespace kernels = bpk::BPK_ISA;
using namespace test;

namespace {

const uint32_t seed[2] = {17, 4711};

// What dropout multiplies element (row, column) by.
double mask_at(float probability, int64_t row, int64_t column) {
  float out[kernels::VecF::lanes];
  kernels::store(out, kernels::DropoutMask(probability).apply(kernels::set(1), uint32_t(column), kernels::random_keys(seed, uint64_t(row))));
  return out[0];
}

template <class T>
constexpr double tolerance() { return sizeof(T) == 2 ? 1e-2 : 2e-6; }

// ---- norms ----

struct NormCase {
  int64_t tokens, width;
  bool rms, bias, residual;
  float dropout;
};

struct NormReference {
  Doubles y, h, dx, dresidual, dweight, dbias;
};

NormReference norm_reference(const NormCase& c, const Doubles& x, const Doubles& residual, const Doubles& w, const Doubles& b, double eps,
                             const Doubles& dy, const Doubles& dh, bool rounds) {
  const int64_t n = c.width;
  NormReference r{Doubles(x.size()), Doubles(x.size()), Doubles(x.size()), Doubles(x.size()), Doubles(n), Doubles(n)};
  for (int64_t t = 0; t < c.tokens; ++t) {
    double mean = 0, variance = 0, a = 0, p = 0;
    for (int64_t i = 0; i < n; ++i) {
      double h = x[t * n + i] * (c.dropout > 0 ? mask_at(c.dropout, t, i) : 1) + (c.residual ? residual[t * n + i] : 0);
      if (rounds) h = to_float(to_bf16(float(h)));
      r.h[t * n + i] = h;
      mean += h / n;
    }
    if (c.rms) mean = 0;
    for (int64_t i = 0; i < n; ++i) variance += (r.h[t * n + i] - mean) * (r.h[t * n + i] - mean) / n;
    const double s = 1 / std::sqrt(variance + eps);
    for (int64_t i = 0; i < n; ++i) {
      const double xhat = (r.h[t * n + i] - mean) * s, g = dy[t * n + i] * w[i];
      r.y[t * n + i] = xhat * w[i] + (c.bias ? b[i] : 0);
      r.dweight[i] += dy[t * n + i] * xhat;
      r.dbias[i] += dy[t * n + i];
      a += g / n;
      p += g * xhat / n;
    }
    if (c.rms) a = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double xhat = (r.h[t * n + i] - mean) * s;
      const double d = s * (dy[t * n + i] * w[i] - a - xhat * p) + dh[t * n + i];
      r.dresidual[t * n + i] = d;
      r.dx[t * n + i] = d * (c.dropout > 0 ? mask_at(c.dropout, t, i) : 1);
    }
  }
  return r;
}

template <class T>
void check_norm(const NormCase& c) {
  const std::string what = text("norm", name_of<T>(), c.tokens, c.width, c.rms ? "rms" : "", c.residual ? "residual" : "", c.dropout);
  const int64_t size = c.tokens * c.width;
  const auto x = Array<T>::normal(size, 1, 1, 0.5), residual = Array<T>::normal(size, 2, 2, 3);
  const auto dy = Array<T>::normal(size, 3), dh = Array<T>::normal(size, 4, 0.5);
  const auto w = Array<float>::normal(c.width, 5, 0.3, 1), b = Array<float>::normal(c.width, 6);
  Array<T> y(size), h(size), dx(size), dresidual(size);
  Array<float> mean(c.tokens), inverse_std(c.tokens), dweight(c.width), dbias(c.width);
  kernels::norm_forward({c.tokens, c.width, dtype_of<T>(), x.data(), c.residual ? residual.data() : nullptr, w.data(),
                         c.bias ? b.data() : nullptr, 1e-5f, c.rms, c.dropout, seed, y.data(), h.data(), c.rms ? nullptr : mean.data(),
                         inverse_std.data()});
  kernels::norm_backward({c.tokens, c.width, dtype_of<T>(), h.data(), w.data(), mean.data(), inverse_std.data(), c.rms, c.dropout, seed,
                          dy.data(), dh.data(), dx.data(), dresidual.data(), dweight.data(), dbias.data()});
  const auto want = norm_reference(c, x.doubles(), residual.doubles(), w.doubles(), b.doubles(), 1e-5, dy.doubles(), dh.doubles(), sizeof(T) == 2);
  expect_close(y, want.y, tolerance<T>(), what + "y");
  expect_close(h, want.h, tolerance<T>(), what + "h");
  expect_close(dx, want.dx, tolerance<T>(), what + "dx");
  expect_close(dresidual, want.dresidual, tolerance<T>(), what + "dresidual");
  expect_close(dweight, want.dweight, sizeof(T) == 2 ? 1e-3 : 1e-5, what + "dweight");
  expect_close(dbias, want.dbias, 1e-5, what + "dbias");

  Array<T> alone(size), shared(size);
  kernels::norm_backward({c.tokens, c.width, dtype_of<T>(), h.data(), w.data(), mean.data(), inverse_std.data(), c.rms, 0, nullptr, dy.data(),
                          nullptr, alone.data(), nullptr, nullptr, nullptr});
  kernels::norm_backward({c.tokens, c.width, dtype_of<T>(), h.data(), w.data(), mean.data(), inverse_std.data(), c.rms, 0, nullptr, dy.data(),
                          nullptr, shared.data(), shared.data(), nullptr, dbias.data()});
  expect(same_bytes(alone, shared), what + "frozen parameters and a shared dresidual change nothing");
}

template <class T>
void test_norms() {
  for (int64_t width : {1, 3, 16, 50, 64, 257, 768})
    for (int64_t tokens : {0, 1, 5, 70}) {
      if (width == 1 && tokens) continue;  // the variance of one number is rounding noise
      check_norm<T>({tokens, width, false, true, true, 0.1f});
      check_norm<T>({tokens, width, false, false, true, 0});
      check_norm<T>({tokens, width, true, false, false, 0});
    }
  check_norm<T>({600, 1024, false, true, true, 0.5f});
  Array<T> x = Array<T>::normal(3 * 40, 9), y(3 * 40);
  const auto w = Array<float>::filled(40, 1);
  kernels::store(&x[45], not_a_number);
  kernels::norm_forward({3, 40, dtype_of<T>(), x.data(), nullptr, w.data(), nullptr, 1e-5f, false, 0, nullptr, y.data(), nullptr, nullptr, nullptr});
  expect(std::isnan(to_float(y[40])) && std::isnan(to_float(y[79])) && !std::isnan(to_float(y[39])) && !std::isnan(to_float(y[80])), "NaN stays in its row");
}

// ---- activations ----

double gelu64(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double silu64(double x) { return x / (1 + std::exp(-x)); }
double slope(double (*f)(double), double x) { return (f(x + 1e-5) - f(x - 1e-5)) / 2e-5; }

template <class T>
void check_activation(bpk::Activation name, int64_t tokens, int64_t width) {
  const bool gated = kernels::is_gated(name);
  const auto f = name == bpk::Activation::none ? +[](double v) { return v; } : name == bpk::Activation::swiglu ? silu64 : gelu64;
  const int64_t inputs = gated ? 2 * width : width;
  const auto x = Array<T>::normal(tokens * inputs, 1, 2), dy = Array<T>::normal(tokens * width, 2);
  Array<T> y(tokens * width), dx(tokens * inputs);
  kernels::activation_forward({tokens, width, dtype_of<T>(), name, x.data(), y.data()});
  kernels::activation_backward({tokens, width, dtype_of<T>(), name, x.data(), dy.data(), dx.data()});
  Doubles want_y(tokens * width), want_dx(tokens * inputs);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < width; ++i) {
      const double a = to_float(x[t * inputs + i]), d = to_float(dy[t * width + i]), gate = gated ? to_float(x[t * inputs + width + i]) : 1;
      want_y[t * width + i] = f(a) * gate;
      want_dx[t * inputs + i] = d * slope(f, a) * gate;
      if (gated) want_dx[t * inputs + width + i] = d * f(a);
    }
  const std::string what = text("activation", int(name), name_of<T>(), tokens, width);
  expect_close(y, want_y, tolerance<T>(), what + "y");
  expect_close(dx, want_dx, tolerance<T>(), what + "dx");
}

template <class T>
void test_activations() {
  for (auto name : {bpk::Activation::none, bpk::Activation::gelu, bpk::Activation::geglu, bpk::Activation::swiglu})
    for (int64_t width : {1, 17, 64, 100})
      for (int64_t tokens : {0, 1, 3, 333}) check_activation<T>(name, tokens, width);
}

template <class T>
void test_dropout() {
  for (int64_t size : {0, 1, 1023, 1025, 100003}) {
    const auto x = Array<T>::filled(size, 1);
    Array<T> y(size), again(size);
    for (float p : {0.0f, 0.25f, 1.0f}) {
      kernels::dropout({size, dtype_of<T>(), p, seed, x.data(), y.data()});
      kernels::dropout({size, dtype_of<T>(), p, seed, x.data(), again.data()});
      expect(same_bytes(y, again), "the same seed drops the same elements");
      double kept = 0;
      for (int64_t i = 0; i < size; ++i) {
        const float v = to_float(y[i]);
        expect(v == 0 || std::fabs(v * (1 - p) - 1) < 0.01, "what is kept is scaled");
        kept += v != 0;
      }
      if (size > 1e5) expect(std::fabs(kept / double(size) - (1 - p)) < 0.006, text("kept share", kept / double(size), p));
    }
  }
}

// ---- embedding ----

template <class T, class Table>
void check_embedding(int64_t tokens, int64_t width, int64_t rows) {
  const auto table = Array<Table>::normal(rows * width, 1);
  const auto dy = Array<T>::normal(tokens * width, 2);
  Array<int32_t> ids(tokens);
  Random random(3);
  for (int64_t i = 0; i < tokens; ++i) ids[i] = random.below(int(rows) + 2) - 1;  // both ends go past the table
  Array<T> y(tokens * width);
  auto dtable = Array<float>::filled(rows * width, not_a_number);
  kernels::embedding_forward({tokens, width, rows, dtype_of<T>(), table.data(), dtype_of<Table>(), ids.data(), y.data()});
  kernels::embedding_backward({tokens, width, rows, dtype_of<T>(), ids.data(), dy.data(), dtable.data()});
  Doubles want(tokens * width), want_d(rows * width);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < width; ++i) {
      if (ids[t] < 0 || ids[t] >= rows) continue;
      want[t * width + i] = to_float(table[ids[t] * width + i]);
      want_d[ids[t] * width + i] += to_float(dy[t * width + i]);
    }
  expect_close(y, want, 4e-3, text("embedding", name_of<T>(), tokens, width));
  expect_close(dtable, want_d, 1e-6, text("embedding gradient", name_of<T>(), tokens, width));
}

// ---- cross-entropy ----

template <class T>
void check_cross_entropy(int64_t tokens, int64_t classes, double scale) {
  const auto logits = Array<T>::normal(tokens * classes, 1, scale);
  const auto dloss = Array<float>::normal(tokens, 2);
  Array<int32_t> labels(tokens);
  Random random(4);
  for (int64_t i = 0; i < tokens; ++i) labels[i] = i % 5 == 3 ? -100 : random.below(int(classes));
  Array<float> loss(tokens), normaliser(tokens);
  Array<T> dlogits(tokens * classes);
  kernels::cross_entropy_forward({tokens, classes, dtype_of<T>(), logits.data(), labels.data(), loss.data(), normaliser.data()});
  kernels::cross_entropy_backward({tokens, classes, dtype_of<T>(), logits.data(), labels.data(), normaliser.data(), dloss.data(), dlogits.data()});
  Doubles want(tokens), want_d(tokens * classes);
  for (int64_t t = 0; t < tokens; ++t) {
    if (labels[t] < 0) continue;
    double top = -1e300, sum = 0;
    for (int64_t i = 0; i < classes; ++i) top = std::max(top, double(to_float(logits[t * classes + i])));
    for (int64_t i = 0; i < classes; ++i) sum += std::exp(to_float(logits[t * classes + i]) - top);
    want[t] = top + std::log(sum) - to_float(logits[t * classes + labels[t]]);
    for (int64_t i = 0; i < classes; ++i)
      want_d[t * classes + i] = (std::exp(to_float(logits[t * classes + i]) - top) / sum - (i == labels[t])) * dloss[t];
  }
  const std::string what = text("cross entropy", name_of<T>(), tokens, classes);
  expect_close(loss, want, 1e-6, what + "loss");
  expect_close(dlogits, want_d, sizeof(T) == 2 ? 5e-3 : 1e-5, what + "dlogits");
}

void test_cross_entropy_odd_labels() {
  Array<float> logits = Array<float>::normal(3 * 5, 1), loss(3), normaliser(3);
  Array<int32_t> labels(3);
  logits[5] = not_a_number;
  labels[0] = 5, labels[1] = 2, labels[2] = -1;
  kernels::cross_entropy_forward({3, 5, bpk::DType::f32, logits.data(), labels.data(), loss.data(), normaliser.data()});
  expect(std::isnan(loss[0]), "a label that is no class gives NaN");
  expect(std::isnan(loss[1]), "NaN logits give a NaN loss");
  expect(loss[2] == 0, "no label, no loss");
}

// ---- optimizer ----

void check_adamw(int64_t size, bool in_place) {
  auto p = Array<float>::normal(size, 1), m = Array<float>::normal(size, 3, 0.01), v = Array<float>::normal(size, 4, 0.001);
  const auto g = Array<float>::normal(size, 2);
  for (int64_t i = 0; i < size; ++i) v[i] = std::fabs(v[i]);
  const float rate = 3e-3f, step = 7, scale = 0.37f, b1 = 0.9f, b2 = 0.999f, eps = 1e-8f, decay = 0.01f;
  Doubles want_p(size), want_m(size), want_v(size);
  for (int64_t i = 0; i < size; ++i) {
    const double gradient = double(g[i]) * scale;
    want_m[i] = b1 * double(m[i]) + (1 - double(b1)) * gradient;
    want_v[i] = b2 * double(v[i]) + (1 - double(b2)) * gradient * gradient;
    const double mhat = want_m[i] / (1 - std::pow(double(b1), step)), vhat = want_v[i] / (1 - std::pow(double(b2), step));
    want_p[i] = p[i] * (1 - double(rate) * decay) - rate * mhat / (std::sqrt(vhat) + eps);
  }
  Array<float> p2(size), m2(size), v2(size);
  Array<float>&po = in_place ? p : p2, &mo = in_place ? m : m2, &vo = in_place ? v : v2;
  const bpk::AdamWArray array{size, p.data(), g.data(), m.data(), v.data(), decay, po.data(), mo.data(), vo.data()};
  kernels::adamw({1, &array, &rate, &step, &scale, b1, b2, eps});
  expect_close(po, want_p, 3e-7, text("adamw p", size));
  expect_close(mo, want_m, 3e-7, text("adamw m", size));
  expect_close(vo, want_v, 3e-7, text("adamw v", size));
}

// Arrays of all sizes in one call, the empty ones between others: each is updated once, with its own decay.
void check_adamw_of_many() {
  const float rate = 0.5f, step = 1, scale = 1;
  std::vector<Array<float>> parameters, zeros;
  std::vector<bpk::AdamWArray> arrays;
  for (int64_t size : {5, 0, 40000, 1, 0, 16384, 70001}) {
    parameters.push_back(Array<float>::filled(size, 1));
    zeros.push_back(Array<float>::filled(size, 0));
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    float *p = parameters[i].data(), *z = zeros[i].data();
    arrays.push_back({parameters[i].size(), p, z, z, z, float(i) / 10, p, z, z});
  }
  kernels::adamw({int64_t(arrays.size()), arrays.data(), &rate, &step, &scale, 0.9f, 0.999f, 1e-8f});
  for (size_t i = 0; i < parameters.size(); ++i)
    for (int64_t j = 0; j < parameters[i].size(); ++j)
      expect(parameters[i][j] == 1 - rate * (float(i) / 10), text("adamw of many, array", i, "element", j));
}

template <class T>
float square_sum(const Array<T>& x) {
  const bpk::SquareSumArray array{x.size(), dtype_of<T>(), x.data()};
  float out;
  kernels::square_sum({1, &array, &out});
  return out;
}

void test_square_sum_of_many() {
  const auto a = Array<float>::filled(20000, 0.5f), none = Array<float>(0), b = Array<float>::filled(3, 2);
  const auto c = Array<bf16>::filled(40000, 1);
  const bpk::SquareSumArray arrays[] = {{a.size(), bpk::DType::f32, a.data()}, {0, bpk::DType::f32, none.data()},
                                        {b.size(), bpk::DType::f32, b.data()}, {c.size(), bpk::DType::bf16, c.data()}};
  float out;
  kernels::square_sum({4, arrays, &out});
  expect(out == 45012, "the square sum of many arrays is over all of them");
}

template <class T>
void test_square_sum() {
  for (int64_t size : {0, 1, 31, 5000, 300001}) {
    const auto x = Array<T>::normal(size, 1);
    const auto out = Array<float>::filled(1, square_sum(x));
    double want = 0;
    for (double v : x.doubles()) want += v * v;
    expect_close(out, {want}, 1e-7, text("square sum", name_of<T>(), size));
  }
  const auto large = Array<T>::filled(100, 1e18f);
  expect(std::isfinite(square_sum(large)), "squares do not overflow on the way");
}

// ---- all of them ----

// Denormals count as zero inside the kernels, and the caller's floating-point mode comes back untouched.
void test_denormals() {
  const int64_t tokens = 64, width = 1024, size = tokens * width;  // enough work for the whole team
  const auto tiny = Array<float>::filled(size, 1e-40f);
  const auto gain = Array<float>::filled(width, 1), shift = Array<float>::normal(width, 1);
  Array<float> y(size);
  const unsigned mode = _mm_getcsr();
  kernels::norm_forward({tokens, width, bpk::DType::f32, tiny.data(), nullptr, gain.data(), shift.data(), 1e-5f, false, 0, nullptr, y.data(),
                         nullptr, nullptr, nullptr});
  for (int64_t i = 0; i < size; ++i) expect(y[i] == shift[i % width], "the norm of a row of denormals is the bias");
  kernels::activation_forward({tokens, width, bpk::DType::f32, bpk::Activation::gelu, tiny.data(), y.data()});
  for (int64_t i = 0; i < size; ++i) expect(y[i] == 0, "gelu of a denormal is zero");
  expect(((_mm_getcsr() ^ mode) & ~0x3fu) == 0, "the mode is restored");  // the low bits report exceptions
}

void test_thread_count_does_not_matter() {
  const int64_t tokens = 333, width = 200, size = tokens * width, rows = 50;
  const auto h = Array<float>::normal(size, 1), dy = Array<float>::normal(size, 2);
  const auto w = Array<float>::normal(width, 3), mean = Array<float>::normal(tokens, 4), s = Array<float>::normal(tokens, 5);
  Array<int32_t> ids(tokens);
  for (int64_t i = 0; i < tokens; ++i) ids[i] = int32_t(i * 7 % rows);
  std::vector<Array<float>> first;
  for (int threads : {4, 1, 2, 3}) {
    omp_set_num_threads(threads);
    Array<float> dx(size), dweight(width), dbias(width), dtable(rows * width), sum(1);
    kernels::norm_backward({tokens, width, bpk::DType::f32, h.data(), w.data(), mean.data(), s.data(), false, 0, nullptr, dy.data(), nullptr,
                            dx.data(), nullptr, dweight.data(), dbias.data()});
    kernels::embedding_backward({tokens, width, rows, bpk::DType::f32, ids.data(), dy.data(), dtable.data()});
    sum[0] = square_sum(dy);
    const std::vector<Array<float>> all = {dx, dweight, dbias, dtable, sum};
    if (first.empty()) first = all;
    for (size_t i = 0; i < all.size(); ++i) expect(same_bytes(first[i], all[i]), text("bitwise equal with threads:", threads, int(i)));
  }
  omp_set_num_threads(4);
}

template <class T>
void test_all() {
  test_norms<T>();
  test_activations<T>();
  test_dropout<T>();
  for (int64_t width : {1, 20, 64, 131}) {
    check_embedding<T, float>(37, width, 11);
    check_embedding<T, bf16>(900, width, 300);
  }
  check_embedding<T, float>(0, 16, 4);
  for (int64_t classes : {1, 2, 7, 16, 1000}) check_cross_entropy<T>(23, classes, 3);
  check_cross_entropy<T>(9, 30, 60);
  check_cross_entropy<T>(0, 3, 1);
  test_square_sum<T>();
}

}  // namespace

int main() {
  test_all<float>();
  test_all<bf16>();
  test_cross_entropy_odd_labels();
  for (int64_t size : {0, 1, 17, 1024, 70001}) check_adamw(size, size % 2);
  check_adamw_of_many();
  test_square_sum_of_many();
  test_denormals();
  test_thread_count_does_not_matter();
  return report("token_ops");
}
