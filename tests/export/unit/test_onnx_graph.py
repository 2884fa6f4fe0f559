"""A model as an ONNX graph: onnxruntime computes what MLX computes, whatever the encoder, the head and the lengths."""

import dataclasses
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import onnx
import pytest

from bert_playground import kernels
from bert_playground.export.onnx.build import FIRST_OPSET, LAST_OPSET, build_onnx, prepare_model
from bert_playground.export.onnx.gate import compare_answers, refuse_difference
from bert_playground.export.onnx.graph import ACTIVATIONS, Graph, check_model
from bert_playground.export.onnx.heads import expected_logits, num_logits, score_shape
from bert_playground.export.onnx.session import OnnxModel
from bert_playground.models.bert.layers import feedforward
from bert_playground.models.bert_with_head import ENCODERS, BertWithHead
from bert_playground.models.heads import HEADS
from bert_playground.models.lora import LoRAAdapter, LoRAConfig
from bert_playground.models.quantization_utils import quantize_model, quantized_layers
from bert_playground.tokens import Tokens
from tests.export.small import SIZES, make_model
from tests.tolerances import TINY

# Rows of one token, short and padded ones, and some beyond the window of 8 (blocks from 96 tokens on are tested apart).
LENGTHS = ([1], [3, 1], [9, 60, 20], [40, 40])


def make_tokens(model: BertWithHead, lengths: list[int]) -> Tokens:
    random = np.random.default_rng(len(lengths))
    ids = random.integers(5, model.encoder.config.vocab_size, (len(lengths), max(lengths)))
    places = np.arange(max(lengths))[None]
    mask = places < np.array(lengths)[:, None]
    types = None
    if model.encoder.config.model_type == "bert":
        types = mx.array(((places >= max(lengths) // 2) & mask).astype(np.int32))
    numbers = None
    if model.num_numbers:
        drawn = random.uniform(-0.1, 1.1, (len(lengths), model.num_numbers)).astype(np.float32)
        drawn[0, 0] = np.nan
        numbers = mx.array(drawn)
    return Tokens(mx.array(ids.astype(np.int32)), mx.array(mask), None, types, numbers=numbers)


def check_parity(model: BertWithHead, lengths: Any = LENGTHS, **options: Any) -> None:
    """Build the graph, let ONNX check it, and compare logits and scores on batches of these lengths."""
    built = build_onnx(prepare_model(model), **options)
    check_model(built)
    graph = OnnxModel(built.SerializeToString())
    for each in lengths:
        tokens = make_tokens(model, each)
        logits = model(tokens)
        scores = np.array(model.head.predict(logits))
        ours = expected_logits(model.head, np.array(logits))
        for theirs, expected in zip(graph.run(tokens), (ours, scores), strict=True):
            assert theirs.shape == expected.shape
            largest = max(1, np.abs(expected).max())
            np.testing.assert_allclose(theirs, expected, rtol=0, atol=TINY * largest)


@pytest.mark.parametrize(("encoder", "head"), [*itertools.product(ENCODERS, HEADS)])
def test_onnxruntime_answers_as_the_model_does(encoder: str, head: str) -> None:
    check_parity(make_model(encoder, head))


@pytest.mark.parametrize("opset", [FIRST_OPSET, 18, 20, LAST_OPSET])
def test_every_opset_gives_the_same(opset: int) -> None:
    check_parity(make_model("modernbert", "ordinal", pooling="max"), opset=opset)
    check_parity(make_model("neobert", "binary"), opset=opset)


@pytest.mark.parametrize("opset", [1, FIRST_OPSET - 1, LAST_OPSET + 1])
def test_another_opset_is_refused(opset: int) -> None:
    with pytest.raises(ValueError, match=rf"opset {opset} is not among 17 to {LAST_OPSET}"):
        build_onnx(make_model("bert", "binary"), opset=opset)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "attention"])
def test_each_pooling(pooling: str) -> None:
    model = make_model("modernbert", "multiclass", pooling=pooling)
    if pooling == "attention":
        model.head.attention_pooler.weight = mx.random.normal((1, SIZES["hidden_size"]))
    check_parity(model)


@pytest.mark.parametrize(
    ("encoder", "head", "options"),
    [
        ("bert", "regression", {"uncertainty_estimation": True}),
        ("neobert", "ordinal", {"use_cumulative_link": False}),
        ("bert", "timeseries", {"use_temporal_features": True}),
        ("bert", "multiclass", {"temperature_scaling": 2.5}),
        ("modernbert", "binary", {"temperature_scaling": 0.4}),
    ],
)
def test_options_of_heads(encoder: str, head: str, options: dict[str, Any]) -> None:
    check_parity(make_model(encoder, head, **options))


def test_local_attention_is_right_far_beyond_the_window() -> None:
    """From 96 tokens on MLX computes it in blocks."""
    model = make_model("modernbert", "regression", max_position_embeddings=300)
    check_parity(model, ([97], [300, 150, 97], [99, 1]))


@pytest.mark.parametrize("encoder", ["bert", "modernbert", "neobert"])
def test_numbers_in_tokens_are_a_second_input(encoder: str) -> None:
    ranges = ((20, 30), (30, 34), (40, 41))
    model = make_model(encoder, "binary")
    config = dataclasses.replace(model.encoder.config, numeric_tokens=ranges)
    encoder_class = type(model.encoder)
    model = BertWithHead(encoder_class(config), model.head).eval()
    model.encoder.numbers.weight = mx.random.normal(model.encoder.numbers.weight.shape)
    built = build_onnx(model)
    assert [value.name for value in built.graph.input][-1] == "numbers"
    check_parity(model)


def test_numbers_beside_the_text_are_a_second_input() -> None:
    model = make_model("bert", "binary", num_numbers=3)
    model.head.numbers.last.weight = mx.random.normal(model.head.numbers.last.weight.shape)
    check_parity(model)


def test_a_row_without_any_token_is_no_nan() -> None:
    model = make_model("modernbert", "binary")
    graph = OnnxModel(build_onnx(model).SerializeToString())
    tokens = make_tokens(model, [20, 1])
    tokens = tokens._replace(attention_mask=mx.array([[True] * 20, [False] * 20]))
    logits, scores = graph.run(tokens)
    assert np.isfinite(logits).all()
    assert np.isfinite(scores).all()


def test_inputs_are_named_as_transformers_names_them_and_are_dynamic() -> None:
    names = {}
    for encoder in ENCODERS:
        built = build_onnx(make_model(encoder, "binary"))
        names[encoder] = [value.name for value in built.graph.input]
        axes = [axis.dim_param for axis in built.graph.input[0].type.tensor_type.shape.dim]
        assert axes == ["batch_size", "sequence_length"]
    plain = ["input_ids", "attention_mask"]
    assert names == {
        "bert": [*plain, "token_type_ids"],
        "modernbert": plain,
        "neobert": plain,
    }


def test_softmax_of_two_binary_logits_is_our_probability() -> None:
    model = make_model("bert", "binary", temperature_scaling=1.7)
    graph = OnnxModel(build_onnx(model).SerializeToString())
    logits, scores = graph.run(make_tokens(model, [9, 5]))
    assert logits.shape == (2, num_logits(model.head)) == (2, 2)
    assert score_shape(model.head) == ()
    odds = np.exp(logits)
    np.testing.assert_allclose((odds / odds.sum(axis=1, keepdims=True))[:, 1], scores, atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_activation(name: str) -> None:
    assert set(ACTIVATIONS) == set(feedforward.ACTIVATIONS)
    for opset in (FIRST_OPSET, LAST_OPSET):
        graph = Graph(opset)
        value = graph.input("x", "float32", ["n"])
        graph.output("logits", graph.activate(value, name), ["n"])
        model = graph.model("one activation")
        check_model(model)
        x = np.linspace(-6, 6, 101, dtype=np.float32)
        session = OnnxModel(model.SerializeToString()).session
        expected = np.array(feedforward.ACTIVATIONS[name](mx.array(x)))
        np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, atol=2e-6)


def test_adapters_are_merged() -> None:
    model = make_model("bert", "binary")
    plain = np.array(model(make_tokens(model, [9])))
    model.adapter = LoRAAdapter(model, LoRAConfig(r=2))
    for _, module in model.named_modules():
        if "lora_b" in module:
            module.lora_b = mx.random.normal(module.lora_b.shape) / 5
    model.eval()
    adapted = np.array(model(make_tokens(model, [9])))
    assert np.abs(adapted - plain).max() > 1e-3
    graph = OnnxModel(build_onnx(prepare_model(model)).SerializeToString())
    logits, _ = graph.run(make_tokens(model, [9]))
    np.testing.assert_allclose(logits[:, 1] * 2, adapted, atol=1e-4)


def test_quantized_weights_are_written_in_full() -> None:
    model = make_model("bert", "multiclass")
    quantize_model(model, bits=8, group_size=32)
    tokens = make_tokens(model, [20, 7])
    before = np.array(model(tokens))
    assert quantized_layers(model)
    graph = OnnxModel(build_onnx(prepare_model(model)).SerializeToString())
    np.testing.assert_allclose(graph.run(tokens)[0], before, atol=1e-4)


def test_weights_are_stored_once_and_in_half() -> None:
    model = make_model("modernbert", "binary")
    whole, half = (build_onnx(model, is_half=is_half) for is_half in (False, True))
    assert half.ByteSize() < 0.75 * whole.ByteSize()
    check_model(half)
    tokens = make_tokens(model, [9, 5])
    full, small = (OnnxModel(each.SerializeToString()).run(tokens)[0] for each in (whole, half))
    np.testing.assert_allclose(small, full, atol=2e-2)
    model.encoder.layers[0].feed_forward.up.weight = 1e5 * mx.ones(
        model.encoder.layers[0].feed_forward.up.weight.shape
    )
    with pytest.raises(ValueError, match=r"f16 ends at 65504.*use --dtype f32"):
        build_onnx(model, is_half=True)


def test_the_gate_finds_a_graph_of_another_model() -> None:
    model, other = make_model("modernbert", "binary"), make_model("modernbert", "binary")
    cases = compare_answers(model, OnnxModel(build_onnx(model).SerializeToString()), None, None)
    refuse_difference(cases)
    assert [case.name for case in cases][1:4] == ["one token", "short", "padded"]
    assert max(case.num_tokens for case in cases) == SIZES["max_position_embeddings"]
    # What is wrong beyond the window alone is found too.
    for layer in other.encoder.layers:
        if layer.attention.half_window is not None:
            layer.attention.half_window += 1
    wrong = OnnxModel(build_onnx(other).SerializeToString())
    with pytest.raises(ValueError, match=r"beyond the window.*nothing was written"):
        refuse_difference(compare_answers(model, wrong, None, None))


def test_a_cut_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    whole = build_onnx(make_model("bert", "binary")).SerializeToString()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot read .*model.onnx.*export it again"):
        OnnxModel(path)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_trace_of_mlx_has_the_same_products(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mx.export_function` tells what MLX itself computes: as many products, softmaxes and roots of variances."""
    monkeypatch.setattr(kernels, "_native", None)
    model = make_model(encoder, "multiclass", transform="none")
    mx.eval(model.parameters())
    traced: list[str] = []

    def listen(entry: dict[str, Any]) -> None:
        if entry["type"] == "primitive":
            traced.append(entry["name"])

    ids = mx.zeros((2, 24), dtype=mx.int32)
    mask = mx.array(np.arange(24)[None] < np.array([[24], [9]]))
    mx.export_function(listen, lambda a, b: model(Tokens(a, b)), ids, mask)
    built = Counter(node.op_type for node in build_onnx(model).graph.node)
    found = Counter(traced)
    norms = built["LayerNormalization"] + built["Sqrt"]
    ours = [built["MatMul"], built["Softmax"] - 1, norms, built["Erf"], built["Sigmoid"]]
    names = ("Matmul", "Softmax", "Sqrt", "Erf", "Sigmoid")
    assert ours == [found[name] for name in names]  # the softmax of the scores apart
    assert found["Matmul"] == 6 * SIZES["num_hidden_layers"] + 1


def test_shapes_are_inferred_to_the_outputs() -> None:
    built = build_onnx(make_model("modernbert", "multilabel"))
    inferred = onnx.shape_inference.infer_shapes(built, check_type=True, strict_mode=True)
    known = {value.name for value in inferred.graph.value_info}
    made = {name for node in inferred.graph.node for name in node.output}
    assert made - known <= {value.name for value in inferred.graph.output}
