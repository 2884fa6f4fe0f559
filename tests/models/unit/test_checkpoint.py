"""A saved folder gives the same model back, and a broken one says what is wrong."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from bert_playground.models.bert_with_head import ENCODERS, BertWithHead
from bert_playground.models.checkpoint import load_model, save_model
from bert_playground.models.factory import create_model
from bert_playground.models.heads import HEADS
from bert_playground.models.lora import LoRALinear
from bert_playground.models.tokenwise import named_parameters
from tests.models.tiny import largest_difference, make_rows
from tests.tolerances import LAYOUT

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 32,
}


def make_model(encoder: str = "modernbert", head: str = "binary", **options: Any) -> BertWithHead:
    labels = 3 if head in ("multiclass", "multilabel", "ordinal") else None
    return create_model(encoder, head, labels, **SIZES, **options).eval()


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("pooling", [None, "max", "attention"])
def test_a_model_comes_back_bit_for_bit(
    encoder: str, head: str, pooling: str | None, tmp_path: Path
) -> None:
    model = make_model(encoder, head, pooling=pooling, label_smoothing=0.1)
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.head.config == model.head.config
    saved, loaded = named_parameters(model), named_parameters(again)
    assert saved.keys() == loaded.keys()
    assert [name for name in saved if not mx.array_equal(saved[name], loaded[name])] == []
    tokens = make_rows([20, 7])
    assert mx.array_equal(model(tokens), again(tokens))
    assert not again.training


def test_the_folder_describes_itself(tmp_path: Path) -> None:
    save_model(make_model(head="multiclass"), tmp_path / "model", ["low", "mid", 3])
    values = json.loads((tmp_path / "model" / "config.json").read_text())
    assert values["model_type"] == "modernbert"
    assert values["architectures"] == ["ModernBertForSequenceClassification"]
    assert values["id2label"] == {"0": "low", "1": "mid", "2": "3"}
    assert values["problem_type"] == "single_label_classification"
    assert values["head"]["head_type"] == "multiclass"
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_saving_into_a_folder_keeps_its_other_files(tmp_path: Path) -> None:
    (tmp_path / "pipeline.json").write_text("{}")
    save_model(make_model(), tmp_path)
    save_model(make_model(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"pipeline.json", "config.json", "model.safetensors"}


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 label names for a head of 3 labels"):
        save_model(make_model(head="multiclass"), tmp_path / "model", ["a", "b"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoder", ENCODERS)
def test_adapters_are_saved_merged_and_the_model_keeps_training(
    encoder: str, tmp_path: Path
) -> None:
    model, tokens = make_model(encoder, use_lora=True), make_rows([20, 7])
    for index, module in enumerate(model.modules()):
        if isinstance(module, LoRALinear):
            module.lora_b = mx.random.normal(module.lora_b.shape, key=mx.random.key(index)) / 10
    before = model(tokens)
    save_model(model, tmp_path / "model")
    assert mx.array_equal(model(tokens), before)
    again = load_model(tmp_path / "model")
    assert not any(isinstance(module, LoRALinear) for module in again.modules())
    assert largest_difference(again(tokens), before) < LAYOUT


def saved(tmp_path: Path) -> Path:
    save_model(make_model("bert"), tmp_path / "model")
    return tmp_path / "model"


def edit_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"model.safetensors cannot be read.*again"):
        load_model(path.parent)


def test_a_folder_without_weights_says_what_it_found(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"expected model.safetensors, found.*pickled"):
        load_model(folder)
    with pytest.raises(FileNotFoundError, match="no checkpoint folder at"):
        load_model(tmp_path / "nothing" / "there")


def test_an_encoder_alone_is_not_a_model(references: Path) -> None:
    with pytest.raises(ValueError, match=r"without a trained head.*bert train --model"):
        load_model(references / "modernbert")


def test_lost_weights_are_listed(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    path = folder / "model.safetensors"
    weights = dict(mx.load(str(path)))
    lost = [name for name in weights if "layer.1.intermediate" in name]
    mx.eval(weights)
    kept = {name: weight for name, weight in weights.items() if name not in lost}
    mx.save_safetensors(str(path), kept)
    with pytest.raises(ValueError, match=r"lacks 2 weights of a bert encoder: layers.1.feed"):
        load_model(folder)
    without_head = {name: weight for name, weight in weights.items() if "pooler" not in name}
    mx.save_safetensors(str(path), without_head)
    with pytest.raises(ValueError, match=r"lacks weights of its head: dense.weight, dense.bias"):
        load_model(folder)


def test_a_config_that_does_not_fit_the_weights_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    edit_config(folder, intermediate_size=44)
    with pytest.raises(
        ValueError, match=r"feed_forward.down.weight has shape \[32, 40\].*\[32, 44\]"
    ):
        load_model(folder)
    edit_config(folder, model_type="modernbrt")
    with pytest.raises(
        ValueError, match=r"is of model_type 'modernbrt'; supported are .*did you mean"
    ):
        load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is not valid JSON"):
        load_model(folder)
