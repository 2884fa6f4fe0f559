// Elementary functions, conversions and lane operations against f64.
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "kernels/math.h"
#include "kernels/random.h"
#include "kernels/threads.h"

using namespace bpk::BPK_ISA;
using namespace test;

namespace {

constexpr int lanes = VecF::lanes;

template <class Function>
float call(const Function& f, float x) {
  float out[lanes];
  store(out, f(set(x)));
  return out[0];
}

// Largest relative error over [low, high] where the result is a normal number.
template <class Function, class Reference>
double relative_error(const Function& f, const Reference& want, double low, double high) {
  double worst = 0;
  constexpr int steps = 40000;
  for (int i = 0; i <= steps; ++i) {
    const float x = float(low + (high - low) * i / steps);
    const double w = want(double(x));
    if (std::fabs(w) < 1.2e-38 || std::fabs(w) > 3.4e38) continue;
    worst = std::max(worst, std::fabs(call(f, x) / w - 1));
  }
  return worst;
}

void expect_below(double e, double limit, const char* what) {
  char line[100];
  std::snprintf(line, sizeof line, "%s: %.3g > %.3g", what, e, limit);
  expect(e <= limit, line);
  if (std::getenv("VERBOSE")) std::printf("  %-24s %.3g\n", what, e);
}

double gelu64(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double bell64(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }
double sigmoid64(double x) { return 1 / (1 + std::exp(-x)); }

void test_accuracy() {
  const auto e = [](VecF x) { return exp(x); };
  expect_below(relative_error(e, [](double x) { return std::exp(x); }, -87, 88.7), 1.3e-7, "exp");
  expect_below(relative_error([](VecF x) { return exp2_softmax<float>(x); }, [](double x) { return std::exp2(x); }, -126, 127.9),
               2.5e-7, "exp2_softmax<float>");
  expect_below(relative_error([](VecF x) { return exp2_softmax<bf16>(x); }, [](double x) { return std::exp2(x); }, -126, 127.9),
               1e-4, "exp2_softmax<bf16>");
  expect_below(relative_error([](VecF x) { return erf(x); }, [](double x) { return std::erf(x); }, -5, 5), 2e-7, "erf");
  expect_below(relative_error([](VecF x) { return gelu(x); }, gelu64, -12, 12), 4e-7, "gelu");
  expect_below(relative_error([](VecF x) { return gelu(x); }, gelu64, -0.1, 0.1), 4e-7, "gelu near 0");
  expect_below(relative_error([](VecF x) { return silu(x); }, [](double x) { return x * sigmoid64(x); }, -80, 80), 3e-7, "silu");
  expect_below(relative_error([](VecF x) { return gelu<bf16>(x); }, gelu64, -12, 12), 1e-3, "gelu<bf16>");
  expect_below(relative_error([](VecF x) { return silu<bf16>(x); }, [](double x) { return x * sigmoid64(x); }, -80, 80), 1e-3, "silu<bf16>");
  double gelu_worst = 0, silu_worst = 0;
  for (int i = -80000; i <= 80000; ++i) {
    const float x = float(i) * 1e-4f;
    const double s = sigmoid64(x);
    gelu_worst = std::max(gelu_worst, std::fabs(call([](VecF v) { return gelu_gradient(v); }, x) - (0.5 * std::erfc(-double(x) / std::sqrt(2.0)) + x * bell64(x))));
    silu_worst = std::max(silu_worst, std::fabs(call([](VecF v) { return silu_gradient(v); }, x) - s * (1 + x * (1 - s))));
  }
  expect_below(gelu_worst, 3e-7, "gelu gradient, absolute");
  expect_below(silu_worst, 3e-7, "silu gradient, absolute");
}

void test_special_values() {
  for (auto f : {+[](VecF x) { return exp(x); }, +[](VecF x) { return erf(x); }, +[](VecF x) { return gelu(x); },
                 +[](VecF x) { return silu(x); }, +[](VecF x) { return gelu<bf16>(x); }, +[](VecF x) { return silu<bf16>(x); },
                 +[](VecF x) { return gelu_gradient<bf16>(x); }, +[](VecF x) { return gelu_gradient(x); }, +[](VecF x) { return silu_gradient(x); },
                 +[](VecF x) { return exp2_softmax<float>(x); }, +[](VecF x) { return exp2_softmax<bf16>(x); },
                 +[](VecF x) { return round_bf16(x); }})
    expect(std::isnan(call(f, not_a_number)), "NaN propagates");
  const auto exp_ = [](VecF x) { return exp(x); };
  const auto exp2_ = [](VecF x) { return exp2_softmax<float>(x); };
  expect(call(exp_, 0) == 1 && call(exp_, inf) == inf && call(exp_, 200) == inf, "exp at 0, inf, 200");
  expect(call(exp_, -inf) == 0 && call(exp_, -200) == 0, "exp at -inf, -200");
  expect(call(exp2_, 0) == 1 && call(exp2_, inf) == inf && call(exp2_, -inf) == 0, "exp2 at 0, inf, -inf");
  expect(call(exp2_, -1e30f) == 0 && call(exp2_, 1e30f) == inf, "exp2 far out");
  expect(call([](VecF x) { return erf(x); }, inf) == 1 && call([](VecF x) { return erf(x); }, -inf) == -1, "erf at inf");
  expect(call([](VecF x) { return gelu(x); }, inf) == inf && call([](VecF x) { return gelu(x); }, 0) == 0, "gelu at inf, 0");
  expect(call([](VecF x) { return gelu(x); }, -30) == 0 || call([](VecF x) { return gelu(x); }, -30) > -1e-30f, "gelu at -30");
  expect(call([](VecF x) { return silu(x); }, inf) == inf && call([](VecF x) { return silu(x); }, -1000) > -1e-30f, "silu far out");
}

void test_bf16_rounding() {
  Random random(3);
  for (int i = 0; i < 20000; ++i) {
    const float x = __builtin_bit_cast(float, random.bits());
    if (std::fabs(x) < 2e-38f) continue;  // hardware flushes what is denormal
    bf16 stored[lanes];
    store(stored, set(x));
    expect(stored[0].bits == to_bf16(x).bits || std::isnan(x), "vector and scalar bf16 rounding agree");
    const float back = call([](VecF v) { return round_bf16(v); }, x);
    expect(std::isnan(x) ? std::isnan(back) : back == to_float(stored[0]), "round_bf16 is store then load");
  }
}

template <class T>
void test_partial_access() {
  for (int n = -1; n <= lanes + 1; ++n) {
    const int used = std::min(std::max(n, 0), lanes);
    std::vector<T> exact(size_t(used) + 0);
    for (int i = 0; i < used; ++i) store(&exact[size_t(i)], float(i + 1));
    float out[lanes];
    store(out, load_partial(exact.data(), n));
    for (int i = 0; i < lanes; ++i) expect(out[i] == (i < used ? float(i + 1) : 0.0f), "load_partial");
    std::vector<T> target(lanes + 2);
    store_partial(target.data(), set(7), n);
    for (int i = 0; i < lanes + 2; ++i) expect(to_float(target[size_t(i)]) == (i < used ? 7 : 0), "store_partial");
  }
}

void test_lane_operations() {
  float in[lanes * lanes], out[lanes];
  for (int i = 0; i < lanes * lanes; ++i) in[i] = float(i);
  VecF rows[lanes];
  for (int i = 0; i < lanes; ++i) rows[i] = load(in + i * lanes);
  transpose(rows);
  for (int i = 0; i < lanes; ++i) {
    store(out, rows[i]);
    for (int j = 0; j < lanes; ++j) expect(out[j] == in[j * lanes + i], "transpose");
  }
  expect(reduce_add(load(in)) == lanes * (lanes - 1) / 2, "reduce_add");
  expect(reduce_max(load(in)) == lanes - 1, "reduce_max");
  store(out, select(at_least(set_int(0x80000000u) + iota(), set_int(0x80000002u)), set(1), set(2)));
  expect(out[1] == 2 && out[2] == 1, "at_least is unsigned");
  store(out, copy_sign(set(3), set(-0.0f)));
  expect(out[0] == -3, "copy_sign");
}

// The mask must look random along a row, down a column and between seeds.
void test_random_masks() {
  const auto kept = [](const uint32_t* seed, uint64_t row, uint32_t column) {
    float out[lanes];
    store(out, DropoutMask(0.25f).apply(set(1), column, random_keys(seed, row)));
    return out[0] != 0 ? 1.0 : 0.0;
  };
  const uint32_t seed[2] = {1, 2}, other[2] = {1, 3};
  constexpr int size = 400;
  double mean = 0, along = 0, down = 0, between = 0;
  for (int row = 0; row < size; ++row)
    for (int column = 0; column < size; ++column) {
      const double a = kept(seed, row, column) - 0.75;
      mean += a;
      along += a * (kept(seed, row, column + 1) - 0.75);
      down += a * (kept(seed, row + 1, column) - 0.75);
      between += a * (kept(other, row, column) - 0.75);
    }
  const double n = size * size, variance = 0.25 * 0.75;
  expect(std::fabs(mean / n) < 5 * std::sqrt(variance / n), text("mask mean", mean / n));
  for (double c : {along, down, between}) expect(std::fabs(c / n / variance) < 5 / std::sqrt(n), text("mask correlation", c / n / variance));
}

void test_flush_and_threads() {
  volatile float tiny = 1e-40f;
  {
    const FlushDenormals guard;
    expect(tiny * 1.0f == 0, "denormals are flushed inside");
  }
  expect(tiny * 1.0f != 0, "and kept outside");
  for (int64_t count : {0, 1, 7, 1000}) {
    std::vector<int> hits(size_t(count) + 1);
    parallel_ranges(count, 1 << 20, [&](int64_t a, int64_t b) { for (int64_t i = a; i < b; ++i) ++hits[size_t(i)]; }, 16);
    TaskCounter counter;
    parallel_team(1 << 20, [&](int, int) { team_tasks(counter, count, 3, [&](int64_t i) { ++hits[size_t(i)]; }); });
    for (int64_t i = 0; i < count; ++i) expect(hits[size_t(i)] == 2, "each item is visited once");
  }
}

// After a fork the child must not wait for threads that stayed behind.
void test_forked_child_computes() {
  const auto count = [] {
    int64_t visited[64] = {};
    TaskCounter counter;
    parallel_team(1 << 20, [&](int thread, int) { team_tasks(counter, 1000, 7, [&](int64_t) { ++visited[thread]; }); });
    int64_t sum = 0;
    for (int64_t v : visited) sum += v;
    return sum;
  };
  expect(count() == 1000, "the team works before the fork");
  const pid_t child = fork();
  if (child == 0) {
    alarm(10);
    _exit(count() == 1000 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  expect(status == 0, "a forked child computes");
}

}  // namespace

int main() {
  test_accuracy();
  test_special_values();
  test_bf16_rounding();
  test_partial_access<float>();
  test_partial_access<bf16>();
  test_lane_operations();
  test_random_masks();
  test_flush_and_threads();
  test_forked_child_computes();
  return report("math");
}
