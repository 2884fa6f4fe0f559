// quantized_linear (MLX's affine layout), pack_int8 and int8_linear.
#include "glue/ops.h"

namespace bpk::glue {
namespace {

struct QuantizedOptions {
  int group_size, bits;
  bool operator==(const QuantizedOptions&) const = default;
};

// inputs: x, weight, scales, biases, and perhaps bias
QuantizedLinear read_inputs(Launch& launch, const Arrays& inputs, const QuantizedOptions& options, bool has_bias) {
  QuantizedLinear call{};
  call.tokens = rows_of(inputs[0]);
  call.in_features = inputs[1].shape(1) * 32 / options.bits;
  call.out_features = inputs[1].shape(0);
  call.dtype = dtype_of(inputs[0]);
  call.x = launch.read(inputs[0]);
  call.weight = static_cast<const uint32_t*>(launch.read(inputs[1]));
  call.scales = launch.read(inputs[2]);
  call.biases = launch.read(inputs[3]);
  call.scale_dtype = dtype_of(inputs[2]);
  call.group_size = options.group_size;
  call.bits = options.bits;
  if (has_bias) call.bias = static_cast<const float*>(launch.read(inputs[4]));
  return call;
}

class QuantizedLinearGradient : public CpuPrimitive {
 public:
  QuantizedLinearGradient(mx::Stream stream, QuantizedOptions options) : CpuPrimitive(stream), options_(options) {}

  const char* name() const override { return "QuantizedLinearGradient"; }

  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const QuantizedLinearGradient&>(other).options_;
  }

  // inputs: dy in the place of x, weight, scales, biases; output: dx
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    QuantizedLinearBackward call{};
    call.forward = read_inputs(launch, inputs, options_, false);
    call.dy = call.forward.x;
    call.forward.x = nullptr;
    call.dx = launch.write(outputs[0]);
    launch.run([call] { kernels().quantized_linear_backward(call); });
  }

 private:
  QuantizedOptions options_;
};

class QuantizedLinearOp : public CpuPrimitive {
 public:
  QuantizedLinearOp(mx::Stream stream, QuantizedOptions options) : CpuPrimitive(stream), options_(options) {}

  const char* name() const override { return "QuantizedLinear"; }

  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const QuantizedLinearOp&>(other).options_;
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {with_last(inputs[0].shape(), inputs[1].shape(0))};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    QuantizedLinear call = read_inputs(launch, inputs, options_, inputs.size() > 4);
    call.y = launch.write(outputs[0]);
    launch.run([call] { kernels().quantized_linear(call); });
  }

  // Quantized weights are frozen: only x and the added bias have gradients.
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const Argnums& argnums, const Arrays&) override {
    const auto& dy = cotangents[0];
    Arrays gradients;
    for (int argnum : argnums) {
      if (argnum == 0) {
        const auto gradient = std::make_shared<QuantizedLinearGradient>(stream(), options_);
        gradients.push_back(
            mx::array(primals[0].shape(), dy.dtype(), gradient, {dy, primals[1], primals[2], primals[3]}));
      } else if (argnum == 4) {
        const auto rows = mx::reshape(dy, {-1, dy.shape(-1)}, stream());
        gradients.push_back(mx::sum(mx::astype(rows, mx::float32, stream()), 0, false, stream()));
      } else {
        throw std::invalid_argument(
            "quantized_linear has no gradient for its quantized weight; freeze it or dequantize first");
      }
    }
    return gradients;
  }

 private:
  QuantizedOptions options_;
};

class PackInt8Op : public CpuPrimitive {
 public:
  PackInt8Op(mx::Stream stream, Activation activation) : CpuPrimitive(stream), activation_(activation) {}

  const char* name() const override { return "PackInt8"; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    PackInt8 call{};
    call.in_features = inputs[0].shape(1);
    call.out_features = inputs[0].shape(0);
    call.weight = static_cast<const float*>(launch.read(inputs[0]));
    call.activation = activation_;
    call.packed = launch.write(outputs[0]);
    launch.run([call] { kernels().pack_int8(call); });
  }

 private:
  Activation activation_;
};

class Int8LinearOp : public CpuPrimitive {
 public:
  Int8LinearOp(mx::Stream stream, Activation activation, int out_features)
      : CpuPrimitive(stream), activation_(activation), out_features_(out_features) {}

  const char* name() const override { return "Int8Linear"; }

  bool is_equivalent(const Primitive& other) const override {
    const auto& that = static_cast<const Int8LinearOp&>(other);
    return activation_ == that.activation_ && out_features_ == that.out_features_;
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override { return {shape_for(inputs[0].shape())}; }

  mx::Shape shape_for(const mx::Shape& shape) const {
    return with_last(shape, is_gated(activation_) ? out_features_ / 2 : out_features_);
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    Int8Linear call{};
    call.tokens = rows_of(inputs[0]);
    call.in_features = inputs[0].shape(-1);
    call.out_features = out_features_;
    call.dtype = dtype_of(inputs[0]);
    call.x = launch.read(inputs[0]);
    call.packed = launch.read(inputs[1]);
    if (inputs.size() > 2) call.bias = static_cast<const float*>(launch.read(inputs[2]));
    call.activation = activation_;
    call.y = launch.write(outputs[0]);
    launch.run([call] { kernels().int8_linear(call); });
  }

  Arrays vjp(const Arrays&, const Arrays&, const Argnums&, const Arrays&) override {
    throw std::invalid_argument("int8_linear has no gradient; use linear with the weight itself");
  }

 private:
  Activation activation_;
  int out_features_;
};

}  // namespace

mx::array quantized_linear(const mx::array& x, const mx::array& weight, const mx::array& scales,
                           const mx::array& biases, const MaybeArray& bias, int group_size, int bits) {
  require_activations(x, "x");
  require(bits == 4 || bits == 8, "bits is " + std::to_string(bits) + ", expected 4 or 8");
  require(group_size == 32 || group_size == 64 || group_size == 128,
          "group_size is " + std::to_string(group_size) + ", expected 32, 64 or 128");
  require(weight.ndim() == 2 && weight.dtype() == mx::uint32 && weight.shape(1) * 32 / bits == x.shape(-1),
          "weight is " + describe(weight) + ", expected uint32[out_features, " +
              std::to_string(x.shape(-1) * bits / 32) + "] for x " + describe(x));
  require(x.shape(-1) % group_size == 0,
          "the last dimension of x " + describe(x) + " is no multiple of group_size " + std::to_string(group_size));
  const mx::Shape groups{weight.shape(0), x.shape(-1) / group_size};
  require_shape(scales, groups, "scales");
  require_shape(biases, groups, "biases");
  const bool keep = scales.dtype() == mx::bfloat16 && biases.dtype() == mx::bfloat16;
  Arrays inputs{x, weight, keep ? scales : as_float32(scales), keep ? biases : as_float32(biases)};
  if (bias) {
    require_shape(*bias, {weight.shape(0)}, "bias");
    inputs.push_back(as_float32(*bias));
  }
  const auto primitive = std::make_shared<QuantizedLinearOp>(cpu_stream(), QuantizedOptions{group_size, bits});
  return mx::array(with_last(x.shape(), weight.shape(0)), x.dtype(), primitive, std::move(inputs));
}

mx::array pack_int8(const mx::array& weight, const std::string& activation_name) {
  const Activation activation = activation_of(activation_name);
  require(weight.ndim() == 2, "weight is " + describe(weight) + ", expected [out_features, in_features]");
  require(!is_gated(activation) || weight.shape(0) % 2 == 0,
          "a gated activation needs an even number of rows in weight, got " + describe(weight));
  const size_t bytes = kernels().packed_int8_bytes(weight.shape(1), weight.shape(0));
  return mx::array({static_cast<int>(bytes)}, mx::uint8, std::make_shared<PackInt8Op>(cpu_stream(), activation),
                   {as_float32(weight)});
}

void require_packed_int8(const mx::array& packed, int in_features, int out_features, Activation activation) {
  require(!is_gated(activation) || out_features % 2 == 0,
          "a gated activation needs an even out_features, got " + std::to_string(out_features));
  const size_t bytes = kernels().packed_int8_bytes(in_features, out_features);
  require(packed.dtype() == mx::uint8 && packed.size() == bytes, "packed is " + describe(packed) + ", expected uint8[" +
                                                                     std::to_string(bytes) +
                                                                     "]; make it with pack_int8(weight, activation)");
}

mx::array int8_linear(const mx::array& x, const mx::array& packed, int out_features, const MaybeArray& bias,
                      const std::string& activation_name) {
  const Activation activation = activation_of(activation_name);
  require_activations(x, "x");
  require_packed_int8(packed, x.shape(-1), out_features, activation);
  Arrays inputs{x, packed};
  if (bias) {
    require_shape(*bias, {out_features}, "bias");
    inputs.push_back(as_float32(*bias));
  }
  const auto primitive = std::make_shared<Int8LinearOp>(cpu_stream(), activation, out_features);
  return mx::array(primitive->shape_for(x.shape()), x.dtype(), primitive, std::move(inputs));
}

}  // namespace bpk::glue
