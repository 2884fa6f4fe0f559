// activation, dropout, fork and embedding.
#include "glue/ops.h"

namespace bpk::glue {
namespace {

class ActivationGradient : public CpuPrimitive {
 public:
  ActivationGradient(mx::Stream stream, Activation activation) : CpuPrimitive(stream), activation_(activation) {}

  const char* name() const override { return "ActivationGradient"; }

  bool is_equivalent(const Primitive& other) const override {
    return activation_ == static_cast<const ActivationGradient&>(other).activation_;
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    const auto& x = inputs[0];
    ActivationBackward call{};
    call.tokens = rows_of(x);
    call.width = is_gated(activation_) ? x.shape(-1) / 2 : x.shape(-1);  // that of y
    call.dtype = dtype_of(x);
    call.activation = activation_;
    call.x = launch.read(x);
    call.dy = launch.read(inputs[1]);
    call.dx = launch.write(outputs[0]);
    launch.run([call] { kernels().activation_backward(call); });
  }

 private:
  Activation activation_;
};

class ActivationOp : public CpuPrimitive {
 public:
  ActivationOp(mx::Stream stream, Activation activation) : CpuPrimitive(stream), activation_(activation) {}

  const char* name() const override { return "Activation"; }

  bool is_equivalent(const Primitive& other) const override {
    return activation_ == static_cast<const ActivationOp&>(other).activation_;
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override { return {shape_for(inputs[0].shape())}; }

  mx::Shape shape_for(const mx::Shape& shape) const {
    return is_gated(activation_) ? with_last(shape, shape.back() / 2) : shape;
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    const auto& x = inputs[0];
    ActivationForward call{};
    call.tokens = rows_of(x);
    call.width = is_gated(activation_) ? x.shape(-1) / 2 : x.shape(-1);  // that of y
    call.dtype = dtype_of(x);
    call.activation = activation_;
    call.x = launch.read(x);
    call.y = launch.write(outputs[0]);
    launch.run([call] { kernels().activation_forward(call); });
  }

  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const Argnums&, const Arrays&) override {
    const auto& x = primals[0];
    return {mx::array(x.shape(), x.dtype(), std::make_shared<ActivationGradient>(stream(), activation_),
                      {x, cotangents[0]})};
  }

 private:
  Activation activation_;
};

class DropoutOp : public CpuPrimitive {
 public:
  DropoutOp(mx::Stream stream, float probability) : CpuPrimitive(stream), probability_(probability) {}

  const char* name() const override { return "Dropout"; }

  bool is_equivalent(const Primitive& other) const override {
    return probability_ == static_cast<const DropoutOp&>(other).probability_;
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override { return {inputs[0].shape()}; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    Dropout call{};
    call.size = static_cast<int64_t>(inputs[0].size());
    call.dtype = dtype_of(inputs[0]);
    call.probability = probability_;
    call.seed = static_cast<const uint32_t*>(launch.read(inputs[1]));
    call.x = launch.read(inputs[0]);
    call.y = launch.write_over(outputs[0], inputs[0]);
    launch.run([call] { kernels().dropout(call); });
  }

  // The gradient goes through the same mask: the mask depends on the seed alone.
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const Argnums& argnums, const Arrays&) override {
    Arrays gradients;
    for (int argnum : argnums) {
      if (argnum == 0) gradients.push_back(apply(cotangents[0], primals[1]));
      else gradients.push_back(mx::zeros_like(primals[argnum], stream()));
    }
    return gradients;
  }

  mx::array apply(const mx::array& x, const mx::array& seed) {
    return mx::array(x.shape(), x.dtype(), std::make_shared<DropoutOp>(stream(), probability_), {x, seed});
  }

 private:
  float probability_;
};

class EmbeddingGradient : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;

  const char* name() const override { return "EmbeddingGradient"; }

  bool is_equivalent(const Primitive&) const override { return true; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    EmbeddingBackward call{};
    call.tokens = static_cast<int64_t>(inputs[0].size());
    call.rows = outputs[0].shape(0);
    call.width = outputs[0].shape(1);
    call.dtype = dtype_of(inputs[1]);
    call.ids = static_cast<const int32_t*>(launch.read(inputs[0]));
    call.dy = launch.read(inputs[1]);
    call.dtable = static_cast<float*>(launch.write(outputs[0]));
    launch.run([call] { kernels().embedding_backward(call); });
  }
};

class EmbeddingOp : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;

  const char* name() const override { return "Embedding"; }

  bool is_equivalent(const Primitive&) const override { return true; }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override { return {shape_for(inputs[0], inputs[1])}; }

  static mx::Shape shape_for(const mx::array& table, const mx::array& ids) {
    mx::Shape shape = ids.shape();
    shape.push_back(table.shape(1));
    return shape;
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    EmbeddingForward call{};
    call.tokens = static_cast<int64_t>(inputs[1].size());
    call.rows = inputs[0].shape(0);
    call.width = inputs[0].shape(1);
    call.dtype = dtype_of(outputs[0]);
    call.table = launch.read(inputs[0]);
    call.table_dtype = dtype_of(inputs[0]);
    call.ids = static_cast<const int32_t*>(launch.read(inputs[1]));
    call.y = launch.write(outputs[0]);
    launch.run([call] {
      check_ids(call.ids, call.tokens, call.rows);
      kernels().embedding_forward(call);
    });
  }

  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const Argnums& argnums, const Arrays&) override {
    Arrays gradients;
    for (int argnum : argnums) {
      if (argnum != 0) {
        gradients.push_back(mx::zeros_like(primals[argnum], stream()));
        continue;
      }
      const mx::array gradient(primals[0].shape(), mx::float32, std::make_shared<EmbeddingGradient>(stream()),
                               {primals[1], cotangents[0]});
      gradients.push_back(mx::astype(gradient, primals[0].dtype(), stream()));
    }
    return gradients;
  }
};

class AddOp : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;

  const char* name() const override { return "ForkGradient"; }

  bool is_equivalent(const Primitive&) const override { return true; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    Add call{};
    call.size = static_cast<int64_t>(inputs[0].size());
    call.dtype = dtype_of(inputs[0]);
    call.a = launch.read(inputs[0]);
    call.b = launch.read(inputs[1]);
    call.y = launch.write(outputs[0]);
    launch.run([call] { kernels().add(call); });
  }
};

// The same array twice. Its gradient is the sum of two, which MLX would add up on one thread.
class Fork : public CpuPrimitive {
 public:
  using CpuPrimitive::CpuPrimitive;

  const char* name() const override { return "Fork"; }

  bool is_equivalent(const Primitive&) const override { return true; }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override { return {inputs[0].shape(), inputs[0].shape()}; }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    for (auto& output : outputs) output.copy_shared_buffer(inputs[0]);
  }

  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const Argnums&, const Arrays&) override {
    if (is_zero_cotangent(cotangents[0])) return {cotangents[1]};
    if (is_zero_cotangent(cotangents[1])) return {cotangents[0]};
    return {mx::array(primals[0].shape(), primals[0].dtype(), std::make_shared<AddOp>(stream()), cotangents)};
  }
};

}  // namespace

mx::array activation(const mx::array& x, const std::string& name) {
  const Activation kind = activation_of(name);
  require_activations(x, "x");
  require(!is_gated(kind) || x.shape(-1) % 2 == 0,
          "a gated activation needs an even last dimension, got " + describe(x));
  if (kind == Activation::none) return x;
  const auto primitive = std::make_shared<ActivationOp>(cpu_stream(), kind);
  return mx::array(primitive->shape_for(x.shape()), x.dtype(), primitive, {x});
}

mx::array dropout(const mx::array& x, float probability, const mx::array& seed) {
  require_activations(x, "x");
  require_seed(seed, probability);
  if (probability == 0.0f) return x;
  return DropoutOp(cpu_stream(), probability).apply(x, seed);
}

mx::array embedding(const mx::array& table, const mx::array& ids, mx::Dtype dtype) {
  require_activations(table, "table");
  require(table.ndim() == 2, "table is " + describe(table) + ", expected [rows, width]");
  require(dtype == mx::float32 || dtype == mx::bfloat16, "dtype must be float32 or bfloat16");
  const auto stream = cpu_stream();
  return mx::array(EmbeddingOp::shape_for(table, ids), dtype, std::make_shared<EmbeddingOp>(stream), {table, as_int32(ids)});
}

std::pair<mx::array, mx::array> fork_array(const mx::array& x) {
  require_activations(x, "x");
  if (!x.is_tracer()) return {x, x};
  Arrays both = mx::array::make_arrays({x.shape(), x.shape()}, {x.dtype(), x.dtype()},
                                       std::make_shared<Fork>(cpu_stream()), {x});
  return {both[0], both[1]};
}

}  // namespace bpk::glue
