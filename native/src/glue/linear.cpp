// linear, pack and packed_linear: y = act(x W^T + b).
#include "glue/ops.h"

namespace bpk::glue {
namespace {

int output_width(Activation activation, int out_features) {
  return is_gated(activation) ? out_features / 2 : out_features;
}

class LinearGradient : public CpuPrimitive {
 public:
  struct Wanted {
    bool dx, dweight, dbias;
    bool operator==(const Wanted&) const = default;
  };

  LinearGradient(mx::Stream stream, Activation activation, Wanted wanted)
      : CpuPrimitive(stream), activation_(activation), wanted_(wanted) {}

  const char* name() const override { return "LinearGradient"; }

  bool is_equivalent(const Primitive& other) const override {
    const auto& that = static_cast<const LinearGradient&>(other);
    return activation_ == that.activation_ && wanted_ == that.wanted_;
  }

  // inputs: x, weight, dy, and z when there is an activation; outputs: the wanted ones of dx, dweight, dbias
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    const auto& x = inputs[0];
    const auto& weight = inputs[1];
    LinearBackward call{};
    call.tokens = rows_of(inputs[2]);
    call.in_features = weight.shape(1);
    call.out_features = weight.shape(0);
    call.dtype = dtype_of(x);
    call.activation = activation_;
    call.x = launch.read(x);
    call.weight = launch.read(weight);
    call.weight_dtype = dtype_of(weight);
    call.dy = launch.read(inputs[2]);
    if (activation_ != Activation::none) call.z = launch.read(inputs[3]);
    size_t next = 0;
    if (wanted_.dx) call.dx = launch.write(outputs[next++]);
    if (wanted_.dweight) call.dweight = static_cast<float*>(launch.write(outputs[next++]));
    if (wanted_.dbias) call.dbias = static_cast<float*>(launch.write(outputs[next++]));
    launch.run([call] { kernels().linear_backward(call); });
  }

 private:
  Activation activation_;
  Wanted wanted_;
};

class Linear : public CpuPrimitive {
 public:
  Linear(mx::Stream stream, Activation activation, bool keeps_z)
      : CpuPrimitive(stream), activation_(activation), keeps_z_(keeps_z) {}

  const char* name() const override { return "Linear"; }

  bool is_equivalent(const Primitive& other) const override {
    const auto& that = static_cast<const Linear&>(other);
    return activation_ == that.activation_ && keeps_z_ == that.keeps_z_;
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return shapes_for(inputs[0].shape(), inputs[1].shape(0));
  }

  std::vector<mx::Shape> shapes_for(const mx::Shape& x, int out_features) const {
    std::vector<mx::Shape> shapes{with_last(x, output_width(activation_, out_features))};
    if (keeps_z_) shapes.push_back(with_last(x, out_features));
    return shapes;
  }

  // inputs: x, weight, and perhaps bias; outputs: y, and perhaps the pre-activation z for the backward pass
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    const auto& weight = inputs[1];
    LinearForward call{};
    call.tokens = rows_of(inputs[0]);
    call.in_features = weight.shape(1);
    call.out_features = weight.shape(0);
    call.dtype = dtype_of(inputs[0]);
    call.activation = activation_;
    call.x = launch.read(inputs[0]);
    call.weight = launch.read(weight);
    call.weight_dtype = dtype_of(weight);
    if (inputs.size() > 2) call.bias = static_cast<const float*>(launch.read(inputs[2]));
    call.y = launch.write(outputs[0]);
    if (keeps_z_) call.z = launch.write(outputs[1]);
    launch.run([call] { kernels().linear_forward(call); });
  }

  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const Argnums& argnums, const Arrays& outputs) override {
    const auto& x = primals[0];
    const auto& weight = primals[1];
    Arrays inputs{x, weight, cotangents[0]};
    if (activation_ != Activation::none) inputs.push_back(keeps_z_ ? outputs[1] : pre_activation(primals));
    const LinearGradient::Wanted wanted{contains(argnums, 0), contains(argnums, 1), contains(argnums, 2)};
    std::vector<mx::Shape> shapes;
    std::vector<mx::Dtype> dtypes;
    auto add = [&](bool is_wanted, mx::Shape shape, mx::Dtype dtype) {
      if (!is_wanted) return -1;
      shapes.push_back(std::move(shape));
      dtypes.push_back(dtype);
      return static_cast<int>(shapes.size()) - 1;
    };
    const int position[3] = {add(wanted.dx, x.shape(), x.dtype()), add(wanted.dweight, weight.shape(), mx::float32),
                             add(wanted.dbias, {weight.shape(0)}, mx::float32)};
    const auto gradient = std::make_shared<LinearGradient>(stream(), activation_, wanted);
    const Arrays results = mx::array::make_arrays(shapes, dtypes, gradient, inputs);
    Arrays gradients;
    for (int argnum : argnums)
      gradients.push_back(mx::astype(results[position[argnum]], primals[argnum].dtype(), stream()));
    return gradients;
  }

 private:
  mx::array pre_activation(const Arrays& primals) {
    return linear(primals[0], primals[1], primals.size() > 2 ? std::optional(primals[2]) : std::nullopt, "none");
  }

  Activation activation_;
  bool keeps_z_;
};

class PackedLinear : public CpuPrimitive {
 public:
  PackedLinear(mx::Stream stream, Activation activation, int out_features)
      : CpuPrimitive(stream), activation_(activation), out_features_(out_features) {}

  const char* name() const override { return "PackedLinear"; }

  bool is_equivalent(const Primitive& other) const override {
    const auto& that = static_cast<const PackedLinear&>(other);
    return activation_ == that.activation_ && out_features_ == that.out_features_;
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {with_last(inputs[0].shape(), output_width(activation_, out_features_))};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    LinearForward call{};
    call.tokens = rows_of(inputs[0]);
    call.in_features = inputs[0].shape(-1);
    call.out_features = out_features_;
    call.dtype = dtype_of(inputs[0]);
    call.activation = activation_;
    call.x = launch.read(inputs[0]);
    call.packed = launch.read(inputs[1]);
    if (inputs.size() > 2) call.bias = static_cast<const float*>(launch.read(inputs[2]));
    call.y = launch.write(outputs[0]);
    launch.run([call] { kernels().linear_forward(call); });
  }

  Arrays vjp(const Arrays&, const Arrays&, const Argnums&, const Arrays&) override {
    throw std::invalid_argument("packed_linear has no gradient; use linear with the weight itself");
  }

 private:
  Activation activation_;
  int out_features_;
};

class Pack : public CpuPrimitive {
 public:
  Pack(mx::Stream stream, DType dtype, Activation activation)
      : CpuPrimitive(stream), dtype_(dtype), activation_(activation) {}

  const char* name() const override { return "Pack"; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    PackWeight call{};
    call.in_features = inputs[0].shape(1);
    call.out_features = inputs[0].shape(0);
    call.dtype = dtype_;
    call.weight = launch.read(inputs[0]);
    call.weight_dtype = dtype_of(inputs[0]);
    call.activation = activation_;
    call.packed = launch.write(outputs[0]);
    launch.run([call] { kernels().pack_weight(call); });
  }

 private:
  DType dtype_;
  Activation activation_;
};

void check_weight(const mx::array& weight, Activation activation) {
  require(weight.ndim() == 2 && (weight.dtype() == mx::float32 || weight.dtype() == mx::bfloat16),
          "weight is " + describe(weight) + ", expected float32 or bfloat16 [out_features, in_features]");
  require(!is_gated(activation) || weight.shape(0) % 2 == 0,
          "a gated activation needs an even number of rows in weight, got " + describe(weight));
}

}  // namespace

mx::array linear(const mx::array& x, const mx::array& weight, const std::optional<mx::array>& bias,
                 const std::string& activation_name) {
  const Activation activation = activation_of(activation_name);
  require_activations(x, "x");
  check_weight(weight, activation);
  require(x.shape(-1) == weight.shape(1), "x is " + describe(x) + ", but weight " + describe(weight) +
                                              " needs its last dimension to be " + std::to_string(weight.shape(1)));
  Arrays inputs{x, weight};
  if (bias) {
    require_shape(*bias, {weight.shape(0)}, "bias");
    inputs.push_back(as_float32(*bias));
  }
  // Only a traced input can be asked for a gradient, and only the gradient reads z.
  const bool keeps_z = activation != Activation::none && is_traced(inputs);
  const auto primitive = std::make_shared<Linear>(cpu_stream(), activation, keeps_z);
  const std::vector<mx::Dtype> dtypes(keeps_z ? 2 : 1, x.dtype());
  return mx::array::make_arrays(primitive->shapes_for(x.shape(), weight.shape(0)), dtypes, primitive, inputs)[0];
}

mx::array pack(const mx::array& weight, mx::Dtype dtype, const std::string& activation_name) {
  const Activation activation = activation_of(activation_name);
  check_weight(weight, activation);
  require(dtype == mx::float32 || dtype == mx::bfloat16,
          "dtype must be float32 or bfloat16, the type of the activations");
  const DType kernel_dtype = dtype == mx::bfloat16 ? DType::bf16 : DType::f32;
  const size_t bytes = kernels().packed_bytes(weight.shape(1), weight.shape(0), kernel_dtype, activation);
  return mx::array({static_cast<int>(bytes)}, mx::uint8, std::make_shared<Pack>(cpu_stream(), kernel_dtype, activation),
                   {weight});
}

void require_packed(const mx::array& packed, int in_features, int out_features, mx::Dtype dtype, Activation activation) {
  require(!is_gated(activation) || out_features % 2 == 0,
          "a gated activation needs an even out_features, got " + std::to_string(out_features));
  const DType kernel_dtype = dtype == mx::bfloat16 ? DType::bf16 : DType::f32;
  const size_t bytes = kernels().packed_bytes(in_features, out_features, kernel_dtype, activation);
  require(packed.dtype() == mx::uint8 && packed.size() == bytes,
          "packed is " + describe(packed) + ", expected uint8[" + std::to_string(bytes) + "] for rows of " +
              std::to_string(in_features) + " and out_features " + std::to_string(out_features) +
              "; make it with pack(weight, x.dtype, activation)");
}

mx::array packed_linear(const mx::array& x, const mx::array& packed, int out_features,
                        const std::optional<mx::array>& bias, const std::string& activation_name) {
  const Activation activation = activation_of(activation_name);
  require_activations(x, "x");
  require_packed(packed, x.shape(-1), out_features, x.dtype(), activation);
  Arrays inputs{x, packed};
  if (bias) {
    require_shape(*bias, {out_features}, "bias");
    inputs.push_back(as_float32(*bias));
  }
  return mx::array(with_last(x.shape(), output_width(activation, out_features)), x.dtype(),
                   std::make_shared<PackedLinear>(cpu_stream(), activation, out_features), std::move(inputs));
}

}  // namespace bpk::glue
