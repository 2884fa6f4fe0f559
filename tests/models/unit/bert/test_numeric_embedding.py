"""Numbers in the tokens of their cells: exact ramps, both layouts, a start at zero, gradients, and clear refusals."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from bert_playground.documents import read_json
from bert_playground.models.bert.layers.numeric_embedding import NumericEmbedding
from bert_playground.models.bert_with_head import ENCODERS, BertWithHead
from bert_playground.models.checkpoint import (
    beyond_transformers,
    hub_config,
    load_model,
    save_model,
)
from bert_playground.models.heads import HeadConfig, create_head
from bert_playground.models.masked_lm import create_masked_lm
from bert_playground.tokens import Tokens
from tests.models.layouts import as_packed, real
from tests.models.tiny import make_encoder

K = 4
RANGES = ((10, 14), (20, 23))
IDS = [[1, 10, 21, 2], [1, 13, 5, 2], [22, 11, 2, 0]]
NUMBERS = [[0.6, 1.0], [0.0, 0.3], [float("nan"), 0.125]]
every_encoder = pytest.mark.parametrize("name", ENCODERS)


def rows() -> Tokens:
    mask = mx.array(IDS) != 0
    return Tokens(mx.array(IDS), mask, numbers=mx.array(NUMBERS))


def packed(tokens: Tokens) -> Tokens:
    return as_packed(tokens)._replace(numbers=tokens.numbers)


def awake(module: NumericEmbedding) -> NumericEmbedding:
    module.weight = mx.random.normal(module.weight.shape, key=mx.random.key(1))
    return module


def make_model(name: str, **options: Any) -> BertWithHead:
    mx.random.seed(0)
    encoder = make_encoder(name, numeric_tokens=RANGES, num_ramps=K, **options)
    awake(encoder.numbers)
    head = create_head(HeadConfig("binary", hidden_size=32)).eval()
    return BertWithHead(encoder, head).eval()


def expected(weight: np.ndarray) -> np.ndarray:
    """The sum over all ramps, each written out."""
    out = np.zeros((3, 4, weight.shape[-1]), np.float32)
    for i, row in enumerate(IDS):
        for j, token in enumerate(row):
            for f, (start, end) in enumerate(RANGES):
                value = NUMBERS[i][f]
                if start <= token < end and not np.isnan(value):
                    ramps = np.clip(value * K - np.arange(K), 0, 1)
                    out[i, j] = ramps @ weight[f]
    return out


def test_a_number_adds_the_sum_of_its_ramps_to_its_own_token_alone() -> None:
    module = awake(NumericEmbedding(RANGES, K, 50, 8))
    added = np.array(module(rows(), mx.float32))
    np.testing.assert_allclose(added, expected(np.array(module.weight)), atol=1e-6)


def test_packed_rows_get_what_padded_ones_get() -> None:
    module, tokens = awake(NumericEmbedding(RANGES, K, 50, 8)), rows()
    for dtype in (mx.float32, mx.bfloat16):
        padded = real(module(tokens, dtype).astype(mx.float32), tokens)
        together = module(packed(tokens), dtype)
        assert together.dtype == dtype
        assert mx.array_equal(padded, together.astype(mx.float32))


def test_packed_rows_of_any_size_get_what_padded_ones_get() -> None:
    module = awake(NumericEmbedding(RANGES, 16, 50, 37))
    random = np.random.default_rng(0)
    lengths = np.array([1, 40, 3, 77, 2, 60] * 8)
    mask = np.arange(lengths.max())[None] < lengths[:, None]
    ids = np.where(mask, random.integers(1, 50, mask.shape), 0)
    numbers = random.uniform(-0.1, 1.1, (len(lengths), 2)).astype(np.float32)
    numbers[random.random(numbers.shape) < 0.2] = np.nan
    tokens = Tokens(mx.array(ids), mx.array(mask), numbers=mx.array(numbers))
    for dtype in (mx.float32, mx.bfloat16):
        padded = real(module(tokens, dtype).astype(mx.float32), tokens)
        assert mx.array_equal(padded, module(packed(tokens), dtype).astype(mx.float32))


def test_training_starts_from_the_tokens_alone_and_reaches_every_ramp_below_a_value() -> None:
    module, tokens = NumericEmbedding(RANGES, K, 50, 8), rows()
    assert not np.array(module(tokens, mx.float32)).any()
    _, gradients = nn.value_and_grad(module, lambda m: m(tokens, mx.float32).sum())(module)
    reached = np.array(gradients["weight"]).any(axis=-1)
    assert reached.tolist() == [[True, True, True, False], [True] * 4]


@every_encoder
def test_encoders_read_numbers_alike_in_both_layouts(name: str) -> None:
    model, tokens = make_model(name), rows()
    padded, together = model(tokens), model(packed(tokens))
    np.testing.assert_allclose(np.array(padded), np.array(together), atol=1e-4)
    moved = tokens._replace(numbers=mx.array(NUMBERS) * 0.5)
    assert not np.allclose(np.array(padded[:2]), np.array(model(moved)[:2]))


@every_encoder
def test_a_masked_token_hides_its_number(name: str) -> None:
    model, tokens = make_model(name), rows()
    hidden = tokens._replace(input_ids=mx.where(tokens.input_ids == 10, 4, tokens.input_ids))
    moved = hidden._replace(numbers=mx.array([[0.1, 1.0], *NUMBERS[1:]]))
    assert mx.array_equal(model(hidden), model(moved))


@every_encoder
def test_a_saved_model_answers_the_same_bits(name: str, tmp_path: Path) -> None:
    model, tokens = make_model(name), rows()
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.encoder.config.numeric_tokens == RANGES
    assert mx.array_equal(again(tokens), model(tokens))


@every_encoder
def test_transformers_is_told_that_it_cannot_read_such_a_model(name: str, tmp_path: Path) -> None:
    model = make_model(name)
    save_model(model, tmp_path / "model")
    values = read_json(tmp_path / "model" / "config.json")
    assert values["model_type"] == f"bert_playground_{name}"
    assert any("numbers" in reason for reason in beyond_transformers(model))


@every_encoder
def test_a_model_without_numbers_says_nothing_of_them(name: str) -> None:
    head = create_head(HeadConfig("binary", hidden_size=32))
    values = hub_config(BertWithHead(make_encoder(name), head))
    assert not {"numeric_tokens", "num_ramps"} & set(values)


def test_masked_words_are_predicted_from_numbers_too() -> None:
    encoder = make_encoder("bert", numeric_tokens=RANGES, num_ramps=K)
    awake(encoder.numbers)
    model, tokens = create_masked_lm(encoder).eval(), rows()
    moved = tokens._replace(numbers=mx.array(NUMBERS) * 0.5)
    assert not np.allclose(np.array(model(tokens)[:2]), np.array(model(moved)[:2]))


@pytest.mark.parametrize("numbers", [None, [[0.5], [0.5], [0.5]]])
def test_other_numbers_than_the_encoder_was_made_for_are_refused(numbers: Any) -> None:
    tokens = rows()._replace(numbers=None if numbers is None else mx.array(numbers))
    with pytest.raises(ValueError, match=r"expected shape \[3, 2\].*pipeline"):
        make_model("modernbert")(tokens)


def test_plain_arrays_without_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="numeric features: none"):
        make_model("modernbert")(mx.array(IDS))


@every_encoder
@pytest.mark.parametrize(
    "wrong",
    [
        {"numeric_tokens": [[5, 5]]},
        {"numeric_tokens": [[5, 51]]},
        {"numeric_tokens": [[-1, 3]]},
        {"numeric_tokens": [[5, 9], [8, 12]]},
        {"numeric_tokens": [5, 9]},
        {"numeric_tokens": "all"},
        {"numeric_tokens": [[5, 9]], "num_ramps": 0},
    ],
)
def test_impossible_tokens_of_numbers_are_refused(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"numeric_tokens|num_ramps"):
        ENCODERS[name].config.from_dict({"vocab_size": 50, "pad_token_id": 0, **wrong})
