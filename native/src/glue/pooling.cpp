// sequence_sum: one vector per sequence, for pooling.
#include "glue/ops.h"

namespace bpk::glue {
namespace {

class SequenceSumGradient : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;

  const char* name() const override { return "SequenceSumGradient"; }

  bool is_equivalent(const Primitive&) const override { return true; }

  // inputs: cu_seqlens, dy; output: dx
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    SequenceSumBackward call{};
    call.sequences = inputs[1].shape(0);
    call.tokens = outputs[0].shape(0);
    call.width = outputs[0].shape(1);
    call.dtype = dtype_of(outputs[0]);
    call.cu_seqlens = static_cast<const int32_t*>(launch.read(inputs[0]));
    call.dy = static_cast<const float*>(launch.read(inputs[1]));
    call.dx = launch.write(outputs[0]);
    launch.run([call] { kernels().sequence_sum_backward(call); });
  }
};

class SequenceSum : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;

  const char* name() const override { return "SequenceSum"; }

  bool is_equivalent(const Primitive&) const override { return true; }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override { return {shape_for(inputs[0], inputs[1])}; }

  static mx::Shape shape_for(const mx::array& x, const mx::array& cu_seqlens) { return {cu_seqlens.shape(0) - 1, x.shape(1)}; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    SequenceSumForward call{};
    call.sequences = outputs[0].shape(0);
    call.tokens = inputs[0].shape(0);
    call.width = inputs[0].shape(1);
    call.dtype = dtype_of(inputs[0]);
    call.x = launch.read(inputs[0]);
    call.cu_seqlens = static_cast<const int32_t*>(launch.read(inputs[1]));
    call.y = static_cast<float*>(launch.write(outputs[0]));
    launch.run([call] {
      check_sequences(call.cu_seqlens, call.sequences, call.tokens);
      kernels().sequence_sum_forward(call);
    });
  }

  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const Argnums& argnums, const Arrays&) override {
    const auto& x = primals[0];
    Arrays gradients;
    for (int argnum : argnums) {
      if (argnum == 0) gradients.push_back(mx::array(x.shape(), x.dtype(), std::make_shared<SequenceSumGradient>(stream()), {primals[1], cotangents[0]}));
      else gradients.push_back(mx::zeros_like(primals[argnum], stream()));
    }
    return gradients;
  }
};

}  // namespace

mx::array sequence_sum(const mx::array& x, const mx::array& cu_seqlens) {
  require_activations(x, "x");
  require(x.ndim() == 2, "x is " + describe(x) + ", expected [tokens, width]");
  require_sequences(cu_seqlens);
  return mx::array(SequenceSum::shape_for(x, cu_seqlens), mx::float32, std::make_shared<SequenceSum>(cpu_stream()), {x, cu_seqlens});
}

}  // namespace bpk::glue
