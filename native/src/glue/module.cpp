// The Python module `_ext`: the operations' signatures and documentation, as the package offers them.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>
#include <omp.h>

#include "glue/ops.h"
#include "mlx/version.h"

namespace nb = nanobind;

namespace bpk::glue {
namespace {

// What the package reads when it is imported.
void define_machine(nb::module_& module) {
  // The version this file was compiled against; the package refuses any other.
  module.attr("mlx_version") = std::to_string(MLX_VERSION_MAJOR) + "." + std::to_string(MLX_VERSION_MINOR) + "." +
                               std::to_string(MLX_VERSION_PATCH);
  nb::list built;
  for (const char* isa : {"avx2", "avx512", "avx512_bf16", "amx"})
    if (has_kernels(isa)) built.append(isa);
  module.attr("built") = nb::tuple(built);
  module.attr("wanted") = wanted_kernels();

  module.def(
      "isa",
      []() -> std::optional<std::string> {
        const Kernels* selected = select_kernels();
        return selected ? std::optional<std::string>(selected->name) : std::nullopt;
      },
      "The instruction set in use: avx2, avx512, avx512_bf16 or amx.");
  module.def(
      "has_fast_bf16", [] { return kernels().fast_bf16; },
      "Whether bfloat16 activations are faster than float32 on this CPU.");
  module.def("num_threads", [] { return omp_get_max_threads(); }, "Threads per operation; OMP_NUM_THREADS sets it.");
}

void define_linear(nb::module_& module) {
  module.def("linear", &linear, nb::arg("x"), nb::arg("weight"), nb::arg("bias") = nb::none(),
             nb::arg("activation") = "none",
             R"(act(x weight^T + bias).

Gradients are computed only for the arrays that are asked for: a frozen weight costs nothing.

Args:
    x: [..., in_features].
    weight: [out_features, in_features].
    bias: [out_features].
    activation: none, gelu (the erf form), or geglu and swiglu, which return act(first half) * second half of the
        outputs, hence [..., out_features / 2].)");
  module.def("pack", &pack, nb::arg("weight"), nb::arg("dtype"), nb::arg("activation") = "none",
             R"(Rearranges a weight once for `packed_linear`, for activations of type `dtype`.

The bytes depend on the instruction set of this process: never save them.)");
  module.def("packed_linear", &packed_linear, nb::arg("x"), nb::arg("packed"), nb::arg("out_features"),
             nb::arg("bias") = nb::none(), nb::arg("activation") = "none",
             "`linear` for inference, with a weight from `pack`; it has no gradient. out_features counts the rows of the "
             "weight.");
  module.def("quantized_linear", &quantized_linear, nb::arg("x"), nb::arg("weight"), nb::arg("scales"),
             nb::arg("biases"), nb::arg("bias") = nb::none(), nb::kw_only(), nb::arg("group_size"), nb::arg("bits"),
             "`linear` on a weight in the affine layout of mx.quantize, 4 or 8 bits; gradients reach x and bias only.");
  module.def("pack_int8", &pack_int8, nb::arg("weight"), nb::arg("activation") = "none",
             "Quantizes a weight to int8, one scale per row, and arranges it for `int8_linear`; never save the bytes.");
  module.def("int8_linear", &int8_linear, nb::arg("x"), nb::arg("packed"), nb::arg("out_features"),
             nb::arg("bias") = nb::none(), nb::arg("activation") = "none",
             "`linear` for inference in int8: x is quantized per token on the fly; it has no gradient.");
}

void define_norm(nb::module_& module) {
  module.def("norm", &norm, nb::arg("x"), nb::arg("weight"), nb::arg("bias") = nb::none(), nb::kw_only(),
             nb::arg("eps"), nb::arg("rms") = false,
             "Layer norm of the last dimension, or RMS norm (no mean subtracted).");
  module.def("add_norm", &add_norm, nb::arg("x"), nb::arg("residual"), nb::arg("weight"),
             nb::arg("bias") = nb::none(), nb::kw_only(), nb::arg("eps"), nb::arg("rms") = false,
             nb::arg("dropout") = 0.0f, nb::arg("seed") = nb::none(),
             "Returns (y, h): h = residual + dropout(x) and y = norm(h). `seed` is an mx.random key.");
}

void define_attention(nb::module_& module) {
  module.def("attention", &attention, nb::arg("qkv"), nb::arg("cu_seqlens"), nb::arg("num_heads"), nb::kw_only(),
             nb::arg("half_window") = -1, nb::arg("cosines") = nb::none(), nb::arg("sines") = nb::none(),
             nb::arg("interleaved") = false, nb::arg("dropout") = 0.0f, nb::arg("seed") = nb::none(),
             R"(Padding-free self-attention; memory is linear in the number of tokens, forward and backward.

Args:
    qkv: [tokens, 3 * num_heads * head_size], queries, then keys, then values.
    cu_seqlens: int32 [sequences + 1], where each sequence starts, and the number of tokens at the end. Tokens behind
        that belong to no sequence and give zeros.
    num_heads: each has width / num_heads elements.
    half_window: a token sees those at most this far away, both ends included; negative = all.
    cosines: [positions, head_size / 2], rotary embeddings of the queries and keys; the position of a token counts from
        the start of its sequence.
    sines: like cosines.
    interleaved: rotary pairs are (2j, 2j + 1) instead of (j, j + head_size / 2).
    dropout: probability of dropping an attention weight.
    seed: an mx.random key, needed with dropout.)");
}

void define_encoder(nb::module_& module) {
  module.def("bert_embeddings", &bert_embeddings, nb::arg("ids"), nb::arg("cu_seqlens"), nb::arg("tables"),
             nb::arg("norm"), nb::kw_only(), nb::arg("eps"), nb::arg("dtype"), nb::arg("type_ids") = nb::none(),
             nb::arg("added") = nb::none(),
             R"(norm(word + added + token type + position), [tokens, width], for inference.

Returns None while a function is traced, such as for gradients, which it has not.

Args:
    ids: integers [tokens].
    cu_seqlens: as in `attention`; positions count from each start.
    tables: of words, token types and positions, [rows, width] each.
    norm: gain and bias or None.
    dtype: of the result, and of each sum on the way.
    type_ids: like ids; None: all 0.
    added: [tokens, width].)");
  module.def("encoder_layer", &encoder_layer, nb::arg("x"), nb::arg("cu_seqlens"), nb::arg("products"),
             nb::arg("norms"), nb::kw_only(), nb::arg("residual") = nb::none(), nb::arg("num_heads"),
             nb::arg("half_window") = -1, nb::arg("cosines") = nb::none(), nb::arg("sines") = nb::none(),
             nb::arg("activation"), nb::arg("eps"), nb::arg("rms") = false, nb::arg("is_int8") = false,
             R"(A whole layer for inference, bit for bit what its operations give one by one; it has no gradient.

Small batches spend most of their time between operations, so a layer is one.

Args:
    x: [tokens, width].
    cu_seqlens: as in `attention`, and so are num_heads, half_window, cosines and sines.
    products: of qkv, output, up and down: a weight from `pack` or `pack_int8`, its rows, and its bias or None.
    norms: before attention, between, after feed-forward: gain and bias or None; the first and the last may be None.
    residual: like x; what the norm before attention adds to it.
    activation: of the product up.
    is_int8: whether the weights are from `pack_int8`.

Returns:
    [y] with a norm after feed-forward, which adds the output of the norm between (post-norm); else [update, stream], whose
    sum is the output (pre-norm).)");
}

void define_numbers(nb::module_& module) {
  module.def("numeric_embedding", &numeric_embedding, nb::arg("ids"), nb::arg("cu_seqlens"), nb::arg("values"),
             nb::arg("weight"), nb::arg("number_of_token"), nb::arg("dtype"),
             R"(What the numbers of each row add to the embeddings of their cells' tokens, [tokens, width], for inference.

Returns None while a function is traced, as `bert_embeddings` does.

Args:
    ids: integers [tokens].
    cu_seqlens: as in `attention`.
    values: [sequences, numbers], from 0 to 1; NaN: none.
    weight: [numbers, ramps, width].
    number_of_token: integers [vocabulary], which number a token's cell holds; `numbers` and more: none.
    dtype: of the result.)");
}

void define_elementwise(nb::module_& module) {
  module.def("activation", &activation, nb::arg("x"), nb::arg("name"),
             "gelu(x), or for geglu and swiglu act(first half) * second half of the last dimension.");
  module.def("dropout", &dropout, nb::arg("x"), nb::arg("probability"), nb::arg("seed"),
             "Zeroes elements with `probability` and scales the rest by 1 / (1 - probability). `seed` is an mx.random "
             "key.");
  module.def("fork", &fork_array, nb::arg("x"),
             "The same array twice, for two uses: the sum of their gradients is then taken by all threads.");
  module.def("embedding", &embedding, nb::arg("table"), nb::arg("ids"), nb::arg("dtype"),
             "Rows of `table` [rows, width] for integer `ids`, as `dtype`; the gradient sums in a fixed order.");
  module.def("sequence_sum", &sequence_sum, nb::arg("x"), nb::arg("cu_seqlens"),
             R"(The sum of x [tokens, width] over each sequence, float32 [sequences, width]; `cu_seqlens` as in `attention`.

Tokens behind the last sequence belong to none.)");
}

void define_training(nb::module_& module) {
  module.def("cross_entropy", &cross_entropy, nb::arg("logits"), nb::arg("labels"),
             "The loss of each row, float32: logsumexp(logits) - logits[label], and 0 where the label is negative.");
  module.def("adamw", &adamw, nb::arg("parameters"), nb::arg("gradients"), nb::arg("m"), nb::arg("v"),
             nb::arg("learning_rate"), nb::arg("step"), nb::arg("gradient_scale"), nb::kw_only(), nb::arg("beta1"),
             nb::arg("beta2"), nb::arg("eps"), nb::arg("weight_decay"),
             R"(One AdamW step with bias correction; returns (parameters, m, v), in place when nothing else holds the old ones.

The arrays of a call share one parallel region, but building the graph takes time that grows with their square: some
ten of them are a good number. learning_rate, step (counting from 1) and gradient_scale (for clipping) are arrays of
one value, so that one compiled graph serves all steps.)");
  module.def(
      "square_sum", [](const nb::args& arrays) { return square_sum(nb::cast<Arrays>(arrays)); }, nb::arg("arrays"),
      "The sum of the squares of all arrays, accumulated in float64 in a fixed order; it has no gradient.");
}

}  // namespace
}  // namespace bpk::glue

NB_MODULE(_ext, module) {
  using namespace bpk::glue;
  nb::module_::import_("mlx.core");  // registers mx.array with nanobind
  define_machine(module);
  define_linear(module);
  define_norm(module);
  define_attention(module);
  define_encoder(module);
  define_numbers(module);
  define_elementwise(module);
  define_training(module);
}
