// cross_entropy, adamw and square_sum.
#include "glue/ops.h"

namespace bpk::glue {
namespace {

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
    call.log_sum_exp = launch.read_floats(inputs[2]);
    call.dloss = launch.read_floats(inputs[3]);
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
  float beta1, beta2, epsilon;
  std::vector<float> weight_decay;  // one for each array
  bool operator==(const AdamWOptions&) const = default;
};

// n arrays at once, so that they share one parallel region.
class AdamWOp : public CpuPrimitive {
 public:
  AdamWOp(mx::Stream stream, AdamWOptions options) : CpuPrimitive(stream), options_(std::move(options)) {}

  const char* name() const override { return "AdamW"; }

  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const AdamWOp&>(other).options_;
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes;
    for (size_t i = 0; i < 3 * count(); ++i) shapes.push_back(inputs[i].shape());
    return shapes;
  }

  // inputs: n parameters, n of m, n of v, n gradients, learning_rate, step, gradient_scale; outputs: parameters, m, v
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    // Each sibling output holds its own list of the inputs, which would make them look shared: let go of the others.
    if (!inputs[0].is_tracer()) {
      for (auto& output : outputs)
        if (&output.inputs() != &inputs) output.inputs().clear();
    }
    Launch launch(stream());
    const size_t n = count();
    std::vector<AdamWArray> arrays(n);
    const auto update = [&](size_t i) {
      return static_cast<float*>(launch.write_over(outputs[i], inputs[i]));
    };
    for (size_t i = 0; i < n; ++i) {
      AdamWArray& array = arrays[i];
      array.size = static_cast<int64_t>(inputs[i].size());
      array.parameter = launch.read_floats(inputs[i]);
      array.m = launch.read_floats(inputs[n + i]);
      array.v = launch.read_floats(inputs[2 * n + i]);
      array.gradient = launch.read_floats(inputs[3 * n + i]);
      array.weight_decay = options_.weight_decay[i];
      array.parameter_out = update(i);
      array.m_out = update(n + i);
      array.v_out = update(2 * n + i);
    }
    AdamW call{};
    call.count = static_cast<int64_t>(n);
    call.learning_rate = launch.read_floats(inputs[4 * n]);
    call.step = launch.read_floats(inputs[4 * n + 1]);
    call.gradient_scale = launch.read_floats(inputs[4 * n + 2]);
    call.beta1 = options_.beta1;
    call.beta2 = options_.beta2;
    call.epsilon = options_.epsilon;
    launch.run([call, arrays = std::move(arrays)] {
      AdamW ready = call;
      ready.arrays = arrays.data();
      kernels().adamw(ready);
    });
  }

 private:
  size_t count() const { return options_.weight_decay.size(); }

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
    std::vector<SquareSumArray> arrays;
    for (const auto& x : inputs) arrays.push_back({static_cast<int64_t>(x.size()), dtype_of(x), launch.read(x)});
    float* out = static_cast<float*>(launch.write(outputs[0]));
    launch.run([arrays = std::move(arrays), out] {
      kernels().square_sum({static_cast<int64_t>(arrays.size()), arrays.data(), out});
    });
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

std::tuple<Arrays, Arrays, Arrays> adamw(const Arrays& parameters, const Arrays& gradients, const Arrays& m,
                                         const Arrays& v, const mx::array& learning_rate, const mx::array& step,
                                         const mx::array& gradient_scale, float beta1, float beta2, float epsilon,
                                         const std::vector<float>& weight_decay) {
  const size_t n = parameters.size();
  require(n > 0 && gradients.size() == n && m.size() == n && v.size() == n && weight_decay.size() == n,
          "parameters, gradients, m, v and weight_decay have " + std::to_string(n) + ", " +
              std::to_string(gradients.size()) + ", " + std::to_string(m.size()) + ", " + std::to_string(v.size()) +
              " and " + std::to_string(weight_decay.size()) + " elements, expected as many of each, and at least one");
  Arrays inputs;
  for (const Arrays* group : {&parameters, &m, &v}) inputs.insert(inputs.end(), group->begin(), group->end());
  std::vector<mx::Shape> shapes;
  for (size_t i = 0; i < n; ++i) {
    require(parameters[i].dtype() == mx::float32,
            "parameter is " + describe(parameters[i]) + ", expected float32: the optimizer keeps full precision");
    require_shape(gradients[i], parameters[i].shape(), "gradient");
    require_shape(m[i], parameters[i].shape(), "m");
    require_shape(v[i], parameters[i].shape(), "v");
    require(m[i].dtype() == mx::float32 && v[i].dtype() == mx::float32,
            "m is " + describe(m[i]) + " and v is " + describe(v[i]) + ", expected float32");
    inputs.push_back(as_float32(gradients[i]));
  }
  const std::pair<const char*, const mx::array*> scalars[] = {
      {"learning_rate", &learning_rate}, {"step", &step}, {"gradient_scale", &gradient_scale}};
  for (const auto& [name, scalar] : scalars) {
    require(scalar->size() == 1, std::string(name) + " is " + describe(*scalar) + ", expected one value");
    inputs.push_back(as_float32(*scalar));
  }
  for (size_t i = 0; i < 3 * n; ++i) shapes.push_back(inputs[i].shape());
  const auto primitive = std::make_shared<AdamWOp>(cpu_stream(), AdamWOptions{beta1, beta2, epsilon, weight_decay});
  const Arrays updated =
      mx::array::make_arrays(std::move(shapes), std::vector<mx::Dtype>(3 * n, mx::float32), primitive, inputs);
  const auto begin = updated.begin();
  return {Arrays(begin, begin + n), Arrays(begin + n, begin + 2 * n), Arrays(begin + 2 * n, updated.end())};
}

mx::array square_sum(const Arrays& arrays) {
  require(!arrays.empty(), "arrays is empty, expected at least one");
  for (const auto& x : arrays)
    require(x.dtype() == mx::float32 || x.dtype() == mx::bfloat16,
            "x is " + describe(x) + ", expected float32 or bfloat16");
  return mx::array(mx::Shape{}, mx::float32, std::make_shared<SquareSumOp>(cpu_stream()), arrays);
}

}  // namespace bpk::glue
