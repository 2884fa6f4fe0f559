// norm and add_norm: h = residual + dropout(x);  y = norm(h) * weight + bias.
#include "glue/ops.h"

namespace bpk::glue {
namespace {

struct NormOptions {
  float epsilon;
  bool rms;
  float dropout;
  bool has_residual, has_bias;
  bool operator==(const NormOptions&) const = default;
};

const uint32_t* read_seed(Launch& launch, const mx::array& seed) {
  return static_cast<const uint32_t*>(launch.read(seed));
}
float* write_floats(Launch& launch, mx::array& output) { return static_cast<float*>(launch.write(output)); }

class NormGradient : public CpuPrimitive {
 public:
  NormGradient(mx::Stream stream, NormOptions options, bool has_dh)
      : CpuPrimitive(stream), options_(options), has_dh_(has_dh) {}

  const char* name() const override { return "NormGradient"; }

  bool is_equivalent(const Primitive& other) const override {
    const auto& that = static_cast<const NormGradient&>(other);
    return options_ == that.options_ && has_dh_ == that.has_dh_;
  }

  // inputs: h, weight, inverse_std, dy, then as present: mean, dh, seed
  // outputs: dx, dweight, then as present: dbias, dresidual (only where dropout makes it differ from dx)
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    NormBackward call{};
    call.tokens = rows_of(inputs[0]);
    call.width = inputs[1].size();
    call.dtype = dtype_of(inputs[0]);
    call.h = launch.read(inputs[0]);
    call.weight = launch.read_floats(inputs[1]);
    call.inverse_std = launch.read_floats(inputs[2]);
    call.dy = launch.read(inputs[3]);
    size_t next = 4;
    if (!options_.rms) call.mean = launch.read_floats(inputs[next++]);
    if (has_dh_) call.dh = launch.read(inputs[next++]);
    if (options_.dropout > 0) call.seed = read_seed(launch, inputs[next++]);
    call.rms = options_.rms;
    call.dropout = options_.dropout;
    call.dx = launch.write(outputs[0]);
    call.dweight = write_floats(launch, outputs[1]);
    next = 2;
    if (options_.has_bias) call.dbias = write_floats(launch, outputs[next++]);
    if (options_.has_residual && options_.dropout > 0) call.dresidual = launch.write(outputs[next++]);
    launch.run([call] { kernels().norm_backward(call); });
  }

 private:
  NormOptions options_;
  bool has_dh_;
};

class Norm : public CpuPrimitive {
 public:
  Norm(mx::Stream stream, NormOptions options) : CpuPrimitive(stream), options_(options) {}

  const char* name() const override { return "Norm"; }

  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const Norm&>(other).options_;
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override { return shapes_for(inputs[0].shape()); }

  // y, inverse_std, then as present: mean, h
  std::vector<mx::Shape> shapes_for(const mx::Shape& shape) const {
    mx::Shape rows = shape;
    rows.pop_back();
    std::vector<mx::Shape> shapes{shape, rows};
    if (!options_.rms) shapes.push_back(rows);
    if (options_.has_residual) shapes.push_back(shape);
    return shapes;
  }
  std::vector<mx::Dtype> dtypes_for(mx::Dtype dtype) const {
    std::vector<mx::Dtype> dtypes{dtype, mx::float32};
    if (!options_.rms) dtypes.push_back(mx::float32);
    if (options_.has_residual) dtypes.push_back(dtype);
    return dtypes;
  }

  // inputs: x, weight, then as present: bias, residual, seed
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    NormForward call{};
    call.tokens = rows_of(inputs[0]);
    call.width = inputs[1].size();
    call.dtype = dtype_of(inputs[0]);
    call.x = launch.read(inputs[0]);
    call.weight = launch.read_floats(inputs[1]);
    if (options_.has_bias) call.bias = launch.read_floats(inputs[bias_position()]);
    if (options_.has_residual) call.residual = launch.read(inputs[residual_position()]);
    if (options_.dropout > 0) call.seed = read_seed(launch, inputs[seed_position()]);
    call.epsilon = options_.epsilon;
    call.rms = options_.rms;
    call.dropout = options_.dropout;
    call.y = launch.write(outputs[0]);
    call.inverse_std = write_floats(launch, outputs[1]);
    if (!options_.rms) call.mean = write_floats(launch, outputs[2]);
    if (options_.has_residual) call.h = launch.write(outputs[h_position()]);
    launch.run([call] { kernels().norm_forward(call); });
  }

  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const Argnums& argnums, const Arrays& outputs) override {
    const auto& x = primals[0];
    const auto& h = options_.has_residual ? outputs[h_position()] : x;
    Arrays inputs{h, primals[1], outputs[1], cotangents[0]};
    if (!options_.rms) inputs.push_back(outputs[2]);
    const bool has_dh = options_.has_residual && !is_zero_cotangent(cotangents[h_position()]);
    if (has_dh) inputs.push_back(cotangents[h_position()]);
    if (options_.dropout > 0) inputs.push_back(primals[seed_position()]);
    std::vector<mx::Shape> shapes{x.shape(), primals[1].shape()};
    std::vector<mx::Dtype> dtypes{x.dtype(), mx::float32};
    if (options_.has_bias) {
      shapes.push_back(primals[1].shape());
      dtypes.push_back(mx::float32);
    }
    const bool residual_differs = options_.has_residual && options_.dropout > 0;
    if (residual_differs) {
      shapes.push_back(x.shape());
      dtypes.push_back(x.dtype());
    }
    const Arrays results =
        mx::array::make_arrays(shapes, dtypes, std::make_shared<NormGradient>(stream(), options_, has_dh), inputs);
    Arrays gradients;
    for (int argnum : argnums) {
      if (argnum == 0) gradients.push_back(results[0]);
      else if (argnum == 1) gradients.push_back(results[1]);
      else if (options_.has_bias && argnum == bias_position()) gradients.push_back(results[2]);
      else if (options_.has_residual && argnum == residual_position())
        gradients.push_back(residual_differs ? results.back() : results[0]);
      else gradients.push_back(mx::zeros_like(primals[argnum], stream()));
    }
    return gradients;
  }

  int h_position() const { return options_.rms ? 2 : 3; }

 private:
  int bias_position() const { return 2; }
  int residual_position() const { return 2 + options_.has_bias; }
  int seed_position() const { return residual_position() + options_.has_residual; }

  NormOptions options_;
};

std::pair<Arrays, int> build(const mx::array& x, const MaybeArray& residual, const mx::array& weight,
                             const MaybeArray& bias, float epsilon, bool rms, float dropout, const MaybeArray& seed) {
  require_activations(x, "x");
  const int width = x.shape(-1);
  require_shape(weight, {width}, "weight");
  Arrays inputs{x, as_float32(weight)};
  if (bias) {
    require_shape(*bias, {width}, "bias");
    inputs.push_back(as_float32(*bias));
  }
  if (residual) {
    require_shape(*residual, x.shape(), "residual");
    require(residual->dtype() == x.dtype(),
            "residual is " + describe(*residual) + ", expected the dtype of x " + describe(x));
    inputs.push_back(*residual);
  }
  require_seed(seed, dropout);
  if (dropout > 0) inputs.push_back(*seed);
  const auto stream = cpu_stream();
  const auto primitive =
      std::make_shared<Norm>(stream, NormOptions{epsilon, rms, dropout, residual.has_value(), bias.has_value()});
  return {mx::array::make_arrays(primitive->shapes_for(x.shape()), primitive->dtypes_for(x.dtype()), primitive, inputs),
          primitive->h_position()};
}

}  // namespace

mx::array norm(const mx::array& x, const mx::array& weight, const MaybeArray& bias, float epsilon, bool rms) {
  return build(x, std::nullopt, weight, bias, epsilon, rms, 0.0f, std::nullopt).first[0];
}

std::pair<mx::array, mx::array> add_norm(const mx::array& x, const mx::array& residual, const mx::array& weight,
                                         const MaybeArray& bias, float epsilon, bool rms, float dropout,
                                         const MaybeArray& seed) {
  const auto [outputs, h] = build(x, residual, weight, bias, epsilon, rms, dropout, seed);
  return {outputs[0], outputs[h]};
}

}  // namespace bpk::glue
