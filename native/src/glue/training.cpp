// cross_entropy, adamw and square_sum.
#include "glue/ops.h"

namespace bpk::glue {
namespace {

const float* read_floats(Launch& launch, const mx::array& input) {
  return static_cast<const float*>(launch.read(input));
}

class CrossEntropyGradient : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;

  const char* name() const override { return "CrossEntropyGradient"; }

  bool is_equivalent(const Primitive&) const override { return true; }

  // inputs: logits, labels, log_sum_exp, dloss
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    CrossEntropyBackward call{};
    call.tokens = rows_of(inputs[0]);
    call.classes = inputs[0].shape(-1);
    call.dtype = dtype_of(inputs[0]);
    call.logits = launch.read(inputs[0]);
    call.labels = static_cast<const int32_t*>(launch.read(inputs[1]));
    call.log_sum_exp = read_floats(launch, inputs[2]);
    call.dloss = read_floats(launch, inputs[3]);
    call.dlogits = launch.write(outputs[0]);
    launch.run([call] { kernels().cross_entropy_backward(call); });
  }
};

class CrossEntropy : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;

  const char* name() const override { return "CrossEntropy"; }

  bool is_equivalent(const Primitive&) const override { return true; }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override { return {inputs[1].shape(), inputs[1].shape()}; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    CrossEntropyForward call{};
    call.tokens = rows_of(inputs[0]);
    call.classes = inputs[0].shape(-1);
    call.dtype = dtype_of(inputs[0]);
    call.logits = launch.read(inputs[0]);
    call.labels = static_cast<const int32_t*>(launch.read(inputs[1]));
    call.loss = static_cast<float*>(launch.write(outputs[0]));
    call.log_sum_exp = static_cast<float*>(launch.write(outputs[1]));
    launch.run([call] { kernels().cross_entropy_forward(call); });
  }

  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const Argnums& argnums, const Arrays& outputs) override {
    const auto& logits = primals[0];
    Arrays gradients;
    for (int argnum : argnums) {
      if (argnum == 0)
        gradients.push_back(mx::array(logits.shape(), logits.dtype(), std::make_shared<CrossEntropyGradient>(stream()),
                                      {logits, primals[1], outputs[1], cotangents[0]}));
      else gradients.push_back(mx::zeros_like(primals[argnum], stream()));
    }
    return gradients;
  }
};

struct AdamWOptions {
  float beta1, beta2, epsilon, weight_decay;
  bool operator==(const AdamWOptions&) const = default;
};

class AdamWOp : public CpuPrimitive {
 public:
  AdamWOp(mx::Stream stream, AdamWOptions options) : CpuPrimitive(stream), options_(options) {}

  const char* name() const override { return "AdamW"; }

  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const AdamWOp&>(other).options_;
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {inputs[0].shape(), inputs[0].shape(), inputs[0].shape()};
  }

  // inputs: parameter, m, v, gradient, learning_rate, step, gradient_scale; outputs: parameter, m, v
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    // Each sibling output holds its own list of the inputs, which would make them look shared: let go of the others.
    if (!inputs[0].is_tracer()) {
      for (auto& output : outputs)
        if (&output.inputs() != &inputs) output.inputs().clear();
    }
    Launch launch(stream());
    AdamW call{};
    call.size = static_cast<int64_t>(inputs[0].size());
    call.parameter = read_floats(launch, inputs[0]);
    call.m = read_floats(launch, inputs[1]);
    call.v = read_floats(launch, inputs[2]);
    call.gradient = read_floats(launch, inputs[3]);
    call.learning_rate = read_floats(launch, inputs[4]);
    call.step = read_floats(launch, inputs[5]);
    call.gradient_scale = read_floats(launch, inputs[6]);
    call.beta1 = options_.beta1;
    call.beta2 = options_.beta2;
    call.epsilon = options_.epsilon;
    call.weight_decay = options_.weight_decay;
    call.parameter_out = static_cast<float*>(launch.write_over(outputs[0], inputs[0]));
    call.m_out = static_cast<float*>(launch.write_over(outputs[1], inputs[1]));
    call.v_out = static_cast<float*>(launch.write_over(outputs[2], inputs[2]));
    launch.run([call] { kernels().adamw(call); });
  }

 private:
  AdamWOptions options_;
};

class SquareSumOp : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;

  const char* name() const override { return "SquareSum"; }

  bool is_equivalent(const Primitive&) const override { return true; }

  std::vector<mx::Shape> output_shapes(const Arrays&) override { return {{}}; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    SquareSum call{};
    call.size = static_cast<int64_t>(inputs[0].size());
    call.dtype = dtype_of(inputs[0]);
    call.x = launch.read(inputs[0]);
    call.out = static_cast<float*>(launch.write(outputs[0]));
    launch.run([call] { kernels().square_sum(call); });
  }
};

}  // namespace

mx::array cross_entropy(const mx::array& logits, const mx::array& labels) {
  require_activations(logits, "logits");
  mx::Shape rows = logits.shape();
  rows.pop_back();
  require(mx::issubdtype(labels.dtype(), mx::integer), "labels is " + describe(labels) + ", expected integers");
  require_shape(labels, rows, "labels");
  const auto stream = cpu_stream();
  const auto labels32 = labels.dtype() == mx::int32 ? labels : mx::astype(labels, mx::int32, stream);
  return mx::array::make_arrays({rows, rows}, {mx::float32, mx::float32}, std::make_shared<CrossEntropy>(stream),
                                {logits, labels32})[0];
}

std::vector<mx::array> adamw(const mx::array& parameter, const mx::array& gradient, const mx::array& m,
                             const mx::array& v, const mx::array& learning_rate, const mx::array& step,
                             const mx::array& gradient_scale, float beta1, float beta2, float epsilon,
                             float weight_decay) {
  require(parameter.dtype() == mx::float32,
          "parameter is " + describe(parameter) + ", expected float32: the optimizer keeps full precision");
  require_shape(gradient, parameter.shape(), "gradient");
  require_shape(m, parameter.shape(), "m");
  require_shape(v, parameter.shape(), "v");
  require(m.dtype() == mx::float32 && v.dtype() == mx::float32,
          "m is " + describe(m) + " and v is " + describe(v) + ", expected float32");
  const std::pair<const char*, const mx::array*> scalars[] = {
      {"learning_rate", &learning_rate}, {"step", &step}, {"gradient_scale", &gradient_scale}};
  for (const auto& [name, scalar] : scalars)
    require(scalar->size() == 1, std::string(name) + " is " + describe(*scalar) + ", expected one value");
  const auto primitive = std::make_shared<AdamWOp>(cpu_stream(), AdamWOptions{beta1, beta2, epsilon, weight_decay});
  return mx::array::make_arrays(
      {parameter.shape(), parameter.shape(), parameter.shape()}, {mx::float32, mx::float32, mx::float32}, primitive,
      {parameter, m, v, as_float32(gradient), as_float32(learning_rate), as_float32(step), as_float32(gradient_scale)});
}

mx::array square_sum(const mx::array& x) {
  require(x.dtype() == mx::float32 || x.dtype() == mx::bfloat16,
          "x is " + describe(x) + ", expected float32 or bfloat16");
  return mx::array(mx::Shape{}, mx::float32, std::make_shared<SquareSumOp>(cpu_stream()), {x});
}

}  // namespace bpk::glue
