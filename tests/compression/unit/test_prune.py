"""keep_parts, keep_words: what is left out is gone, all else answers as before; the folder is read back."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.compression.prune import keep_parts, keep_words
from bert_playground.documents import read_json
from bert_playground.models.bert_with_head import ENCODERS, BertWithHead
from bert_playground.models.checkpoint import load_model, save_model
from bert_playground.models.factory import create_bert_with_head

LAYERS, HEADS, NEURONS = 3, 4, 64
IDS = mx.array([[2, 5, 9, 11, 3], [2, 7, 8, 3, 0]])
MASK = mx.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])


@pytest.fixture(params=ENCODERS)
def model(request: pytest.FixtureRequest) -> BertWithHead:
    mx.random.seed(3)
    width = "feed_forward_size" if request.param == "neobert" else "intermediate_size"
    made = create_bert_with_head(
        request.param,
        "multiclass",
        3,
        hidden_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        vocab_size=40,
        max_position_embeddings=16,
        pad_token_id=0,
        initializer_range=0.3,
        **{width: NEURONS},
    )
    made.eval()
    return made


def logits(model: BertWithHead) -> np.ndarray:
    return np.array(model(IDS, MASK))


def test_with_all_parts_it_answers_the_same(model: BertWithHead) -> None:
    everything = {layer: range(HEADS) for layer in range(LAYERS)}
    neurons = {layer: range(NEURONS) for layer in range(LAYERS)}
    same = keep_parts(model, range(LAYERS), everything, neurons)
    np.testing.assert_allclose(logits(same), logits(model), atol=1e-5)


def test_parts_that_nobody_reads_are_not_missed(model: BertWithHead) -> None:
    gone_heads, gone_neurons = [1, 2], list(range(0, NEURONS, 2))
    for layer in model.encoder.layers:
        output = np.array(layer.attention.output.weight).reshape(32, HEADS, -1)
        output[:, gone_heads] = 0
        layer.attention.output.weight = mx.array(output.reshape(32, -1))
        down = np.array(layer.feed_forward.down.weight)
        down[:, gone_neurons] = 0
        layer.feed_forward.down.weight = mx.array(down)
    heads = {layer: [0, 3] for layer in range(LAYERS)}
    neurons = {layer: range(1, NEURONS, 2) for layer in range(LAYERS)}
    smaller = keep_parts(model, range(LAYERS), heads, neurons)
    np.testing.assert_allclose(logits(smaller), logits(model), atol=1e-5)
    assert smaller.encoder.layers[0].attention.qkv.weight.shape == (48, 32)
    assert smaller.encoder.layers[0].feed_forward.down.weight.shape == (32, 32)


def test_a_layer_less_is_a_layer_less(model: BertWithHead) -> None:
    smaller = keep_parts(model, [0, 2])
    assert len(smaller.encoder.layers) == smaller.encoder.config.num_hidden_layers == 2
    kept = smaller.encoder.layers[1].feed_forward.down.weight
    assert mx.array_equal(kept, model.encoder.layers[2].feed_forward.down.weight)
    assert not np.allclose(logits(smaller), logits(model), atol=1e-4)
    assert len(model.encoder.layers) == LAYERS


@pytest.mark.parametrize("with_heads", [True, False])
def test_the_folder_is_read_back_and_says_who_may_read_it(
    model: BertWithHead, tmp_path: Path, with_heads: bool
) -> None:
    heads = {layer: [0, 3] for layer in range(LAYERS)} if with_heads else None
    neurons = {layer: range(32) for layer in range(LAYERS)}
    smaller = keep_parts(model, [0, 1], heads, neurons)
    save_model(smaller, tmp_path / "small")
    np.testing.assert_allclose(logits(load_model(tmp_path / "small")), logits(smaller), atol=1e-5)
    values = read_json(tmp_path / "small" / "config.json")
    config = type(model.encoder.config)
    expected = config.own_model_type if with_heads else config.model_type
    assert values["model_type"] == expected
    assert ("head_dim" in values) == with_heads


def test_words_have_new_places(model: BertWithHead) -> None:
    kept = np.array([0, 1, 2, 3, 5, 7, 8, 9, 11])
    smaller = keep_words(model, kept)
    ids = mx.array(np.searchsorted(kept, np.array(IDS)))
    assert smaller.encoder.config.vocab_size == len(kept)
    np.testing.assert_allclose(np.array(smaller(ids, MASK)), logits(model), atol=1e-5)
