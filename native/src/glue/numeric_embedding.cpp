// numeric_embedding: vectors of the numbers in a row's tokens, in one operation, for inference.
#include "glue/ops.h"

namespace bpk::glue {
namespace {

class NumericEmbeddingOp : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;

  const char* name() const override { return "NumericEmbedding"; }

  bool is_equivalent(const Primitive&) const override { return true; }

  // inputs: ids, cu_seqlens, values, weight, number of each token
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    const auto integers = [&](const mx::array& a) { return static_cast<const int32_t*>(launch.read(a)); };
    NumericEmbedding call{};
    call.sequences = inputs[2].shape(0);
    call.tokens = outputs[0].shape(0);
    call.width = outputs[0].shape(1);
    call.numbers = inputs[3].shape(0);
    call.ramps = inputs[3].shape(1);
    call.dtype = dtype_of(outputs[0]);
    call.ids = integers(inputs[0]);
    call.cu_seqlens = integers(inputs[1]);
    call.values = launch.read_floats(inputs[2]);
    call.weight = launch.read_floats(inputs[3]);
    call.number_of_token = integers(inputs[4]);
    call.y = launch.write(outputs[0]);
    launch.run([call, known = static_cast<int64_t>(inputs[4].size())] {
      check_sequences(call.cu_seqlens, call.sequences, call.tokens);
      check_ids(call.ids, call.tokens, known);
      kernels().numeric_embedding(call);
    });
  }
};

}  // namespace

MaybeArray numeric_embedding(const mx::array& ids, const mx::array& cu_seqlens, const mx::array& values,
                             const mx::array& weight, const mx::array& number_of_token, mx::Dtype dtype) {
  require(ids.ndim() == 1, "ids is " + describe(ids) + ", expected [tokens]");
  require_sequences(cu_seqlens);
  require(weight.ndim() == 3 && weight.shape(1) > 0, "weight is " + describe(weight) + ", expected [numbers, ramps, width]");
  require_shape(values, {cu_seqlens.shape(0) - 1, weight.shape(0)}, "values");
  require(number_of_token.ndim() == 1, "number_of_token is " + describe(number_of_token) + ", expected [vocabulary]");
  require(dtype == mx::float32 || dtype == mx::bfloat16, "dtype must be float32 or bfloat16");
  const Arrays inputs{as_int32(ids), cu_seqlens, as_float32(values), as_float32(weight), as_int32(number_of_token)};
  if (is_traced(inputs)) return std::nullopt;
  return mx::array({ids.shape(0), weight.shape(2)}, dtype, std::make_shared<NumericEmbeddingOp>(cpu_stream()), inputs);
}

}  // namespace bpk::glue
