"""Numeric features in every head: a start at zero, gradients, layouts, missing values, and clear refusals."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import beyond_transformers, load_model, save_model
from bert_playground.models.ensemble import Ensemble
from bert_playground.models.factory import create_model
from bert_playground.models.heads import HEADS, BaseHead, HeadConfig, create_head
from bert_playground.models.heads.numeric_features import NUM_STEPS, encode_steps
from bert_playground.models.lora import LoRAAdapter, create_lora_config
from bert_playground.models.quantization_utils import quantize_model, quantized_layers
from bert_playground.tokens import Tokens
from tests.models.layouts import as_packed
from tests.models.tiny import make_encoder, make_rows

NUMBERS = [[0.1, float("nan")], [0.5, 0.9], [1.0, 0.0]]
LABELS: dict[str, Any] = {
    "binary": [0, 1, 1],
    "multiclass": [2, 0, 1],
    "multilabel": [[0, 1, 1], [1, 0, 0], [0, 0, 1]],
    "regression": [0.5, -1.0, 2.0],
    "ordinal": [2, 0, 1],
    "timeseries": [[0.5, -1.0, 2.0], [0.0, 1.0, 1.0], [-2.0, 0.1, 0.0]],
}
every_head = pytest.mark.parametrize("name", HEADS)
every_transform = pytest.mark.parametrize("transform", ["none", "tanh", "gelu_norm"])


def make_head(name: str, num_numbers: int = 2, **options: Any) -> BaseHead:
    labels = None if name in ("binary", "regression") else 3
    shape = {"hidden_size": 32, "num_labels": labels, "num_numbers": num_numbers}
    return create_head(HeadConfig(name, **(shape | options))).eval()


def make_model(name: str = "binary", **options: Any) -> BertWithHead:
    mx.random.seed(0)
    return BertWithHead(make_encoder("modernbert"), make_head(name, **options)).eval()


def rows(numbers: Any = NUMBERS) -> Tokens:
    tokens = make_rows([9, 5, 30])
    return tokens if numbers is None else tokens._replace(numbers=mx.array(numbers))


def awaken(model: BertWithHead) -> BertWithHead:
    """Give the last layer, which starts at zero, weights."""
    block = model.head.numbers
    block.last.weight = mx.random.normal(block.last.weight.shape, key=mx.random.key(1))
    return model


@every_head
@every_transform
def test_before_training_the_answer_is_that_of_the_text_alone(name: str, transform: str) -> None:
    with_numbers = make_model(name, transform=transform)
    alone = make_model(name, transform=transform, num_numbers=0)
    assert np.array_equal(with_numbers(rows()), alone(rows(None)))


@every_head
@every_transform
def test_numbers_count_the_same_in_padded_and_packed_rows_and_stay_f32(
    name: str, transform: str
) -> None:
    model, tokens = awaken(make_model(name, transform=transform, pooling="mean")), rows()
    logits = model(tokens)
    packed = as_packed(tokens)._replace(numbers=tokens.numbers)
    assert np.allclose(logits, model(packed), atol=1e-4)
    assert not np.allclose(logits, model(rows(np.flip(NUMBERS, axis=0).tolist())), atol=1e-3)
    model.encoder.dtype = mx.bfloat16
    assert model(tokens).dtype == mx.float32


@every_head
def test_the_gradient_reaches_the_block_and_descending_lowers_the_loss(name: str) -> None:
    model, labels = make_model(name, transform="gelu_norm", classifier_std=0.5), LABELS[name]
    tokens = rows()

    def loss(parameters: dict) -> mx.array:
        model.update(parameters)
        return model.head.loss(model(tokens), mx.array(labels))

    before = float(loss(model.trainable_parameters()))
    step = mx.grad(loss)(model.trainable_parameters())
    assert float(mx.abs(step["head"]["numbers"]["last"]["weight"]).max()) > 0
    for _ in range(5):
        step = mx.grad(loss)(parameters := model.trainable_parameters())
        model.update(tree_map(lambda value, slope: value - 0.002 * slope, parameters, step))
    assert float(loss(model.trainable_parameters())) < before
    block = tree_flatten(step["head"]["numbers"])
    assert [name for name, slope in block if not bool((slope != 0).any())] == []


def test_a_number_is_ramps_that_rise_one_after_the_other() -> None:
    ramps = np.array(encode_steps(mx.array([[0.0], [1.5 / NUM_STEPS], [1.0]])))
    assert ramps[:, :-1].sum(axis=1) == pytest.approx([0, 1.5, NUM_STEPS])
    assert ramps[1, :3] == pytest.approx([1, 0.5, 0])
    assert (ramps[:, -1] == 0).all()


def test_a_missing_number_is_a_flag_of_its_own() -> None:
    missing, lowest = np.array(encode_steps(mx.array([[float("nan")], [0.0]])))
    assert missing.tolist() == [0.0] * NUM_STEPS + [1.0]
    assert lowest.tolist() == [0.0] * (NUM_STEPS + 1)


def test_a_missing_number_gives_finite_gradients() -> None:
    model = awaken(make_model())
    nothing = rows([[float("nan")] * 2] * 3)

    def loss(parameters: dict) -> mx.array:
        model.update(parameters)
        return model.head.loss(model(nothing), mx.array([0, 1, 1]))

    gradients = tree_flatten(mx.grad(loss)(model.trainable_parameters()))
    assert all(bool(mx.isfinite(gradient).all()) for _, gradient in gradients)


@pytest.mark.parametrize("name", ["binary", "timeseries"])
@pytest.mark.parametrize(
    ("num_numbers", "numbers", "message"),
    [
        (2, None, "numeric features: none, expected shape .3, 2.; the head's num_numbers"),
        (0, NUMBERS, "numeric features: shape .3, 2., expected none"),
        (3, NUMBERS, "shape .3, 2., expected shape .3, 3."),
        (2, NUMBERS[:2], "shape .2, 2., expected shape .3, 2."),
    ],
)
def test_other_numbers_than_the_head_was_made_for_are_refused(
    name: str, num_numbers: int, numbers: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_model(name, num_numbers=num_numbers)(rows(numbers))


@every_head
def test_a_saved_model_reads_numbers_the_same(name: str, tmp_path: Path) -> None:
    model = awaken(make_model(name))
    save_model(model, tmp_path / "model")
    read = load_model(tmp_path / "model")
    assert read.head.config.num_numbers == 2
    assert np.array_equal(read(rows()), model(rows()))
    assert "the 2 numbers of a row" in beyond_transformers(model)


def test_weights_that_are_lost_are_missed(tmp_path: Path) -> None:
    model = make_model()
    save_model(model, tmp_path)
    weights = mx.load(str(tmp_path / "model.safetensors"))
    kept = {name: value for name, value in weights.items() if "numbers.last" not in name}
    mx.eval(kept)
    mx.save_safetensors(str(tmp_path / "model.safetensors"), kept)
    with pytest.raises(ValueError, match=r"lacks weights of its head: numbers\.last"):
        load_model(tmp_path)


def test_adapters_leave_the_block_trainable_and_quantizing_leaves_it_alone() -> None:
    model = make_model()
    LoRAAdapter(model, create_lora_config("balanced"))
    names = [name for name, _ in tree_flatten(model.trainable_parameters())]
    assert {"head.numbers.first.weight", "head.numbers.last.weight"} <= {*names}
    encoder = make_encoder("modernbert", intermediate_size=64)
    other = BertWithHead(encoder, make_head("binary", transform="tanh"))
    quantize_model(other, bits=4, group_size=32, quantize_head=True)
    quantized = quantized_layers(other)
    assert "head.dense" in quantized
    assert not any("numbers" in name for name in quantized)


def test_members_of_an_ensemble_read_the_same_numbers() -> None:
    members = [make_model(num_numbers=count) for count in (2, 2)]
    answer = Ensemble(members)(rows())
    assert np.allclose(answer, members[0].head.predict(members[0](rows())), atol=1e-6)
    with pytest.raises(ValueError, match="0 or 2 numeric features"):
        Ensemble([members[0], make_model(num_numbers=0)])


def test_a_model_is_made_with_numbers_by_name() -> None:
    options = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 1}
    model = create_model(
        "bert", "binary", num_attention_heads=2, intermediate_size=32, num_numbers=2, **options
    )
    assert model.eval()(rows()).shape == (3,)
    with pytest.raises(ValueError, match="num_numbers is -1, expected 0 to"):
        replace(model.head.config, num_numbers=-1)
