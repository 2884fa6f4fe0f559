"""Training steps on the native kernels, packed, follow the curve of MLX's own operations, padded."""

from collections.abc import Iterator
from functools import cache

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground import kernels
from bert_playground.data.core.types import Batch
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.heads import HeadConfig, create_head
from bert_playground.tokens import Tokens
from bert_playground.training.core.optimizers import AdamW
from bert_playground.training.core.step import make_train_step
from tests.models.layouts import as_packed
from tests.models.tiny import VOCAB_SIZE, make_encoder
from tests.tolerances import CURVE, CURVE_BF16

pytestmark = [
    pytest.mark.native,
    pytest.mark.skipif(not kernels.is_native(), reason="the native kernels are not installed"),
]
STEPS, ROWS = 18, 8


def iterate_rows() -> Iterator[tuple[Tokens, mx.array]]:
    """Padded rows of 1 to 20 tokens, three batches in turn, to be learned by heart."""
    for number in range(STEPS):
        random = np.random.default_rng(number % 3)
        ids = random.integers(3, VOCAB_SIZE, (ROWS, 20))
        mask = np.arange(20)[None] < random.integers(1, 21, (ROWS, 1))
        labels = mx.array(random.integers(0, 2, ROWS))
        yield Tokens(mx.array(np.where(mask, ids, 0)), mx.array(mask)), labels


def make_model(name: str, pooling: str, dtype: mx.Dtype) -> BertWithHead:
    mx.random.seed(0)
    encoder = make_encoder(name, initializer_range=0.1)
    encoder.dtype = dtype
    options = {"num_labels": 2, "pooling": pooling, "hidden_dropout_prob": 0.0}
    head = create_head(HeadConfig("multiclass", hidden_size=encoder.hidden_size, **options))
    model = BertWithHead(encoder, head)
    return model.eval()  # evaluation mode: no dropout anywhere


def train(
    name: str, pooling: str, *, is_packed: bool, dtype: mx.Dtype = mx.float32
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The loss of each step, and the parameters after the last."""
    model, optimizer = make_model(name, pooling, dtype), AdamW()
    step = make_train_step(model, optimizer, use_compilation=False)
    parameters = model.trainable_parameters()
    moments, losses = optimizer.create_moments(parameters), []
    for number, (tokens, labels) in enumerate(iterate_rows(), start=1):
        batch = Batch(as_packed(tokens) if is_packed else tokens, labels, mx.arange(ROWS))
        result = step(parameters, moments, [batch], 3e-3, number)
        mx.eval(result)
        parameters, moments = result.parameters, result.moments
        losses.append(result.loss.item())
    return np.array(losses), {n: np.array(p) for n, p in tree_flatten(parameters)}


@cache
def train_packed(name: str, pooling: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The same on the native kernels in f32, computed by the first test that asks."""
    assert kernels.is_native()
    return train(name, pooling, is_packed=True)


# Each encoder and each pooling: a pooling reads the encoder's output, whatever it came from.
@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("bert", "cls"),
        ("bert", "mean"),
        ("modernbert", "mean"),
        ("modernbert", "max"),
        ("modernbert", "attention"),
    ],
)
@pytest.mark.quick_for("bert-cls", "modernbert-mean")
def test_the_curve_is_the_same_as_without_native_kernels(
    name: str, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, _ = train_packed(name, pooling)
    monkeypatch.setattr(kernels, "_native", None)
    expected, _ = train(name, pooling, is_packed=False)
    assert expected[-3:].mean() < 0.9 * expected[:3].mean(), "nothing was learned"
    assert np.abs(losses - expected).max() <= CURVE * expected.max()


@pytest.mark.parametrize("name", ["bert", "modernbert"])
def test_bf16_follows_the_curve_of_f32(name: str) -> None:
    losses, _ = train(name, "mean", is_packed=True, dtype=mx.bfloat16)
    expected, _ = train_packed(name, "mean")
    assert np.abs(losses - expected).max() <= CURVE_BF16 * expected.max()


@pytest.mark.parametrize("name", ["bert", "modernbert"])
def test_two_runs_are_the_same_bits(name: str) -> None:
    first, parameters = train_packed(name, "mean")
    second, again = train(name, "mean", is_packed=True)
    assert np.array_equal(first, second)
    for key, value in parameters.items():
        assert np.array_equal(again[key], value), key
