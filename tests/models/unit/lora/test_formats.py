"""Adapter folders: PEFT's and mlx-lm's come back as they were, and what does not fit is said."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_map, tree_unflatten

from bert_playground.models.bert_with_head import ENCODERS, BertWithHead
from bert_playground.models.checkpoint import (
    hub_weights,
    load_adapter,
    load_model,
    load_with_adapter,
    save_adapter,
    save_model,
)
from bert_playground.models.factory import create_model, load_from_huggingface
from bert_playground.models.huggingface import read_pretrained
from bert_playground.models.lora import LoRAAdapter, LoRAConfig, create_lora_config
from bert_playground.models.lora.folder import base_of
from bert_playground.models.lora.peft import read_peft_config
from bert_playground.models.quantization_utils import quantize_model, quantized_layers
from tests.models.tiny import SIZES, largest_difference, make_rows
from tests.tolerances import ADAPTER, LAYOUT

TOKENS = make_rows([20, 7])
every_encoder = pytest.mark.parametrize("name", ENCODERS)
FITTING = {
    "query and value": {"target_modules": ["query", "value"]},
    "different ranks": {
        "target_modules": ["query", "key", "up"],
        "rank_pattern": {"query": 2, "layers.1.up": 5},
        "alpha_pattern": {"key": 3},
        "use_rslora": True,
    },
    "dora": {"target_modules": ["value", "down"], "use_dora": True, "bias": "lora_only"},
    "biases": {"target_modules": ["key"], "bias": "all", "modules_to_save": ["embeddings.words"]},
    "all-linear": {"target_modules": "all-linear", "layers_to_transform": [0, 2]},
}


def make_base(folder: Path, name: str = "bert", seed: int = 0, **options: Any) -> Path:
    mx.random.seed(seed)
    sizes = {
        "vocab_size": 50,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "max_position_embeddings": 32,
        "initializer_range": 0.2,
    }
    save_model(create_model(name, num_labels=2, **(sizes | SIZES[name] | options)), folder)
    return folder


def adapt(base: Path, **options: Any) -> BertWithHead:
    """A model on a named base, with an adapter whose every number has moved."""
    model = load_from_huggingface(str(base), "binary")
    adapter = LoRAAdapter(model, LoRAConfig(**{"r": 4, "dropout": 0.0, **options}))
    adapter.base = base_of(str(base), read_pretrained(base))
    model.update(
        tree_map(lambda p: p + mx.random.normal(p.shape) / 10, model.trainable_parameters())
    )
    return model.eval()


# All of them are read with every encoder where adapters are swapped.
@pytest.mark.parametrize(
    ("name", "fitting"),
    [
        *(("bert", fitting) for fitting in FITTING),
        ("modernbert", "different ranks"),
        ("modernbert", "biases"),
        ("neobert", "dora"),
        ("neobert", "all-linear"),
    ],
)
@pytest.mark.quick_for(
    "bert-different ranks", "bert-dora", "modernbert-biases", "neobert-all-linear"
)
def test_a_saved_adapter_comes_back(name: str, fitting: str, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", name)
    model = adapt(base, **FITTING[fitting])
    expected = model(TOKENS)
    assert largest_difference(load_model(base)(TOKENS), expected) > 0.01
    save_model(model, tmp_path / "adapter", labels=["no", "yes"])
    files = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors", "config.json"}
    again = load_with_adapter(tmp_path / "adapter")
    assert largest_difference(again(TOKENS), expected) < ADAPTER
    assert again.adapter.config == model.adapter.config
    assert again.adapter.base == model.adapter.base
    merged = load_model(tmp_path / "adapter")
    assert largest_difference(merged(TOKENS), expected) < ADAPTER
    assert set(hub_weights(merged)) == set(hub_weights(load_model(base)))
    # Once more, from what was read.
    save_model(again, tmp_path / "second")
    assert largest_difference(load_model(tmp_path / "second")(TOKENS), expected) < ADAPTER


@pytest.mark.parametrize("head", ["regression", "ordinal", "multilabel"])
def test_any_head_travels_with_the_adapter(head: str, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    labels = None if head == "regression" else 4
    model = load_from_huggingface(str(base), head, labels, add_lora=True, pooling="attention")
    model.update(
        tree_map(lambda p: p + mx.random.normal(p.shape) / 10, model.trainable_parameters())
    )
    model.eval()
    save_model(model, tmp_path / "adapter")
    again = load_model(tmp_path / "adapter")
    assert again.head.head_type == head
    assert largest_difference(again(TOKENS), model(TOKENS)) < ADAPTER
    # transformers has no such head: PEFT reads the encoder's part, by the names of a bare encoder.
    values = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert values["task_type"] == "FEATURE_EXTRACTION"
    tensors = mx.load(str(tmp_path / "adapter" / "adapter_model.safetensors"))
    assert "base_model.model.encoder.layer.0.attention.self.query.lora_A.weight" in tensors


def test_a_quantized_base_is_quantized_again_and_the_adapter_stays_beside_it(
    tmp_path: Path,
) -> None:
    base = make_base(tmp_path / "base", hidden_size=64, intermediate_size=128)
    model = adapt(base, bits=4, target_modules=["query", "up"])
    save_model(model, tmp_path / "adapter")
    again = load_model(tmp_path / "adapter")
    assert len(quantized_layers(again)) == len(quantized_layers(model)) == 12
    assert largest_difference(again(TOKENS), model(TOKENS)) < LAYOUT


def test_an_adapter_of_random_weights_is_saved_merged(tmp_path: Path) -> None:
    model = create_model("bert", num_labels=2, use_lora=True, vocab_size=50, hidden_size=32,
                         num_hidden_layers=2, num_attention_heads=4, intermediate_size=40).eval()  # fmt: skip
    save_model(model, tmp_path / "model")
    assert not (tmp_path / "model" / "adapter_config.json").exists()
    assert largest_difference(load_model(tmp_path / "model")(TOKENS), model(TOKENS)) < LAYOUT


@every_encoder
@pytest.mark.quick_for("bert")
def test_adapters_are_swapped_from_their_folders_with_their_heads(
    name: str, tmp_path: Path
) -> None:
    base = make_base(tmp_path / "base", name)
    expected = {}
    for number, options in enumerate(FITTING.values()):
        mx.random.seed(number)
        model = adapt(base, **options)
        expected[str(number)] = model(TOKENS)
        save_model(model, tmp_path / str(number))
    adapted = load_with_adapter(tmp_path / "0")
    for number in list(expected)[1:]:
        load_adapter(adapted.adapter, tmp_path / number, number)
    for number in list(expected)[1:]:
        adapted.adapter.set_adapter(number)
        assert largest_difference(adapted(TOKENS), expected[number]) < ADAPTER
    adapted.adapter.set_adapter("default")
    assert largest_difference(adapted(TOKENS), expected["0"]) < ADAPTER


class MlxLmLinear(nn.Module):
    """mlx-lm's LoRALinear and DoRALinear, as its sources compute them."""

    def __init__(
        self, linear: Any, a: mx.array, b: mx.array, scale: float, m: mx.array | None
    ) -> None:
        super().__init__()
        self.linear, self.a, self.b, self.scale, self.m = linear, a, b, scale, m

    def __call__(self, x: mx.array, activation: str = "none") -> mx.array:
        weight = self.linear.weight
        y = x @ weight.T + self.scale * ((x @ self.a) @ self.b)
        if self.m is not None:
            adapted = weight + (self.scale * self.b.T) @ self.a.T
            y = (self.m / mx.linalg.norm(adapted, axis=1)) * y
        y = y + self.linear.bias if "bias" in self.linear else y
        return y if activation == "none" else nn.gelu(y)


@pytest.mark.parametrize("use_dora", [False, True])
def test_mlx_lms_format_is_what_mlx_lm_computes_and_comes_back(
    use_dora: bool, tmp_path: Path
) -> None:
    base = make_base(tmp_path / "base")
    model = adapt(
        base, target_modules=["output", "up", "down"], use_dora=use_dora, layers_to_transform=[1, 2]
    )
    save_adapter(model.adapter, tmp_path / "adapter", layout="mlx-lm")
    values = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert values["fine_tune_type"] == ("dora" if use_dora else "lora")
    assert values["num_layers"] == 2
    assert values["lora_parameters"] == {
        "rank": 4,
        "scale": 4.0,
        "dropout": 0.0,
        "keys": ["attention.output.dense", "intermediate.dense", "output.dense"],
    }
    tensors = mx.load(str(tmp_path / "adapter" / "adapters.safetensors"))
    assert {name.rpartition(".")[2] for name in tensors} == {"lora_a", "lora_b"} | (
        {"m"} if use_dora else set()
    )
    plain = load_model(base)
    layers = {
        "attention.output.dense": "attention.output",
        "intermediate.dense": "feed_forward.up",
        "output.dense": "feed_forward.down",
    }
    for number in (1, 2):
        for key, path in layers.items():
            stem = f"bert.encoder.layer.{number}.{key}"
            own = f"encoder.layers.{number}.{path}"
            layer = MlxLmLinear(
                dict(plain.named_modules())[own],
                tensors[f"{stem}.lora_a"],
                tensors[f"{stem}.lora_b"],
                values["lora_parameters"]["scale"],
                tensors.get(f"{stem}.m"),
            )
            plain.update_modules(tree_unflatten([(own, layer)]))
    plain.head = model.head
    assert largest_difference(plain(TOKENS), model(TOKENS)) < ADAPTER
    assert largest_difference(load_model(tmp_path / "adapter")(TOKENS), model(TOKENS)) < ADAPTER


def test_mlx_lms_format_refuses_what_it_cannot_say(tmp_path: Path) -> None:
    model = adapt(make_base(tmp_path / "base"), rank_pattern={"query": 2}, bias="lora_only")
    with pytest.raises(
        ValueError, match=r"ranks or alphas that differ.*query.base_layer.bias, trained in full"
    ):
        save_adapter(model.adapter, tmp_path / "adapter", layout="mlx-lm")
    with pytest.raises(ValueError, match="unknown adapter layout 'pft'; did you mean 'peft'"):
        save_adapter(model.adapter, tmp_path / "adapter", layout="pft")


def edit_tensors(folder: Path, change: Any) -> None:
    path = str(folder / "adapter_model.safetensors")
    tensors, metadata = mx.load(path, return_metadata=True)
    mx.eval(tensors)
    mx.save_safetensors(path, change(dict(tensors)), metadata)


def test_another_base_is_refused(tmp_path: Path) -> None:
    save_model(adapt(make_base(tmp_path / "base")), tmp_path / "adapter")
    other = make_base(tmp_path / "other", seed=1)
    with pytest.raises(
        ValueError,
        match=r"was trained on another base than .*other.*hash [0-9a-f]{12}…, these have",
    ):
        load_with_adapter(tmp_path / "adapter", str(other))
    adapted = load_with_adapter(tmp_path / "adapter")
    save_model(adapt(other), tmp_path / "second")
    with pytest.raises(ValueError, match="another base"):
        load_adapter(adapted.adapter, tmp_path / "second", "second")
    assert list(adapted.adapter.adapters) == ["default"]
    # The same weights in another place are the same base.
    (tmp_path / "base").rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match=r"stands on .*base, which cannot be read.*--base"):
        load_model(tmp_path / "adapter")
    assert load_with_adapter(
        tmp_path / "adapter", str(tmp_path / "moved")
    ).adapter.base.name.endswith("moved")


def test_damaged_adapters_list_all_that_is_wrong(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    folder = tmp_path / "adapter"
    stem = "base_model.model.bert.encoder.layer"

    def write() -> None:
        save_model(adapt(base), folder)

    def drop(tensors: dict[str, mx.array]) -> dict[str, mx.array]:
        del tensors[f"{stem}.0.attention.self.query.lora_A.weight"]
        wrong = f"{stem}.2.attention.self.value.lora_B.weight"
        tensors[wrong] = tensors[wrong][:, :3]
        tensors[f"{stem}.1.output.dense.lora_A.weight"] = mx.zeros((4, 96))
        return tensors

    write()
    edit_tensors(folder, drop)
    with pytest.raises(ValueError, match=r"0.attention.self.query.lora_A.weight is missing.*lora_B.weight has shape \[32, 3\], expected \[32, 4\].*1.output.dense.lora_A.weight belongs to a layer that the config does not adapt"):  # fmt: skip
        load_model(folder)
    write()
    edit_tensors(
        folder, lambda tensors: {k: v for k, v in tensors.items() if "classifier" not in k}
    )
    loaded = load_with_adapter(folder)  # the base has a classifier, so the head is complete
    assert mx.array_equal(loaded.head.classifier.weight, load_model(base).head.classifier.weight)
    write()
    (folder / "adapter_model.safetensors").write_bytes(
        (folder / "adapter_model.safetensors").read_bytes()[:-100]
    )
    with pytest.raises(ValueError, match=r"adapter_model.safetensors cannot be read.*again"):
        load_model(folder)
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(
        FileNotFoundError, match=r"lacks adapter_model.safetensors.*pickled adapters are not read"
    ):
        load_model(folder)
    with pytest.raises(ValueError, match=r"holds an adapter without the model.*bert model merge"):
        read_pretrained(folder)


def test_features_that_are_on_and_unknown_are_all_named() -> None:
    plain = {
        "peft_type": "LORA",
        "r": 4,
        "target_modules": ["query"],
        "megatron_core": "megatron.core",
        "alora_invocation_tokens": None,
        "layer_replication": [],
        "init_lora_weights": "gaussian",
        "use_qalora": False,
    }
    config = read_peft_config(plain)
    assert (config.r, config.alpha, config.dropout) == (4, 8, 0.0)
    active = {
        "use_qalora": True,
        "alora_invocation_tokens": [5],
        "init_lora_weights": "pissa",
        "lora_bias": True,
    }
    with pytest.raises(ValueError, match="use_qalora = True") as error:
        read_peft_config(plain | active)
    assert all(key in str(error.value) for key in active)
    with pytest.raises(ValueError, match="peft_type is 'IA3', expected 'LORA'"):
        read_peft_config(plain | {"peft_type": "IA3"})


def test_the_numbers_in_the_file_are_pefts(tmp_path: Path) -> None:
    model = adapt(make_base(tmp_path / "base", "modernbert"), target_modules=["query", "value"])
    save_model(model, tmp_path / "adapter")
    values = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert values["target_modules"] == ["Wqkv"]
    assert (values["r"], values["lora_alpha"]) == (
        8,
        32,
    )  # two of rank 4 side by side, the same factor
    assert values["base_model_name_or_path"] == str(tmp_path / "base")
    assert values["modules_to_save"] == ["classifier", "head.dense", "head.norm"]
    tensors = mx.load(str(tmp_path / "adapter" / "adapter_model.safetensors"))
    lora_b = np.array(tensors["base_model.model.model.layers.1.attn.Wqkv.lora_B.weight"])
    layer = model.encoder.layers[1].attention.qkv
    assert np.array_equal(lora_b[:32, :4], np.array(layer.lora_b)[:, :4])
    assert np.array_equal(lora_b[64:, 4:], np.array(layer.lora_b)[:, 4:])
    assert not lora_b[:32, 4:].any()
    assert not lora_b[32:64].any()
    assert tensors["base_model.model.classifier.weight"].shape == (2, 32)


def test_an_adapter_alone_knows_its_head(tmp_path: Path) -> None:
    model = adapt(make_base(tmp_path / "base"))
    save_adapter(model.adapter, tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "config.json").exists()
    again = load_model(tmp_path / "adapter")
    assert again.head.head_type == "binary"
    assert largest_difference(again(TOKENS), model(TOKENS)) < ADAPTER


def test_a_preset_of_ones_own_is_saved_by_its_values(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    model = load_from_huggingface(str(base), "binary", add_lora=True, lora_preset="rslora")
    assert model.adapter.base.name == str(base)
    save_model(model, tmp_path / "adapter")
    assert load_with_adapter(tmp_path / "adapter").adapter.config == create_lora_config("rslora")


def test_a_quantized_checkpoint_is_a_base_like_any_other(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", hidden_size=64, intermediate_size=128)
    save_model(quantize_model(load_model(base), bits=4), tmp_path / "small")
    model = adapt(tmp_path / "small", target_modules=["query", "up"], use_dora=True)
    save_model(model, tmp_path / "adapter")
    again = load_model(tmp_path / "adapter")
    assert len(quantized_layers(again)) == 12
    assert largest_difference(again(TOKENS), model(TOKENS)) < LAYOUT
    with pytest.raises(ValueError, match="another base"):
        load_with_adapter(tmp_path / "adapter", str(base))
