// encoder_layer: a whole layer in one operation, for inference. Each operation wakes MLX's thread, which takes a small
// batch longer than its kernels; here one task calls the same kernels one after the other.
#include <array>
#include <bitset>
#include <cmath>

#include "glue/ops.h"

namespace bpk::glue {
namespace {

// What a layer reads, in the order of the primitive's inputs, of which any but the first two may be absent. The bias of
// a weight or norm stands behind it.
enum LayerInput {
  layer_x, layer_sequences, layer_residual, layer_cosines, layer_sines,
  qkv_weight, output_weight = qkv_weight + 2, up_weight = output_weight + 2, down_weight = up_weight + 2,
  norm_before = down_weight + 2, norm_between = norm_before + 2, norm_after = norm_between + 2,
  layer_inputs = norm_after + 2,
};
constexpr int num_products = 4, num_norms = 3;

struct LayerOptions {
  std::bitset<layer_inputs> present;
  std::array<int, num_products> rows;  // of each weight
  Activation activation;               // of the product up
  int num_heads, half_window;
  float epsilon;
  bool rms, is_int8;
  bool operator==(const LayerOptions&) const = default;

  bool has(int input) const { return present[input]; }
  int rows_of_weight(int weight) const { return rows[(weight - qkv_weight) / 2]; }
  int attention_width() const { return rows_of_weight(qkv_weight) / 3; }
  int inner_width() const { return is_gated(activation) ? rows_of_weight(up_weight) / 2 : rows_of_weight(up_weight); }
};

// A layer whose arrays have their addresses: what MLX's thread runs.
struct LayerCall {
  LayerOptions options;
  std::array<const void*, layer_inputs> at{};  // null where absent
  int64_t tokens, width, sequences, positions;
  DType dtype;
  void* update;  // what the layer gives
  void* sum;     // the stream that it is to be added to; null where a norm has done so

  void operator()() const {
    check_sequences(starts(), sequences, tokens);
    check_positions(starts(), sequences, positions);
    Workspace memory;
    const int64_t attention = options.attention_width(), inner = options.inner_width();
    const bool has_sum = at[layer_residual];
    const Rooms rooms{memory.take(bytes(std::max(3 * attention, inner))), memory.take(bytes(std::max(attention, width))),
                      memory.take(bytes(width)), has_sum ? memory.take(bytes(width)) : nullptr};
    const int64_t weights = width * options.rows_of_weight(qkv_weight) + attention * width +
                            width * options.rows_of_weight(up_weight) + inner * width;
    const auto call = [&] { compute(rooms); };
    kernels().share_team({tokens * weights / 32, [](const void* it) { (*static_cast<decltype(&call)>(it))(); }, &call});
  }

 private:
  // Memory for what is computed on the way, each taken again as soon as what is in it has been read.
  struct Rooms {
    void *wide, *narrow, *part, *sum;
  };

  void compute(const Rooms& rooms) const {
    const int64_t attention = options.attention_width(), inner = options.inner_width();
    const void *normed = at[layer_x], *stream = at[layer_x];
    if (at[norm_before]) {
      norm(norm_before, at[layer_x], at[layer_residual], rooms.narrow, rooms.sum);
      normed = rooms.narrow;
      if (rooms.sum) stream = rooms.sum;
    }
    multiply(qkv_weight, normed, width, rooms.wide);
    attend(rooms.wide, rooms.narrow);
    multiply(output_weight, rooms.narrow, attention, rooms.part);
    norm(norm_between, rooms.part, stream, rooms.narrow, sum);
    multiply(up_weight, rooms.narrow, width, rooms.wide);
    multiply(down_weight, rooms.wide, inner, at[norm_after] ? rooms.part : update);
    if (at[norm_after]) norm(norm_after, rooms.part, rooms.narrow, update, nullptr);
  }

  const int32_t* starts() const { return static_cast<const int32_t*>(at[layer_sequences]); }
  const float* floats(int input) const { return static_cast<const float*>(at[input]); }
  size_t bytes(int64_t columns) const { return size_t(tokens) * columns * (dtype == DType::bf16 ? 2 : 4); }

  template <class Product>
  Product product(int weight, const void* x, int64_t in_features, void* y) const {
    Product call{};
    call.tokens = tokens;
    call.in_features = in_features;
    call.out_features = options.rows_of_weight(weight);
    call.dtype = dtype;
    call.x = x;
    call.packed = at[weight];
    call.bias = floats(weight + 1);
    call.activation = weight == up_weight ? options.activation : Activation::none;
    call.y = y;
    return call;
  }

  void multiply(int weight, const void* x, int64_t in_features, void* y) const {
    if (options.is_int8) kernels().int8_linear(product<Int8Linear>(weight, x, in_features, y));
    else kernels().linear_forward(product<LinearForward>(weight, x, in_features, y));
  }

  void norm(int weight, const void* x, const void* residual, void* y, void* h) const {
    NormForward call{};
    call.tokens = tokens;
    call.width = width;
    call.dtype = dtype;
    call.x = x;
    call.residual = residual;
    call.weight = floats(weight);
    call.bias = floats(weight + 1);
    call.epsilon = options.epsilon;
    call.rms = options.rms;
    call.y = y;
    call.h = h;
    kernels().norm_forward(call);
  }

  void attend(const void* qkv, void* out) const {
    AttentionForward call{};
    call.sequences = sequences;
    call.tokens = tokens;
    call.heads = options.num_heads;
    call.head_size = options.attention_width() / options.num_heads;
    call.dtype = dtype;
    call.qkv = qkv;
    call.cu_seqlens = starts();
    call.scale = 1.0f / std::sqrt(static_cast<float>(call.head_size));
    call.half_window = options.half_window;
    call.cosines = floats(layer_cosines);
    call.sines = floats(layer_sines);
    call.out = out;
    kernels().attention_forward(call);
  }
};

class EncoderLayer : public CpuPrimitive {
 public:
  EncoderLayer(mx::Stream stream, LayerOptions options) : CpuPrimitive(stream), options_(options) {}

  const char* name() const override { return "EncoderLayer"; }

  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const EncoderLayer&>(other).options_;
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override { return shapes_for(inputs[0]); }

  // update, and where no norm comes after it the stream that it is to be added to
  std::vector<mx::Shape> shapes_for(const mx::array& x) const {
    return std::vector<mx::Shape>(options_.has(norm_after) ? 1 : 2, x.shape());
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    Launch launch(stream());
    LayerCall call{};
    call.options = options_;
    const mx::array* cosines = nullptr;
    for (size_t input = 0, next = 0; input < layer_inputs; ++input) {
      if (!options_.has(input)) continue;
      if (input == layer_cosines) cosines = &inputs[next];
      call.at[input] = launch.read(inputs[next++]);
    }
    call.tokens = inputs[0].shape(0);
    call.width = inputs[0].shape(1);
    call.sequences = static_cast<int64_t>(inputs[1].size()) - 1;
    call.positions = cosines ? cosines->shape(0) : call.tokens;
    call.dtype = dtype_of(inputs[0]);
    call.update = launch.write(outputs[0]);
    call.sum = outputs.size() > 1 ? launch.write(outputs[1]) : nullptr;
    launch.run(call);
  }

  Arrays vjp(const Arrays&, const Arrays&, const Argnums&, const Arrays&) override {
    throw std::invalid_argument("encoder_layer has no gradient; use the operations that it is made of");
  }

 private:
  LayerOptions options_;
};

// The layer's inputs by their places, checked as they are put there.
class LayerBuilder {
 public:
  LayerBuilder(const mx::array& x, LayerOptions options) : x_(x), options_(options) {}

  void put(int input, const mx::array& array) {
    inputs_.push_back(array);
    options_.present.set(input);
  }

  void put_product(int weight, const PackedWeight& product, int in_features) {
    const auto& [packed, rows, bias] = product;
    const Activation activation = weight == up_weight ? options_.activation : Activation::none;
    if (options_.is_int8) require_packed_int8(packed, in_features, rows, activation);
    else require_packed(packed, in_features, rows, x_.dtype(), activation);
    options_.rows[(weight - qkv_weight) / 2] = rows;
    put(weight, packed);
    put_bias(weight + 1, bias, rows);
  }

  void put_norm(int weight, const std::optional<NormWeights>& norm) {
    if (!norm) return;
    require_shape(norm->first, {x_.shape(1)}, "norm");
    put(weight, as_float32(norm->first));
    put_bias(weight + 1, norm->second, x_.shape(1));
  }

  const LayerOptions& options() const { return options_; }

  Arrays build() const {
    const auto primitive = std::make_shared<EncoderLayer>(cpu_stream(), options_);
    const auto shapes = primitive->shapes_for(x_);
    return mx::array::make_arrays(shapes, std::vector<mx::Dtype>(shapes.size(), x_.dtype()), primitive, inputs_);
  }

 private:
  void put_bias(int input, const MaybeArray& bias, int size) {
    if (!bias) return;
    require_shape(*bias, {size}, "bias");
    put(input, as_float32(*bias));
  }

  mx::array x_;
  LayerOptions options_;
  Arrays inputs_;
};

}  // namespace

Arrays encoder_layer(const mx::array& x, const mx::array& cu_seqlens, const std::vector<PackedWeight>& products,
                     const std::vector<std::optional<NormWeights>>& norms, const MaybeArray& residual, int num_heads,
                     int half_window, const MaybeArray& cosines, const MaybeArray& sines,
                     const std::string& activation, float epsilon, bool rms, bool is_int8) {
  require_activations(x, "x");
  require(x.ndim() == 2, "x is " + describe(x) + ", expected [tokens, width]");
  require(products.size() == num_products, "products are qkv, output, up and down");
  require(norms.size() == num_norms && norms[1], "norms are those before attention, between and after feed-forward");
  LayerOptions options{};
  options.activation = activation_of(activation);
  options.num_heads = num_heads;
  options.half_window = half_window;
  options.epsilon = epsilon;
  options.rms = rms;
  options.is_int8 = is_int8;
  LayerBuilder layer(x, options);
  layer.put(layer_x, x);
  require_sequences(cu_seqlens);
  layer.put(layer_sequences, cu_seqlens);
  if (residual) {
    require(norms[0].has_value(), "a residual needs the norm before attention, which adds it");
    require_shape(*residual, x.shape(), "residual");
    require(residual->dtype() == x.dtype(), "residual is " + describe(*residual) + ", expected the dtype of x");
    layer.put(layer_residual, *residual);
  }
  const int width = x.shape(1), qkv_rows = std::get<1>(products[0]);
  require_heads(qkv_rows, num_heads);
  if (require_rotary(cosines, sines, qkv_rows / 3 / num_heads)) {
    layer.put(layer_cosines, as_float32(*cosines));
    layer.put(layer_sines, as_float32(*sines));
  }
  layer.put_product(qkv_weight, products[0], width);
  layer.put_product(output_weight, products[1], qkv_rows / 3);
  layer.put_product(up_weight, products[2], width);
  layer.put_product(down_weight, products[3], layer.options().inner_width());
  for (int norm = 0; norm < num_norms; ++norm) layer.put_norm(norm_before + 2 * norm, norms[norm]);
  for (int weight : {output_weight, down_weight})
    require(layer.options().rows_of_weight(weight) == width, "output and down give rows of the width of x " + describe(x));
  return layer.build();
}

}  // namespace bpk::glue
