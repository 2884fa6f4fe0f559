"""Targets: names, expressions and patterns mean the same layers on every architecture, and wrong ones are answered."""

from typing import Any

import pytest
from mlx.utils import tree_flatten

from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.models.lora import LoRAAdapter, LoRAConfig, LoRALinear
from tests.models.tiny import make_encoder

every_encoder = pytest.mark.parametrize("name", ENCODERS)
# The same four layers by the names of Hugging Face.
HUB = {
    "bert": [
        "query",
        "key",
        "value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ],
    "modernbert": ["attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"],
    "neobert": ["qkv", "wo", "w12", "w3"],
}


def adapted(name: str, **options: Any) -> dict[str, LoRALinear]:
    encoder = make_encoder(name)
    LoRAAdapter(encoder, LoRAConfig(**{"r": 4, **options}))
    return {p: m for p, m in encoder.named_modules() if isinstance(m, LoRALinear)}


@every_encoder
def test_short_names_mean_the_same_parts_everywhere(name: str) -> None:
    layers = adapted(name, target_modules=["value", "query"])
    assert sorted(layers) == [f"layers.{i}.attention.qkv" for i in range(3)]
    assert {layer.parts for layer in layers.values()} == {(0, 2)}
    layers = adapted(name, target_modules=["output", "up", "down"])
    assert len(layers) == 9
    assert not any("qkv" in path for path in layers)


@every_encoder
def test_hugging_faces_names_and_all_linear_mean_its_layers(name: str) -> None:
    named, everything = (
        adapted(name, target_modules=HUB[name]),
        adapted(name, target_modules="all-linear"),
    )
    assert sorted(named) == sorted(everything)
    assert len(named) == 12
    # Classic BERT has three layers where we have one; the others have one, and then A is shared.
    parts = {layer.parts for path, layer in named.items() if "qkv" in path}
    assert parts == {(0, 1, 2)} if name == "bert" else parts == {(0,)}


def test_an_expression_is_for_the_whole_name_and_a_plain_string_is_a_name() -> None:
    layers = adapted("bert", target_modules=r"encoder\.layer\.[02]\.attention\.self\.(query|key)")
    assert sorted(layers) == ["layers.0.attention.qkv", "layers.2.attention.qkv"]
    assert {layer.parts for layer in layers.values()} == {(0, 1)}
    assert sorted(adapted("modernbert", target_modules=r"layers\.1\.(query|up)")) == [
        "layers.1.attention.qkv",
        "layers.1.feed_forward.up",
    ]
    assert len(adapted("bert", target_modules="query")) == 3


def test_ranks_and_alphas_differ_by_pattern() -> None:
    layers = adapted(
        "modernbert",
        target_modules=["query", "value", "up"],
        rank_pattern={"layers.0.query": 2, "value": 6, "layers.[12].up": 8},
        alpha_pattern={"up": 32},
    )
    assert layers["layers.0.attention.qkv"].ranks == (2, 6)
    assert layers["layers.1.attention.qkv"].ranks == (4, 6)
    assert layers["layers.0.attention.qkv"].scales == (16 / 2, 16 / 6)
    assert layers["layers.0.feed_forward.up"].scales == (32 / 4,)
    assert layers["layers.2.feed_forward.up"].lora_a.shape == (8, 32)


def test_rank_stabilised_scaling_divides_by_the_root() -> None:
    layers = adapted("bert", target_modules=["up"], r=16, alpha=8, use_rslora=True)
    assert {layer.scales for layer in layers.values()} == {(2.0,)}


def test_only_the_layers_asked_for_are_adapted() -> None:
    assert sorted(adapted("bert", layers_to_transform=[0, 2])) == [
        "layers.0.attention.qkv",
        "layers.2.attention.qkv",
    ]
    assert len(adapted("bert", layers_to_transform=1)) == 1


@pytest.mark.parametrize(
    ("bias", "trained"),
    [("none", 0), ("lora_only", 3 * 96), ("all", 3 * (96 + 32 + 40 + 32 + 64) + 32)],
)
def test_biases_are_trained_as_asked(bias: str, trained: int) -> None:
    encoder = make_encoder("bert")
    LoRAAdapter(encoder, LoRAConfig(bias=bias))
    leaves = dict(tree_flatten(encoder.trainable_parameters()))
    assert sum(v.size for k, v in leaves.items() if k.endswith(("bias", "bias_update"))) == trained


def test_modules_to_save_are_trained_in_full() -> None:
    encoder = make_encoder("modernbert")
    LoRAAdapter(
        encoder,
        LoRAConfig(modules_to_save=["final_norm", "layers.0.feed_forward", "tok_embeddings"]),
    )
    leaves = {k for k, _ in tree_flatten(encoder.trainable_parameters()) if "lora" not in k}
    assert leaves == {
        "final_norm.weight",
        "layers.0.feed_forward.up.weight",
        "layers.0.feed_forward.down.weight",
        "embeddings.words.weight",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_modules": ["qury", "wqkv"]}, r"'qury'; did you mean 'query'.*'wqkv'; did you mean 'attn.Wqkv'.*all-linear"),
        ({"target_modules": ".*nothing.*"}, "fit no layer.*there are query, key, value"),
        ({"target_modules": "(query"}, "no regular expression"),
        ({"target_modules": ["Wqkv", "query"]}, "both whole and in part: layers.0.attention.qkv"),
        ({"layers_to_transform": [1, 7, 9]}, "has 7, 9, the model has layers 0 to 2"),
        ({"rank_pattern": {"qeury": 2}, "alpha_pattern": {"layers.9.*": 2}}, "fit no adapted layer: 'layers.9.*', 'qeury'"),
        ({"r": 33, "target_modules": ["query", "up"]}, r"larger than their layers: layers.0.query has rank 33, at most 32.*mlp.Wi has rank 33"),
        ({"modules_to_save": ["norms"]}, "'norms'.*there are"),
        ({"bias": "some"}, "unknown bias 'some'.*none, lora_only, all"),
        ({"rank_pattern": {"query": 0}, "alpha": -1}, r"rank_pattern\['query'\] is 0.*alpha is -1"),
        ({"layers_to_transform": []}, "layers_to_transform is empty"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_answered_with_what_exists(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        adapted("modernbert", **options)


def test_a_part_of_a_fused_layer_cannot_be_saved_in_full() -> None:
    encoder = make_encoder("bert")
    with pytest.raises(ValueError, match=r"only a part of layers.0.attention.qkv"):
        LoRAAdapter(encoder, LoRAConfig(target_modules=["up"], modules_to_save=["query"]))
