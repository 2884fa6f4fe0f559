"""NeoBERT: its published size, both spellings of its config, and the order of its rows."""

import json

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.models.bert import NeoBertConfig
from bert_playground.models.bert.neobert import row_order
from bert_playground.models.factory import create_model
from bert_playground.models.tokenwise import named_parameters
from tests.models.tiny import make_encoder

PUBLISHED = {
    "architectures": ["NeoBERTLMHead"],
    "model_type": "neobert",
    "hidden_size": 768,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "dim_head": 64,
    "intermediate_size": 3072,
    "max_length": 4096,
    "norm_eps": 1e-05,
    "vocab_size": 30522,
    "pad_token_id": 0,
    "embedding_init_range": 0.02,
    "decoder_init_range": 0.02,
    "classifier_init_range": 0.02,
    "hidden_act": "SwiGLU",
}


def test_the_published_size_is_the_default() -> None:
    model = create_model("neobert", num_labels=2)  # nothing is computed until it is asked for
    encoder = model.encoder
    sizes = [weight.size for weight in named_parameters(encoder).values()]
    assert sum(sizes) == 221_665_536
    # The published 250M count the decoder of pretraining too: a second table, and a bias.
    assert sum(sizes) + 30522 * 768 + 30522 == 245_136_954
    assert len(encoder.layers) == 28
    assert encoder.max_length == 4096
    assert encoder.layers[0].feed_forward.up.weight.shape == (2 * 2048, 768)
    assert (model.head.config.pooling, model.head.config.transform) == ("cls", "dropout_tanh")


def test_the_published_config_is_the_default() -> None:
    assert NeoBertConfig.from_dict(PUBLISHED) == NeoBertConfig()
    assert NeoBertConfig.from_dict({**PUBLISHED, "rms_norm": True, "rope": True}) == NeoBertConfig()


def test_the_config_is_saved_in_the_published_spelling() -> None:
    values = json.loads(json.dumps(NeoBertConfig(max_position_embeddings=128).to_dict()))
    assert values["max_length"] == 128
    assert "max_position_embeddings" not in values
    assert {
        key: values[key] for key in PUBLISHED if key not in ("architectures", "max_length")
    } == {
        key: value for key, value in PUBLISHED.items() if key not in ("architectures", "max_length")
    }
    assert NeoBertConfig.from_dict(values).max_position_embeddings == 128


def test_the_spelling_of_the_other_encoders_is_read_too() -> None:
    values = {"max_position_embeddings": 64, "rope_parameters": {"rope_theta": 5000.0}}
    config = NeoBertConfig.from_dict(values)
    assert (config.max_position_embeddings, config.rope_theta) == (64, 5000.0)


def test_the_width_of_the_feed_forward_follows_the_weights() -> None:
    assert NeoBertConfig().feed_forward_size == 2048
    # Some files have the width itself in intermediate_size; theirs is known from the weights.
    other = NeoBertConfig(intermediate_size=2048, feed_forward_size=2048)
    assert (other.feed_forward_size, other.intermediate_size) == (2048, 3072)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', expected 'swiglu'"),
        ({"rms_norm": False, "ngpt": True}, "rms_norm is False.*ngpt is True"),
        ({"rope": False}, "rope is False"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "has rope_type 'yarn'"),
        ({"pad_token_id": 30522}, "pad_token_id is 30522.*0 to 30521"),
        ({"num_attention_heads": 256}, "3 dimensions.*even"),
    ],
)
def test_what_is_not_the_published_architecture_is_refused(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NeoBertConfig.from_dict(PUBLISHED | values)


def test_rows_go_from_heads_to_queries_keys_values_and_from_pairs_to_halves() -> None:
    order = row_order(hidden_size=8, num_heads=2)  # heads of 4: q0 k0 v0 q1 k1 v1
    queries, keys, values = order.reshape(3, 8)
    assert queries.tolist() == [0, 2, 1, 3, 12, 14, 13, 15]
    assert keys.tolist() == [4, 6, 5, 7, 16, 18, 17, 19]
    assert values.tolist() == [8, 9, 10, 11, 20, 21, 22, 23]
    assert sorted(order) == list(range(24))


def test_initial_weights_are_uniform() -> None:
    encoder = make_encoder("neobert", hidden_size=128, initializer_range=0.02)
    for weight in (encoder.embeddings.words.weight, encoder.layers[0].feed_forward.up.weight):
        assert float(mx.abs(weight).max()) <= 0.02
        assert float(weight.std()) == pytest.approx(0.02 / np.sqrt(3), rel=0.05)
    assert mx.array_equal(encoder.final_norm.weight, mx.ones(128))
