// Sums over sequences and their gradient against f64, and the tokens that belong to no sequence.
#include <omp.h>

#include "check.h"
#include "kernels/attention.h"
#include "kernels/pooling.h"

namespace {

using namespace test;
namespace kernels = bpk::BPK_ISA;

Array<int32_t> starts_of(const std::vector<int>& lengths) {
  Array<int32_t> starts(int64_t(lengths.size()) + 1);
  for (size_t s = 0; s < lengths.size(); ++s) starts[int64_t(s) + 1] = starts[int64_t(s)] + lengths[s];
  return starts;
}

template <class T>
void check_sum(const std::vector<int>& lengths, int64_t behind, int64_t width) {
  const auto starts = starts_of(lengths);
  const int64_t sequences = int64_t(lengths.size()), tokens = starts[sequences] + behind;
  const auto x = Array<T>::normal(tokens * width, 1);
  const auto dy = Array<float>::normal(sequences * width, 2);
  auto y = Array<float>::filled(sequences * width, not_a_number);
  auto dx = Array<T>::filled(tokens * width, not_a_number);
  kernels::sequence_sum_forward({sequences, tokens, width, dtype_of<T>(), x.data(), starts.data(), y.data()});
  kernels::sequence_sum_backward({sequences, tokens, width, dtype_of<T>(), starts.data(), dy.data(), dx.data()});
  Doubles want(sequences * width), want_d(tokens * width);
  for (int64_t s = 0; s < sequences; ++s)
    for (int64_t t = starts[s]; t < starts[s + 1]; ++t)
      for (int64_t i = 0; i < width; ++i) {
        want[s * width + i] += to_float(x[t * width + i]);
        want_d[t * width + i] = dy[s * width + i];
      }
  const std::string what = text("sequence sum", name_of<T>(), tokens, width);
  expect_close(y, want, 1e-6, what);
  expect_close(dx, want_d, sizeof(T) == 2 ? 4e-3 : 0, what + "gradient");
}

template <class T>
void test_sums() {
  for (int64_t width : {1, 8, 50, 64, 131, 257}) {
    check_sum<T>({1}, 0, width);
    check_sum<T>({0, 5, 0, 0, 33, 1, 0}, 0, width);
    check_sum<T>({7, 2}, 4, width);
    check_sum<T>({700, 3, 400}, 9, width);
    check_sum<T>({0, 0}, 3, width);
    check_sum<T>({}, 3, width);
    check_sum<T>({}, 0, width);
  }
}

void test_thread_count_does_not_matter() {
  const auto starts = starts_of({300, 1, 0, 77, 500});
  const int64_t tokens = starts[5] + 2, width = 150;
  const auto x = Array<float>::normal(tokens * width, 3);
  Array<float> once(5 * width);
  for (int threads : {1, 2, 3, 4}) {
    omp_set_num_threads(threads);
    Array<float> y(5 * width);
    kernels::sequence_sum_forward({5, tokens, width, bpk::DType::f32, x.data(), starts.data(), y.data()});
    if (threads == 1) once = y;
    expect(same_bytes(once, y), text("sequence sum with threads", threads));
  }
  omp_set_num_threads(4);
}

template <class T>
bool all_from(const Array<T>& a, int64_t begin, int64_t end, const std::function<bool(float)>& holds) {
  for (int64_t i = begin; i < end; ++i)
    if (!holds(to_float(a[i]))) return false;
  return true;
}

template <class T>
void test_attention_clears_what_is_behind() {
  constexpr int64_t heads = 2, size = 20, behind = 3;
  for (const std::vector<int>& lengths : {std::vector<int>{6, 9}, std::vector<int>{0}, std::vector<int>{}}) {
    const auto starts = starts_of(lengths);
    const int64_t sequences = int64_t(lengths.size()), end = starts[sequences], tokens = end + behind;
    const auto qkv = Array<T>::normal(tokens * 3 * heads * size, 1);
    const auto dout = Array<T>::normal(tokens * heads * size, 2);
    auto out = Array<T>::filled(tokens * heads * size, not_a_number);
    auto dqkv = Array<T>::filled(tokens * 3 * heads * size, not_a_number);
    Array<float> log_sum_exp(heads * tokens);
    bpk::AttentionForward forward{};
    forward.sequences = sequences;
    forward.tokens = tokens;
    forward.heads = heads;
    forward.head_size = size;
    forward.dtype = dtype_of<T>();
    forward.qkv = qkv.data();
    forward.cu_seqlens = starts.data();
    forward.scale = 0.2f;
    forward.half_window = -1;
    forward.out = out.data();
    forward.log_sum_exp = log_sum_exp.data();
    kernels::attention_forward(forward);
    kernels::attention_backward({forward, dout.data(), dqkv.data()});
    expect(all_from(out, 0, end * heads * size, [](float v) { return v == v; }), text("attention within sequences", name_of<T>(), end));
    expect(all_from(dqkv, 0, end * 3 * heads * size, [](float v) { return v == v; }), text("its gradient", name_of<T>(), end));
    expect(all_from(out, end * heads * size, out.size(), [](float v) { return v == 0; }), text("attention behind them", name_of<T>(), end));
    expect(all_from(dqkv, end * 3 * heads * size, dqkv.size(), [](float v) { return v == 0; }), text("its gradient", name_of<T>(), end));
  }
}

}  // namespace

int main() {
#ifdef __AMX_BF16__
  if (!may_use_tiles()) return 0;  // nothing to test
#endif
  test_sums<float>();
  test_sums<bf16>();
  test_thread_count_does_not_matter();
  test_attention_clears_what_is_behind<float>();
  test_attention_clears_what_is_behind<bf16>();
  return report("pooling");
}
