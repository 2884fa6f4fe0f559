// Numbers in tokens against f64: values on, between and outside the ramps, none, and tokens behind the last row.
#include "check.h"
#include "kernels/numeric_embedding.h"

namespace {

using namespace test;
namespace kernels = bpk::BPK_ISA;

constexpr int64_t numbers = 3, vocabulary = 7;

// Each ramp written out: ramp k rises from 0 to 1 over the k-th part of the way.
double expected(const Array<float>& weight, int64_t number, double value, int64_t ramps, int64_t width, int64_t i) {
  if (number >= numbers || std::isnan(value)) return 0;
  double sum = 0;
  for (int64_t k = 0; k < ramps; ++k)
    sum += std::clamp(std::clamp(value, 0.0, 1.0) * double(ramps) - double(k), 0.0, 1.0) * weight[(number * ramps + k) * width + i];
  return sum;
}

template <class T>
void check_embedding(const std::vector<int>& lengths, int64_t behind, int64_t width, int64_t ramps) {
  const int64_t sequences = int64_t(lengths.size());
  Array<int32_t> starts(sequences + 1);
  for (int64_t s = 0; s < sequences; ++s) starts[s + 1] = starts[s] + lengths[size_t(s)];
  const int64_t tokens = starts[sequences] + behind;
  Array<int32_t> ids(tokens), number_of_token(vocabulary);
  for (int64_t v = 0; v < vocabulary; ++v) number_of_token[v] = int32_t(v % (numbers + 1));
  Random random(5);
  for (int64_t t = 0; t < tokens; ++t) ids[t] = random.below(vocabulary);
  const float chosen[] = {0, 1, 0.5f, -0.25f, 1.5f, 0.77f, 0.031f, not_a_number, inf};
  Array<float> values(sequences * numbers);
  for (int64_t i = 0; i < values.size(); ++i) values[i] = chosen[random.below(9)];
  const auto weight = Array<float>::normal(numbers * ramps * width, 3);
  auto y = Array<T>::filled(tokens * width, not_a_number);
  kernels::numeric_embedding({sequences, tokens, width, numbers, ramps, dtype_of<T>(), ids.data(), starts.data(),
                              number_of_token.data(), values.data(), weight.data(), y.data()});
  Doubles want;
  for (int64_t t = 0, s = 0; t < tokens; ++t) {
    while (s < sequences && starts[s + 1] <= t) ++s;
    const int64_t number = number_of_token[ids[t]];
    const double value = s < sequences && number < numbers ? values[s * numbers + number] : not_a_number;
    for (int64_t i = 0; i < width; ++i) want.push_back(expected(weight, number, value, ramps, width, i));
  }
  const double tolerance = sizeof(T) == 2 ? 2e-2 : 1e-6;
  expect_close(y, want, tolerance, text("numbers", name_of<T>(), tokens, width, ramps));
}

template <class T>
void test_embeddings() {
  for (const int64_t width : {1, 8, 37, 64}) {
    check_embedding<T>({1}, 0, width, 1);
    check_embedding<T>({0, 5, 0, 2, 0}, 3, width, 4);
    check_embedding<T>({300, 1, 700}, 1, width, 32);
  }
  check_embedding<T>({}, 2, 8, 4);
}

}  // namespace

int main() {
  test_embeddings<float>();
  test_embeddings<bf16>();
  return report("numbers");
}
