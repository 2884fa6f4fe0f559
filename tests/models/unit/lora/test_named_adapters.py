"""Several adapters on one base: switched with their heads, merged with weights, never stale."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

from bert_playground import kernels
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.factory import create_model
from bert_playground.models.heads import MulticlassClassificationHead
from bert_playground.models.lora import LoRAAdapter, LoRAConfig, create_lora_config
from bert_playground.models.tokenwise import named_parameters, prepack_weights
from tests.models.tiny import largest_difference, make_encoder, make_rows
from tests.tolerances import ADAPTER, LAYOUT

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "initializer_range": 0.2,
}
TOKENS = make_rows([9, 4])


def train(model: BertWithHead, seed: int) -> None:
    """Move what is trainable."""
    mx.random.seed(seed)
    moved = tree_map(lambda p: p + mx.random.normal(p.shape) / 5, model.trainable_parameters())
    model.update(moved)


def make_model() -> tuple[BertWithHead, LoRAAdapter]:
    model = create_model("bert", num_labels=2, **SIZES).eval()
    adapter = LoRAAdapter(model, create_lora_config("balanced"), name="a")
    train(model, 1)
    adapter.add_adapter(
        "b", LoRAConfig(r=3, target_modules=["up", "query"], bias="all", use_dora=True)
    )
    return model, adapter


def test_each_adapter_answers_as_it_did_and_the_base_comes_back_bit_for_bit() -> None:
    model, adapter = make_model()
    first = model(TOKENS)
    base = named_parameters(create_model("bert", num_labels=2, **SIZES))
    adapter.set_adapter("b")
    start = model(TOKENS)
    train(model, 2)
    second = model(TOKENS)
    assert largest_difference(start, second) > 0.01
    for name, expected in (("a", first), ("b", second), ("a", first)):
        adapter.set_adapter(name)
        assert mx.array_equal(model(TOKENS), expected)
    assert set(base) == set(named_parameters(adapter.merge()))


def test_a_new_adapter_starts_as_the_base_with_the_head_before_training() -> None:
    model = create_model("bert", num_labels=2, **SIZES).eval()
    untouched = model(TOKENS)
    adapter = LoRAAdapter(model, create_lora_config("dora"), name="a")
    train(model, 1)
    adapter.add_adapter("b", create_lora_config("efficient"))
    adapter.set_adapter("b")
    assert mx.array_equal(model(TOKENS), untouched)


def test_only_what_the_worn_adapter_trains_is_trainable() -> None:
    model, adapter = make_model()
    adapter.set_adapter("b")
    leaves = {k for k, _ in tree_flatten(model.trainable_parameters())}
    assert "encoder.layers.0.feed_forward.up.magnitude" in leaves
    assert "encoder.layers.1.attention_norm.bias" in leaves
    assert not any("base" in leaf or leaf.endswith("_norm.weight") for leaf in leaves)
    adapter.set_adapter("a")
    assert all(
        "lora_" in k or k.startswith("head.") for k, _ in tree_flatten(model.trainable_parameters())
    )


def test_adapters_may_have_heads_of_different_kinds() -> None:
    model = create_model("bert", num_labels=2, **SIZES).eval()
    adapter = LoRAAdapter(model, create_lora_config("efficient"), name="two")
    head = MulticlassClassificationHead(hidden_size=32, num_labels=3)
    adapter.add_adapter("three", create_lora_config("efficient"), head)
    assert model(TOKENS).shape == (2,)
    adapter.set_adapter("three")
    assert model(TOKENS).shape == (2, 3)
    with pytest.raises(ValueError, match=r"heads of two, three have no mean.*head='two'"):
        adapter.merge_adapters({"two": 0.5, "three": 0.5})
    assert adapter.merge_adapters({"two": 0.5, "three": 0.5}, head="three")(TOKENS).shape == (2, 3)


def test_layers_that_come_back_are_in_the_models_mode() -> None:
    model, adapter = make_model()
    adapter.set_adapter("b")
    model.train()
    adapter.set_adapter("a")
    assert all(module.training for module in model.modules())
    model.eval()
    adapter.set_adapter("b")
    assert not any(module.training for module in model.modules())
    adapter.merge()
    model.train()
    adapter.unmerge()
    assert all(module.training for module in model.modules())


def test_weights_merge_several_adapters_exactly() -> None:
    model, adapter = make_model()
    adapter.set_adapter("b")
    train(model, 2)
    weights = {}
    for name in ("a", "b"):
        adapter.set_adapter(name)
        weights[name] = {k: np.array(v) for k, v in named_parameters(adapter.merge()).items()}
        adapter.unmerge()
    base = {k: np.array(v) for k, v in adapter.base_extras().items()}
    for path in weights["a"]:
        layer = dict(model.named_modules()).get(path.rpartition(".")[0])
        if path.endswith("qkv.weight"):
            base[path] = np.array(layer.base.weight)
    answer = model(TOKENS)
    merged = adapter.merge_adapters({"a": 0.7, "b": 0.3})
    parameters = named_parameters(merged)
    name = "encoder.layers.1.attention.qkv.weight"
    mixed = (
        base[name]
        + 0.7 * (weights["a"][name] - base[name])
        + 0.3 * (weights["b"][name] - base[name])
    )
    assert np.allclose(parameters[name], mixed, atol=1e-6)
    name = "head.classifier.weight"
    assert np.allclose(
        parameters[name], 0.7 * weights["a"][name] + 0.3 * weights["b"][name], atol=1e-6
    )
    name = "encoder.layers.0.attention_norm.bias"
    assert np.allclose(
        parameters[name], base[name] + 0.3 * (weights["b"][name] - base[name]), atol=1e-6
    )
    adapter.unmerge()
    assert mx.array_equal(model(TOKENS), answer)
    alone = adapter.merge_adapters({"a": 1.0})(TOKENS)
    adapter.unmerge()
    adapter.set_adapter("a")
    assert largest_difference(alone, model(TOKENS)) < LAYOUT


@pytest.mark.native
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.int8])
def test_packed_weights_follow_the_adapter(dtype: mx.Dtype) -> None:
    if not kernels.can_pack():
        pytest.skip("weights are packed for the native kernels alone")
    model, adapter = make_model()
    adapter.set_adapter("b")
    train(model, 2)
    adapter.set_adapter("a")
    model.encoder.dtype = mx.float32 if dtype == mx.int8 else dtype

    def fresh_and_kept() -> tuple[mx.array, mx.array]:
        kept = model(TOKENS)
        mx.eval(kept)
        prepack_weights(model.encoder, dtype)  # forgets what was packed
        return model(TOKENS), kept

    prepack_weights(model.encoder, dtype)
    mx.eval(model(TOKENS))
    answers = []
    for change in (
        lambda: adapter.set_adapter("b"),
        lambda: adapter.set_adapter("a"),
        adapter.merge,
        adapter.unmerge,
        lambda: adapter.merge_adapters({"a": 0.5, "b": 0.5}),
        adapter.unmerge,
    ):
        change()
        fresh, kept = fresh_and_kept()
        assert mx.array_equal(fresh, kept)
        answers.append(fresh)
    assert largest_difference(answers[0], answers[1]) > 0.01
    if dtype == mx.float32:
        assert largest_difference(answers[2], answers[1]) < ADAPTER
    assert mx.array_equal(answers[3], answers[1])


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (lambda a: a.set_adapter("c"), "unknown adapter 'c'"),
        (lambda a: a.add_adapter("b", LoRAConfig()), "an adapter 'b' already"),
        (lambda a: a.add_adapter("c", LoRAConfig(bits=4)), "is not quantized"),
        (lambda a: a.add_adapter("c", LoRAConfig(target_modules=["quer"])), "did you mean 'query'"),
        (lambda a: a.merge_adapters({"a": 1, "c": 1, "d": 1}), "no adapters 'c', 'd'"),
        (lambda a: a.merge_adapters({}), "no adapters given"),
        (lambda a: (a.merge(), a.set_adapter("b")), "unmerge\\(\\) before you change"),
        (lambda a: (a.merge(), a.merge()), "unmerge\\(\\) before you merge"),
        (lambda a: a.merge_adapters({"a": 1, "b": -1}), "weights sum to 0"),
    ],
)
def test_impossible_deeds_are_refused_and_leave_the_adapter_worn(
    deed: object, message: str
) -> None:
    model, adapter = make_model()
    before = model(TOKENS)
    with pytest.raises(ValueError, match=message):
        deed(adapter)
    assert largest_difference(model(TOKENS), before) < LAYOUT


def test_an_encoder_alone_takes_several_adapters_too() -> None:
    encoder = make_encoder("modernbert")
    adapter = LoRAAdapter(encoder, LoRAConfig(), name="a")
    adapter.add_adapter("b", LoRAConfig(target_modules=["down"], modules_to_save=["final_norm"]))
    adapter.set_adapter("b")
    encoder.final_norm.weight = encoder.final_norm.weight * 2
    second = adapter(TOKENS.input_ids)
    adapter.set_adapter("a")
    assert largest_difference(adapter(TOKENS.input_ids) * 2, second) < LAYOUT
