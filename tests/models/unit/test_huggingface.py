"""Folders of other people: shards, precisions, old names, prefixes, and what cannot be fetched."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from bert_playground.logger import logger
from bert_playground.models.factory import load_from_huggingface
from bert_playground.models.huggingface import fetch_folder, load_encoder, read_pretrained
from bert_playground.models.tokenwise import named_parameters


def copy(source: Path, target: Path, weights: dict[str, mx.array], **config: Any) -> Path:
    target.mkdir()
    values = json.loads((source / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(values | config))
    mx.save_safetensors(str(target / "model.safetensors"), weights)
    return target


def weights_of(folder: Path) -> dict[str, mx.array]:
    return dict(mx.load(str(folder / "model.safetensors")))


def same(a: Path, b: Path) -> bool:
    first, second = (named_parameters(load_encoder(read_pretrained(path))) for path in (a, b))
    return first.keys() == second.keys() and all(
        mx.array_equal(first[name], second[name]) for name in first
    )


def test_shards_are_put_together(references: Path, tmp_path: Path) -> None:
    source = references / "bert"
    weights = weights_of(source)
    folder = copy(source, tmp_path / "sharded", {})
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        mx.save_safetensors(str(folder / file), {name: weights[name] for name in part})
    index = {"weight_map": {name: file for file, part in halves.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert same(folder, source)
    (folder / "b.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"lacks b.safetensors; a download may have stopped"
    ):
        read_pretrained(folder)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision_files_become_f32(references: Path, tmp_path: Path, dtype: mx.Dtype) -> None:
    source = references / "modernbert"
    half = {name: weight.astype(dtype) for name, weight in weights_of(source).items()}
    encoder = load_encoder(read_pretrained(copy(source, tmp_path / "half", half)))
    words = encoder.embeddings.words.weight
    assert words.dtype == mx.float32
    assert mx.array_equal(words, half["embeddings.tok_embeddings.weight"].astype(mx.float32))


def test_old_names_prefixes_and_counters_are_understood(references: Path, tmp_path: Path) -> None:
    source = references / "bert"
    old = {
        "bert."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): weight
        for name, weight in weights_of(source).items()
    }
    old["bert.embeddings.position_ids"] = mx.arange(64)[None]
    old["cls.seq_relationship.weight"] = mx.zeros((2, 32))
    assert any("gamma" in name for name in old)
    assert same(copy(source, tmp_path / "old", old), source)


def test_strange_weights_are_reported(references: Path, tmp_path: Path) -> None:
    source = references / "bert"
    strange = weights_of(source) | {"encoder.layer.0.adapter.weight": mx.zeros(3)}
    messages: list[str] = []
    handler = logger.add(messages.append, level="WARNING", format="{message}")
    try:
        load_from_huggingface(str(copy(source, tmp_path / "strange", strange)))
    finally:
        logger.remove(handler)
    assert len(messages) == 1
    assert "nothing uses: encoder.layer.0.adapter.weight" in messages[0]


def test_weights_of_no_known_architecture_are_refused(tmp_path: Path) -> None:
    mx.save_safetensors(str(tmp_path / "model.safetensors"), {"h.0.attn.weight": mx.zeros(3)})
    with pytest.raises(
        ValueError, match=r"fit no known architecture \(bert, modernbert, neobert\)"
    ):
        read_pretrained(tmp_path)


def test_a_sentence_transformers_folder_says_how_to_pool(references: Path, tmp_path: Path) -> None:
    source = references / "bert"
    folder = copy(source, tmp_path / "sentences", weights_of(source))
    (folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    head = load_from_huggingface(str(folder), task="classification").head.config
    assert (head.pooling, head.transform) == ("mean", "none")
    asked = load_from_huggingface(str(folder), task="classification", pooling="cls").head.config
    assert (asked.pooling, asked.transform) == ("cls", "tanh")


@pytest.mark.parametrize("path", ["./nothing", "/no/such/folder", "a/b/c", "~/nothing-here"])
def test_a_path_is_never_looked_up_on_the_hub(path: str) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint folder at"):
        fetch_folder(path)


def test_a_hub_id_that_cannot_be_fetched_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"could not get the model 'nobody/nothing'.*local folder"):
        fetch_folder("nobody/nothing")


def test_a_name_without_owner_gets_the_nearest_architecture_or_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"'neobrt'; did you mean 'neobert'\?.*form owner/name"):
        fetch_folder("neobrt")
    (tmp_path / "my_titanic").mkdir()
    (tmp_path / "my_titanic" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"'my_titanik'; did you mean 'my_titanic'\?"):
        fetch_folder("my_titanik")
