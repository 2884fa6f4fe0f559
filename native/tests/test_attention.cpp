// Attention forward and backward against f64: odd lengths, window edges, both RoPE layouts, dropout, empty sequences.

#include "check.h"
#include "kernels/attention.h"

namespace kernels = bpk::BPK_ISA;
using namespace test;

namespace {

const uint32_t seed[2] = {99, 12};

struct Case {
  std::vector<int> lengths;
  int heads, width;
  int half_window = -1;
  int rope = 0;  // 0 none, 1 halves, 2 interleaved
  float dropout = 0;
  double scale = 0;  // 0: 1 / sqrt(width)
  double tolerance = 1;  // times what is usual

  int tokens() const {
    int sum = 0;
    for (int n : lengths) sum += n;
    return sum;
  }
  int longest() const { return *std::max_element(lengths.begin(), lengths.end()); }
  double factor() const { return scale != 0 ? scale : 1 / std::sqrt(double(width)); }
  std::string name(const char* type) const {
    std::string all = text("attention", type, "heads", heads, "width", width, "window", half_window, "rope", rope, "dropout", dropout, "lengths");
    for (int n : lengths) all += std::to_string(n) + " ";
    return all;
  }
};

struct Tables {
  Array<float> cosines, sines;
  explicit Tables(const Case& c) : cosines(c.longest() * (c.width / 2)), sines(c.longest() * (c.width / 2)) {
    for (int p = 0; p < c.longest(); ++p)
      for (int j = 0; j < c.width / 2; ++j) {
        const double angle = p * std::pow(100.0, -2.0 * j / c.width);
        cosines[p * (c.width / 2) + j] = float(std::cos(angle));
        sines[p * (c.width / 2) + j] = float(std::sin(angle));
      }
  }
};

// Rotates one head's row in place; sign -1 undoes it.
void rotate(const Case& c, const Tables& tables, double* x, int position, double sign) {
  if (!c.rope) return;
  const int half = c.width / 2;
  for (int j = 0; j < half; ++j) {
    double &a = c.rope == 1 ? x[j] : x[2 * j], &b = c.rope == 1 ? x[j + half] : x[2 * j + 1];
    const double cosine = tables.cosines[position * half + j], sine = sign * tables.sines[position * half + j];
    const double first = a * cosine - b * sine, second = b * cosine + a * sine;
    a = first;
    b = second;
  }
}

struct Reference {
  Doubles out, log_sum_exp, dqkv;
};

Reference reference(const Case& c, const Tables& tables, const Doubles& qkv, const Doubles& dout) {
  const int tokens = c.tokens(), E = c.heads * c.width, D = c.width;
  Reference r{Doubles(size_t(tokens) * E), Doubles(size_t(tokens) * c.heads), Doubles(size_t(tokens) * 3 * E)};
  int start = 0;
  for (int T : c.lengths) {
    for (int h = 0; h < c.heads; ++h) {
      std::vector<Doubles> part(3, Doubles(size_t(T) * D)), gradient = part;
      for (int x = 0; x < 3; ++x)
        for (int t = 0; t < T; ++t) {
          for (int i = 0; i < D; ++i) part[x][t * D + i] = qkv[size_t(start + t) * 3 * E + x * E + h * D + i];
          if (x < 2) rotate(c, tables, &part[x][t * D], t, 1);
        }
      const auto &q = part[0], &k = part[1], &v = part[2];
      for (int i = 0; i < T; ++i) {
        Doubles p(T, 0), mask(T, 1), dp(T, 0);
        const int lo = c.half_window < 0 ? 0 : std::max(0, i - c.half_window), hi = c.half_window < 0 ? T : std::min(T, i + c.half_window + 1);
        double top = -1e300, sum = 0, delta = 0;
        for (int j = lo; j < hi; ++j) {
          for (int d = 0; d < D; ++d) p[j] += q[i * D + d] * k[j * D + d] * c.factor();
          top = std::max(top, p[j]);
        }
        for (int j = lo; j < hi; ++j) sum += p[j] = std::exp(p[j] - top);
        r.log_sum_exp[size_t(h) * tokens + start + i] = top + std::log(sum);
        const auto keys = kernels::random_keys(seed, uint64_t(h) * tokens + start + i);
        const double* g = &dout[size_t(start + i) * E + h * D];
        double* o = &r.out[size_t(start + i) * E + h * D];
        for (int j = lo; j < hi; ++j) {
          p[j] /= sum;
          if (c.dropout > 0) {
            float m[kernels::VecF::lanes];
            kernels::store(m, kernels::DropoutMask(c.dropout).apply(kernels::set(1), uint32_t(j), keys));
            mask[j] = m[0];
          }
          for (int d = 0; d < D; ++d) {
            o[d] += p[j] * mask[j] * v[j * D + d];
            dp[j] += mask[j] * g[d] * v[j * D + d];
            gradient[2][j * D + d] += p[j] * mask[j] * g[d];
          }
          delta += p[j] * dp[j];
        }
        for (int j = lo; j < hi; ++j) {
          const double ds = p[j] * (dp[j] - delta) * c.factor();
          for (int d = 0; d < D; ++d) {
            gradient[0][i * D + d] += ds * k[j * D + d];
            gradient[1][j * D + d] += ds * q[i * D + d];
          }
        }
      }
      for (int x = 0; x < 3; ++x)
        for (int t = 0; t < T; ++t) {
          if (x < 2) rotate(c, tables, &gradient[x][t * D], t, -1);
          for (int i = 0; i < D; ++i) r.dqkv[size_t(start + t) * 3 * E + x * E + h * D + i] = gradient[x][t * D + i];
        }
    }
    start += T;
  }
  return r;
}

template <class T>
struct Run {
  Array<T> out, dqkv;
  Array<float> log_sum_exp;

  Run(const Case& c, const Tables& tables, const Array<T>& qkv, const Array<T>& dout)
      : out(int64_t(c.tokens()) * c.heads * c.width), dqkv(int64_t(c.tokens()) * c.heads * c.width * 3), log_sum_exp(int64_t(c.tokens()) * c.heads) {
    std::vector<int32_t> starts = {0};
    for (int n : c.lengths) starts.push_back(starts.back() + n);
    bpk::AttentionForward args{};
    args.sequences = int64_t(c.lengths.size());
    args.tokens = c.tokens();
    args.heads = c.heads;
    args.head_size = c.width;
    args.dtype = dtype_of<T>();
    args.qkv = qkv.data();
    args.cu_seqlens = starts.data();
    args.scale = float(c.factor());
    args.half_window = c.half_window;
    args.cosines = c.rope ? tables.cosines.data() : nullptr;
    args.sines = c.rope ? tables.sines.data() : nullptr;
    args.interleaved = c.rope == 2;
    args.dropout = c.dropout;
    args.seed = seed;
    args.out = out.data();
    kernels::attention_forward(args);
    const Array<T> inference = out;
    args.log_sum_exp = log_sum_exp.data();
    kernels::attention_forward(args);
    expect(same_bytes(inference, out), "training and inference give the same output");
    kernels::attention_backward({args, dout.data(), dqkv.data()});
  }
};

template <class T>
void check(const Case& c) {
  const Tables tables(c);
  const int64_t E = c.heads * c.width;
  const auto qkv = Array<T>::normal(c.tokens() * 3 * E, 1), dout = Array<T>::normal(c.tokens() * E, 2);
  const Run<T> got(c, tables, qkv, dout);
  const Reference want = reference(c, tables, qkv.doubles(), dout.doubles());
  const std::string name = c.name(name_of<T>());
  expect_close(got.out, want.out, (sizeof(T) == 2 ? 8e-3 : 2e-6) * c.tolerance, name + "out");
  expect_close(got.log_sum_exp, want.log_sum_exp, sizeof(T) == 2 ? 4e-3 : 1e-6, name + "log_sum_exp", 3);
  expect_close(got.dqkv, want.dqkv, (sizeof(T) == 2 ? 1.2e-2 : 5e-6) * c.tolerance, name + "dqkv");
}

// The closed form used as the reference is itself checked against differences of its own forward pass.
void test_reference() {
  const Case c{{5, 3}, 2, 4, 1, 1, 0.3f};
  const Tables tables(c);
  Doubles qkv = Array<float>::normal(8 * 24, 1).doubles();
  const Doubles dout = Array<float>::normal(8 * 8, 2).doubles();
  const Doubles gradient = reference(c, tables, qkv, dout).dqkv;
  const auto loss = [&] {
    const Doubles out = reference(c, tables, qkv, dout).out;
    double sum = 0;
    for (size_t i = 0; i < out.size(); ++i) sum += out[i] * dout[i];
    return sum;
  };
  for (size_t i = 0; i < qkv.size(); i += 5) {
    const double keep = qkv[i];
    qkv[i] = keep + 1e-5;
    const double up = loss();
    qkv[i] = keep - 1e-5;
    const double down = loss();
    qkv[i] = keep;
    expect(std::fabs((up - down) / 2e-5 - gradient[i]) < 1e-7, "closed-form gradient of the reference");
  }
}

template <class T>
void test_shapes() {
  check<T>({{1}, 1, 8});
  check<T>({{7}, 1, 16});
  check<T>({{0, 1, 0, 2, 33, 0}, 2, 32});
  check<T>({{20, 31, 64, 1, 47}, 3, 64});
  check<T>({{65, 129}, 1, 64});
  check<T>({{300}, 2, 32});
  check<T>({{515}, 1, 64});
  for (int width : {8, 12, 24, 40, 48, 80, 96, 128}) check<T>({{3, 35, 17}, 2, width, width % 3 ? -1 : 4, width % 16 ? 1 : 2});
  check<T>({{130}, 2, 7});
}

template <class T>
void test_options() {
  for (int window : {0, 1, 15, 16, 17, 64})
    for (int rope : {0, 1, 2}) check<T>({{150, 5, 64}, 1, 32, window, rope});
  check<T>({{700}, 1, 32, 64, 1});
  check<T>({{257}, 1, 64, 128, 2});
  for (float dropout : {0.1f, 0.5f}) {
    check<T>({{40, 100}, 2, 32, -1, 0, dropout});
    check<T>({{150}, 1, 64, 20, 1, dropout});
  }
  check<T>({{50}, 1, 32, -1, 0, 1.0f});
  check<T>({{200, 40}, 1, 32, -1, 0, 0, 3.0, 3});  // peaked: references have to be raised, and scores are large
}

template <class T>
void test_not_a_number_stays_in_its_sequence() {
  const Case c{{40, 40, 40}, 2, 32};
  const Tables tables(c);
  auto qkv = Array<T>::normal(120 * 192, 1);
  const auto dout = Array<T>::normal(120 * 64, 2);
  kernels::store(&qkv[50 * 192 + 70], not_a_number);  // a key of head 0 of the second sequence
  const Run<T> got(c, tables, qkv, dout);
  for (int t = 0; t < 120; ++t)
    for (int i = 0; i < 64; ++i)
      expect(std::isnan(to_float(got.out[t * 64 + i])) == (t >= 40 && t < 80 && i < 32), "NaN spreads to its head and sequence alone");
}

// Large scores of one sign: the padding's probability must not overflow into the gradients.
template <class T>
void test_extreme_scores() {
  const Case c{{37}, 1, 32, -1, 0, 0, 20.0};
  const Tables tables(c);
  auto qkv = Array<T>::filled(37 * 96, 1.0f);
  for (int t = 0; t < 37; ++t)
    for (int i = 0; i < 32; ++i) kernels::store(&qkv[t * 96 + i], -1.0f - float(t % 3));
  const auto dout = Array<T>::normal(37 * 32, 2);
  const Run<T> got(c, tables, qkv, dout);
  const Reference want = reference(c, tables, qkv.doubles(), dout.doubles());
  expect_close(got.out, want.out, 8e-3, "extreme scores, out");
  for (int64_t i = 0; i < got.dqkv.size(); ++i) expect(std::isfinite(to_float(got.dqkv[i])), "extreme scores, gradient is finite");
}

// A caller may round the number of tokens up; what no sequence covers comes out as zeros.
template <class T>
void test_tokens_behind_the_last_sequence() {
  const Case c{{9, 4}, 2, 32};
  const Tables tables(c);
  const int64_t tokens = 40, covered = 13;
  const auto qkv = Array<T>::normal(tokens * 192, 1), dout = Array<T>::normal(tokens * 64, 2);
  auto out = Array<T>::filled(tokens * 64, not_a_number), dqkv = Array<T>::filled(tokens * 192, not_a_number);
  Array<float> log_sum_exp(tokens * 2);
  const int32_t starts[] = {0, 9, 13};
  bpk::AttentionForward args{};
  args.sequences = 2;
  args.tokens = tokens;
  args.heads = 2;
  args.head_size = 32;
  args.dtype = dtype_of<T>();
  args.qkv = qkv.data();
  args.cu_seqlens = starts;
  args.scale = float(c.factor());
  args.half_window = -1;
  args.out = out.data();
  args.log_sum_exp = log_sum_exp.data();
  kernels::attention_forward(args);
  kernels::attention_backward({args, dout.data(), dqkv.data()});
  for (int64_t i = 0; i < tokens * 64; ++i) expect((to_float(out[i]) == 0) == (i >= covered * 64), "only covered rows of out are not zero");
  for (int64_t i = covered * 192; i < tokens * 192; ++i) expect(to_float(dqkv[i]) == 0, "uncovered rows of dqkv are zero");
}

template <class T>
void test_denormals() {
  const Case c{{33}, 1, 32};
  const Tables tables(c);
  const auto qkv = Array<T>::normal(33 * 96, 1, 1e-39), dout = Array<T>::normal(33 * 32, 2, 1e-39);
  const Run<T> got(c, tables, qkv, dout);
  for (int64_t i = 0; i < got.out.size(); ++i) expect(std::fabs(to_float(got.out[i])) < 1e-37, "denormals");
}

// Nor does it matter how queries are cut into pieces, and which of them find their keys already packed.
template <class T>
void test_thread_count_does_not_matter(int window) {
  const Case c{{700, 20, 90}, 2, 32, window, 1, 0.1f};
  const Tables tables(c);
  const auto qkv = Array<T>::normal(c.tokens() * 192, 1), dout = Array<T>::normal(c.tokens() * 64, 2);
  const Run<T> first(c, tables, qkv, dout);
  for (int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    const Run<T> again(c, tables, qkv, dout);
    expect(same_bytes(first.out, again.out) && same_bytes(first.dqkv, again.dqkv), text("bitwise equal with threads:", threads));
  }
  omp_set_num_threads(4);
}

template <class T>
void test_all() {
  test_shapes<T>();
  test_options<T>();
  test_not_a_number_stays_in_its_sequence<T>();
  test_extreme_scores<T>();
  test_denormals<T>();
  test_tokens_behind_the_last_sequence<T>();
  test_thread_count_does_not_matter<T>(100);
  test_thread_count_does_not_matter<T>(-1);
}

}  // namespace

int main() {
#ifdef __AMX_BF16__
  if (!may_use_tiles()) return 0;  // nothing to test
#endif
  test_reference();
  test_all<float>();
  test_all<bf16>();
  return report("attention");
}
