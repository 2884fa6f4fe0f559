"""Folders of sentence-transformers: where the encoder lies, how it pools, how long its texts were."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bert_playground.logger import logger
from bert_playground.models.factory import load_from_huggingface
from bert_playground.models.huggingface import load_encoder, read_pretrained
from bert_playground.models.sentence_folder import SentenceFolder, read_pooling
from bert_playground.models.sizes import check_fit


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    messages: list[str] = []
    handler = logger.add(messages.append, level="WARNING", format="{message}")
    yield messages
    logger.remove(handler)


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def make_folder(references: Path, target: Path, *modules: tuple[str, str]) -> Path:
    """A folder of modules (type, path) around the tiny BERT."""
    paths = dict(modules)
    shutil.copytree(references / "bert", target / paths["Transformer"])
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(modules)
    ]
    write_json(target / "modules.json", listed)
    write_json(
        target / paths["Transformer"] / "sentence_bert_config.json",
        {"max_seq_length": 40, "do_lower_case": False},
    )
    return target


@pytest.mark.parametrize("subfolder", ["", "0_Transformer"])
@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_all_parts_are_found(
    subfolder: str, pooling: str, references: Path, tmp_path: Path
) -> None:
    folder = make_folder(
        references, tmp_path / "model", ("Transformer", subfolder), ("Pooling", "1_Pooling")
    )
    key = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}[pooling]
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": 32} | {f"pooling_mode_{mode}": mode == key for mode in modes},
    )
    pretrained = read_pretrained(folder)
    assert (pretrained.pooling, pretrained.trained_length) == (pooling, 40)
    assert pretrained.folder == folder / subfolder
    head = load_from_huggingface(str(folder), task="classification").head.config
    assert (head.pooling, head.transform) == (pooling, "none")


@pytest.mark.parametrize("spelt", ["mean", ["mean"]])
def test_the_pooling_may_be_spelt_as_a_word(spelt: Any, tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"pooling_mode": spelt})
    assert read_pooling(tmp_path / "config.json") == "mean"


@pytest.mark.parametrize(
    "values",
    [
        {"pooling_mode_lasttoken": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        {"pooling_mode": "weightedmean"},
    ],
)
def test_a_pooling_that_no_head_has_is_said(
    values: dict[str, Any], tmp_path: Path, warnings: list[str]
) -> None:
    write_json(tmp_path / "config.json", values)
    assert read_pooling(tmp_path / "config.json") is None
    assert len(warnings) == 1
    assert "not one of cls, mean, max; the encoder's usual one is used" in warnings[0]


def test_a_module_that_is_not_applied_is_said(
    references: Path, tmp_path: Path, warnings: list[str]
) -> None:
    modules = ("Transformer", ""), ("Dense", "2_Dense"), ("Normalize", "3_Normalize")
    read_pretrained(make_folder(references, tmp_path / "model", *modules))
    assert len(warnings) == 1
    assert "modules Dense are not applied" in warnings[0]


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([{"type": "a.b.WordEmbeddings", "path": ""}], "no Transformer module but WordEmbeddings"),
        ([{"path": ""}], "no list of modules with type and path"),
        ({"type": "x"}, "holds a dict, expected a JSON list"),
    ],
)
def test_a_list_of_modules_that_cannot_be_used_is_refused(
    modules: Any, message: str, tmp_path: Path
) -> None:
    write_json(tmp_path / "modules.json", modules)
    with pytest.raises(ValueError, match=message):
        SentenceFolder.read(tmp_path)


def test_another_folder_is_only_its_encoder(references: Path) -> None:
    assert SentenceFolder.read(references / "bert") == SentenceFolder(references / "bert")


def test_rows_longer_than_the_texts_of_its_training_are_said(
    references: Path, tmp_path: Path
) -> None:
    pretrained = read_pretrained(make_folder(references, tmp_path / "model", ("Transformer", "")))
    encoder = load_encoder(pretrained)
    messages: list[str] = []
    handler = logger.add(messages.append, level="INFO", format="{message}")
    try:
        check_fit(encoder, pretrained, 40)
        assert messages == []
        check_fit(encoder, pretrained, 41)
    finally:
        logger.remove(handler)
    assert len(messages) == 1
    assert "was trained on texts of up to 40 tokens" in messages[0]
