"""Models and heads are called with plain arrays: model(input_ids, attention_mask), head(hidden, mask)."""

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.models.factory import create_model
from bert_playground.models.heads import (
    HEADS,
    BinaryClassificationHead,
    HeadConfig,
    MulticlassClassificationHead,
    TimeSeriesRegressionHead,
)
from bert_playground.tokens import Tokens

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"intermediate_size": 32, "vocab_size": 50, "max_position_embeddings": 16}
IDS, MASK = [[2, 9, 8, 7, 3], [2, 9, 3, 0, 0]], [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


@pytest.fixture(params=["bert", "modernbert", "neobert"])
def model(request):
    made = create_model(request.param, num_labels=2, **SIZES)
    made.eval()
    return made


@pytest.mark.parametrize("kind", [list, np.array, mx.array])
def test_a_model_answers_arrays_as_it_answers_tokens(kind, model) -> None:
    expected = model(Tokens(mx.array(IDS), mx.array(MASK)))
    assert np.allclose(model(kind(IDS), kind(MASK)), expected, atol=1e-5)


def test_without_a_mask_all_tokens_are_real(model) -> None:
    assert np.allclose(model(mx.array(IDS)), model(IDS, np.ones((2, 5), dtype=bool)), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (([2, 9, 3],), ValueError, r"shape \[3\], expected \[B, T\]"),
        ((IDS, [[1, 1]]), ValueError, "attention_mask has shape"),
        (([[0.5, 1.5]],), ValueError, "expected integers"),
        (([[2, 99]],), ValueError, "the encoder knows 0 to 49"),
        (([[2, 9], [2]],), TypeError, "expected Tokens or an array of equally long rows"),
        (("some text",), TypeError, "got a str, expected Tokens or an array"),
    ],
)
def test_other_arguments_get_a_sentence(arguments, kind, message: str, model) -> None:
    with pytest.raises(kind, match=message):
        model(*arguments)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "attention"])
def test_every_head_takes_hidden_states_and_a_mask(name: str, pooling: str) -> None:
    config = HeadConfig(head_type=name, hidden_size=16, num_labels=3, pooling=pooling)
    head = HEADS[name].from_config(config)
    head.eval()
    hidden = mx.random.normal((2, 5, 16))
    expected = head(hidden, Tokens(mx.array(IDS), mx.array(MASK)))
    assert np.allclose(head(hidden, mx.array(MASK)), expected, atol=1e-6)
    assert np.allclose(head(np.array(hidden), MASK), expected, atol=1e-6)
    assert head(hidden).shape == expected.shape


def test_a_head_made_alone_says_what_it_expects() -> None:
    head = BinaryClassificationHead(hidden_size=16)
    with pytest.raises(ValueError, match=r"shape \[5, 16\], .*pass hidden\[None\]"):
        head(mx.zeros((5, 16)))
    with pytest.raises(ValueError, match=r"expected \[B, T, 16\]"):
        MulticlassClassificationHead(hidden_size=16, num_labels=3)(mx.zeros((2, 5, 8)))
    with pytest.raises(ValueError, match=r"mask has shape \[2, 4\].*\[2, 5\]"):
        TimeSeriesRegressionHead(hidden_size=16, forecast_horizon=3)(
            mx.zeros((2, 5, 16)), mx.ones((2, 4))
        )
