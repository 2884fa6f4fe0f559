// attention: padding-free, over the sequences that cu_seqlens cuts out of the token axis.
#include <cmath>

#include "glue/ops.h"

namespace bpk::glue {
namespace {

struct AttentionOptions {
  int num_heads, half_window;
  bool has_rope, interleaved;
  float dropout;
  bool operator==(const AttentionOptions&) const = default;
};

// inputs: qkv, cu_seqlens, then as present: cosines, sines, seed
AttentionForward read_inputs(Launch& launch, const Arrays& inputs, const AttentionOptions& options) {
  AttentionForward call{};
  const auto& qkv = inputs[0];
  call.sequences = static_cast<int64_t>(inputs[1].size()) - 1;
  call.tokens = rows_of(qkv);
  call.heads = options.num_heads;
  call.head_size = qkv.shape(-1) / 3 / options.num_heads;
  call.dtype = dtype_of(qkv);
  call.qkv = launch.read(qkv);
  call.cu_seqlens = static_cast<const int32_t*>(launch.read(inputs[1]));
  call.scale = 1.0f / std::sqrt(static_cast<float>(call.head_size));
  call.half_window = options.half_window;
  if (options.has_rope) {
    call.cosines = static_cast<const float*>(launch.read(inputs[2]));
    call.sines = static_cast<const float*>(launch.read(inputs[3]));
  }
  call.interleaved = options.interleaved;
  call.dropout = options.dropout;
  if (options.dropout > 0) call.seed = static_cast<const uint32_t*>(launch.read(inputs[options.has_rope ? 4 : 2]));
  return call;
}

class AttentionGradient : public CpuPrimitive {
 public:
  AttentionGradient(mx::Stream stream, AttentionOptions options) : CpuPrimitive(stream), options_(options) {}

  const char* name() const override { return "AttentionGradient"; }

  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const AttentionGradient&>(other).options_;
  }

  // inputs: those of the forward pass, then out, log_sum_exp, dout
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    const size_t count = inputs.size();
    AttentionBackward call{};
    call.forward = read_inputs(launch, inputs, options_);
    call.forward.out = const_cast<void*>(launch.read(inputs[count - 3]));
    call.forward.log_sum_exp = static_cast<float*>(const_cast<void*>(launch.read(inputs[count - 2])));
    call.dout = launch.read(inputs[count - 1]);
    call.dqkv = launch.write(outputs[0]);
    launch.run([call] { kernels().attention_backward(call); });
  }

 private:
  AttentionOptions options_;
};

class Attention : public CpuPrimitive {
 public:
  Attention(mx::Stream stream, AttentionOptions options) : CpuPrimitive(stream), options_(options) {}

  const char* name() const override { return "Attention"; }

  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const Attention&>(other).options_;
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override { return shapes_for(inputs[0]); }

  std::vector<mx::Shape> shapes_for(const mx::array& qkv) const {
    return {with_last(qkv.shape(), qkv.shape(-1) / 3), {options_.num_heads, static_cast<int>(rows_of(qkv))}};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    AttentionForward call = read_inputs(launch, inputs, options_);
    call.out = launch.write(outputs[0]);
    call.log_sum_exp = static_cast<float*>(launch.write(outputs[1]));
    const int64_t positions = options_.has_rope ? inputs[2].shape(0) : call.tokens;
    launch.run([call, positions] {
      check_sequences(call.cu_seqlens, call.sequences, call.tokens);
      check_positions(call.cu_seqlens, call.sequences, positions);
      kernels().attention_forward(call);
    });
  }

  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const Argnums& argnums, const Arrays& outputs) override {
    Arrays inputs = primals;
    inputs.insert(inputs.end(), {outputs[0], outputs[1], cotangents[0]});
    const auto& qkv = primals[0];
    Arrays gradients;
    for (int argnum : argnums) {
      if (argnum == 0)
        gradients.push_back(
            mx::array(qkv.shape(), qkv.dtype(), std::make_shared<AttentionGradient>(stream(), options_), inputs));
      else gradients.push_back(mx::zeros_like(primals[argnum], stream()));
    }
    return gradients;
  }

 private:
  AttentionOptions options_;
};

}  // namespace

void require_heads(int qkv_width, int num_heads) {
  require(num_heads > 0 && qkv_width % (3 * num_heads) == 0,
          "qkv has rows of " + std::to_string(qkv_width) + ", expected 3 * num_heads * head_size with num_heads " +
              std::to_string(num_heads));
}

bool require_rotary(const MaybeArray& cosines, const MaybeArray& sines, int head_size) {
  require(cosines.has_value() == sines.has_value(), "rotary embeddings need both cosines and sines");
  if (!cosines) return false;
  require(cosines->ndim() == 2 && cosines->shape(1) == head_size / 2,
          "cosines is " + describe(*cosines) + ", expected [positions, " + std::to_string(head_size / 2) + "]");
  require_shape(*sines, cosines->shape(), "sines");
  return true;
}

mx::array attention(const mx::array& qkv, const mx::array& cu_seqlens, int num_heads, int half_window,
                    const MaybeArray& cosines, const MaybeArray& sines, bool interleaved, float dropout,
                    const MaybeArray& seed) {
  require_activations(qkv, "qkv");
  require_heads(qkv.shape(-1), num_heads);
  require_sequences(cu_seqlens);
  require_seed(seed, dropout);
  Arrays inputs{qkv, cu_seqlens};
  if (require_rotary(cosines, sines, qkv.shape(-1) / 3 / num_heads)) {
    inputs.push_back(as_float32(*cosines));
    inputs.push_back(as_float32(*sines));
  }
  if (dropout > 0) inputs.push_back(*seed);
  const auto primitive = std::make_shared<Attention>(
      cpu_stream(), AttentionOptions{num_heads, half_window, cosines.has_value(), interleaved, dropout});
  return mx::array::make_arrays(primitive->shapes_for(qkv), {qkv.dtype(), mx::float32}, primitive, inputs)[0];
}

}  // namespace bpk::glue
