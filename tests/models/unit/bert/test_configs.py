"""Configs read every spelling and refuse impossible sizes."""

from typing import Any

import pytest

from bert_playground.models.bert import BertConfig, ModernBertConfig
from bert_playground.models.bert_with_head import ENCODERS

FULL, SLIDING = "full_attention", "sliding_attention"


def test_defaults_are_the_published_sizes() -> None:
    bert, modern = BertConfig(), ModernBertConfig()
    assert (bert.vocab_size, bert.hidden_size, bert.intermediate_size) == (30522, 768, 3072)
    assert (modern.vocab_size, modern.hidden_size, modern.intermediate_size) == (50368, 768, 1152)
    assert modern.half_windows[:4] == (None, 64, 64, None)
    assert sum(window is None for window in modern.half_windows) == 8
    assert (modern.theta(None), modern.theta(64)) == (160000, 10000)


def test_the_seed_documents_arguments_are_accepted() -> None:
    config = ModernBertConfig(
        vocab_size=50265,
        hidden_size=768,
        num_hidden_layers=22,
        num_attention_heads=12,
        intermediate_size=2688,
        max_position_embeddings=8192,
        rope_theta=160000,
        attention_dropout=0.0,
        alternating_attention=True,
    )
    assert config.theta(None) == 160000
    assert config.pad_token_id is None  # 50283 is no entry of this vocabulary
    every_layer = ModernBertConfig(alternating_attention=False, num_hidden_layers=3)
    assert every_layer.half_windows == (None, None, None)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_config_survives_its_json_and_unknown_keys_are_ignored(name: str) -> None:
    config = ENCODERS[name].config(num_hidden_layers=4)
    values = config.to_dict()
    assert values["model_type"] == name
    assert ENCODERS[name].config.from_dict(values | {"use_cache": True}) == config


@pytest.mark.parametrize(
    ("values", "half_windows", "thetas"),
    [
        ({"global_attn_every_n_layers": 2}, (None, 64, None), (160000, 10000)),
        ({"global_rope_theta": 8e4, "local_rope_theta": 5e3}, (None, 64, 64), (8e4, 5e3)),
        ({"global_rope_theta": 8e4, "local_rope_theta": None}, (None, 64, 64), (8e4, 8e4)),
        ({"layer_types": [SLIDING, FULL, FULL]}, (64, None, None), (160000, 10000)),
        (
            {
                "rope_parameters": {FULL: {"rope_theta": 7e4}, SLIDING: {"rope_theta": 3e3}},
                "global_rope_theta": 1.0,
            },
            (None, 64, 64),
            (7e4, 3e3),
        ),
        (
            {"rope_parameters": {"rope_theta": 5e4, "rope_type": "default"}},
            (None, 64, 64),
            (5e4, 5e4),
        ),
        ({"rope_scaling": None}, (None, 64, 64), (160000, 10000)),
        ({"local_attention": 9}, (None, 4, 4), (160000, 10000)),
        ({"sliding_window": 10}, (None, 10, 10), (160000, 10000)),
    ],
)
def test_modernbert_reads_both_spellings_of_transformers(
    values: dict[str, Any], half_windows: tuple[int | None, ...], thetas: tuple[float, float]
) -> None:
    config = ModernBertConfig.from_dict({"num_hidden_layers": 3, **values})
    assert config.half_windows == half_windows
    assert (config.theta(None), config.theta(1)) == thetas
    assert ModernBertConfig.from_dict(config.to_dict()).theta(1) == thetas[1]


def test_a_file_without_pooling_means_cls() -> None:
    assert ModernBertConfig.from_dict({}).classifier_pooling == "cls"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BertConfig(hidden_size=100, num_attention_heads=12), "not a multiple"),
        (lambda: BertConfig(vocab_size=0, num_hidden_layers=-1), "vocab_size is 0.*layers is -1"),
        (lambda: BertConfig(hidden_dropout_prob=1.5), "hidden_dropout_prob is 1.5"),
        (lambda: BertConfig(pad_token_id=30522), "pad_token_id is 30522.*0 to 30521"),
        (lambda: BertConfig(pad_token_id=-1), "pad_token_id is -1"),
        (lambda: BertConfig(hidden_size="768"), "hidden_size is '768', expected a whole number"),
        (lambda: BertConfig(num_hidden_layers=2.5), "num_hidden_layers is 2.5"),
        (lambda: BertConfig(layer_norm_eps=0.0), "layer_norm_eps is 0.0, expected more than 0"),
        (lambda: ModernBertConfig(vocab_size=50, pad_token_id=50), "pad_token_id is 50.*0 to 49"),
        (lambda: ModernBertConfig(local_attention=-2), "local_attention is -2"),
        (lambda: ModernBertConfig(rope_theta=0), "global_rope_theta is 0.0"),
        (lambda: ModernBertConfig(hidden_size=36, num_attention_heads=12), "3 dimensions.*even"),
        (lambda: ModernBertConfig(hidden_activation="gellu"), "did you mean 'gelu'"),
        (lambda: BertConfig(hidden_act="swiglu"), "unknown activation 'swiglu'"),
        (lambda: BertConfig(position_embedding_type="relative_key"), "only 'absolute'"),
        (lambda: ModernBertConfig(layer_types=(FULL,)), "22 times"),
        (lambda: ModernBertConfig(num_hidden_layers=1, layer_types=("full",)), "layer_types"),
        (lambda: ModernBertConfig(norm_type="batch"), "norm_type"),
        (lambda: ModernBertConfig(global_attn_every_n_layers=0), "from 1 to"),
        (
            lambda: ModernBertConfig.from_dict(
                {"rope_parameters": {FULL: {"rope_type": "yarn", "rope_theta": 1.0}}}
            ),
            "'yarn'; only 'default'",
        ),
        (
            lambda: ModernBertConfig.from_dict({"rope_scaling": {"type": "linear", "factor": 2.0}}),
            "rope_scaling has rope_type 'linear'",
        ),
        (
            lambda: ModernBertConfig.from_dict({"rope_parameters": {"partial_rotary_factor": 0.5}}),
            "partial_rotary_factor 0.5",
        ),
    ],
)
def test_impossible_configs_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
