"""Feed-forward sublayers against their formulas, fused activation or not."""

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.models.bert.layers.feedforward import (
    ACTIVATIONS,
    FeedForward,
    GatedFeedForward,
)
from bert_playground.models.tokenwise import normal
from tests.models.tiny import largest_difference, make_encoder, make_rows


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_both_forms_are_their_formulas(activation: str) -> None:
    x, activate = mx.random.normal((5, 8)), ACTIVATIONS[activation]
    plain = FeedForward(8, 12, activation=activation, bias=True, initialize=normal(0.5))
    inner = activate(x @ plain.up.weight.T + plain.up.bias)
    assert np.allclose(plain(x), inner @ plain.down.weight.T + plain.down.bias, atol=1e-5)
    gated = GatedFeedForward(
        8,
        12,
        activation=activation,
        bias=False,
        initialize=normal(0.5),
        initialize_output=normal(0.5),
    )
    value, gate = mx.split(x @ gated.up.weight.T, 2, axis=-1)
    assert np.allclose(gated(x), (activate(value) * gate) @ gated.down.weight.T, atol=1e-5)


def test_an_unknown_activation_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"unknown activation 'gelu_fst'; did you mean 'gelu_fast'.*known: gelu, "
    ):
        FeedForward(8, 12, activation="gelu_fst", bias=True, initialize=normal(0.5))


def test_rms_norm_and_swiglu_are_options_of_modernbert() -> None:
    tokens, outputs = make_rows([12, 5]), []
    for options in ({}, {"norm_type": "rms"}, {"hidden_activation": "silu"}):
        mx.random.seed(0)
        outputs.append(make_encoder("modernbert", **options).encode(tokens))
    assert largest_difference(outputs[1], outputs[0]) > 1e-2
    assert largest_difference(outputs[2], outputs[0]) > 1e-2
