"""transformers reads exported folders and gives our numbers, and the code of the model cards runs.

Needs an interpreter with torch and transformers, named in BERT_ORACLE: BERT_ORACLE=... pytest -m oracle
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.data.reading.table import read_table
from bert_playground.export import export_model
from bert_playground.inference import Predictor
from bert_playground.models.checkpoint import load_model
from bert_playground.models.quantization_utils import quantize_model
from bert_playground.tokens import Tokens
from tests.export.small import TEXTS, make_model, make_tokenizer, save_checkpoint

pytestmark = pytest.mark.oracle
ABSOLUTE = 1e-5

READ = r"""
import json, re, sys
from pathlib import Path
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

answers = {}
for folder in map(Path, sys.argv[2:]):
    texts = json.loads((folder.parent / "texts.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    said = {"ids": tokenizer(texts, truncation=True)["input_ids"]}
    config = json.loads((folder / "config.json").read_text())
    name = config["architectures"][0]
    said["class"] = name
    auto = AutoModelForSequenceClassification if "Classification" in name else AutoModel
    with torch.no_grad():
        model, report = auto.from_pretrained(folder, output_loading_info=True)
        said["dtype"] = str(model.dtype)
        said["problem_type"] = model.config.problem_type
        said["labels"] = [model.config.id2label[i] for i in range(model.config.num_labels)]
        said["missing"] = sorted(n for n in report["missing_keys"] if "pooler" not in n)
        said["unexpected"] = sorted(report["unexpected_keys"])
        outputs = model.eval()(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt"))
        if "logits" in outputs:
            said["logits"] = outputs.logits.float().tolist()
        code = re.search(r"## Use\n\n```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]
        names = {"texts": texts}
        exec(code.replace("path/to/this/folder", str(folder)), names)
        for key in ("probabilities", "values"):
            if key in names:
                said["card"] = names[key].float().tolist()
    answers[str(folder)] = said
Path(sys.argv[1]).write_text(json.dumps(answers))
"""

STANDARD = [
    (encoder, head, {})
    for encoder in ("bert", "modernbert")
    for head in ("binary", "multiclass", "multilabel", "regression", "timeseries")
]
SPECIAL: list[tuple[str, str, dict[str, Any]]] = [
    ("modernbert", "multiclass", {"pooling": "mean"}),
    ("modernbert", "binary", {"pooling": "cls"}),
    ("bert", "binary", {"temperature_scaling": 1.7}),
    ("bert", "multiclass", {"hidden_act": "relu"}),
]
# The card completes these with the head that transformers does not have.
COMPLETED: list[tuple[str, str, dict[str, Any]]] = [
    ("bert", "binary", {"pooling": "mean"}),
    ("bert", "multiclass", {"pooling": "cls", "transform": "none"}),
    ("bert", "multilabel", {"pooling": "max"}),
    ("modernbert", "regression", {"pooling": "max"}),
    ("modernbert", "binary", {"pooling": "attention"}),
    ("bert", "timeseries", {"pooling": "mean"}),
]
CASES = [*STANDARD, *SPECIAL, *COMPLETED]


class Ours(NamedTuple):
    folder: Path
    logits: np.ndarray
    answers: np.ndarray


def our_answers(checkpoint: Path, exported: Path) -> Ours:
    """Of the checkpoint, to the texts that transformers sees too."""
    model, tokenizer = load_model(checkpoint), make_tokenizer()
    rows = [[*tokenizer.prefix, *row, *tokenizer.suffix] for row in ids_of_texts()]
    width = max(map(len, rows))
    ids = np.full((len(rows), width), tokenizer.pad_token_id)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    mask = np.arange(width)[None] < np.array([len(row) for row in rows])[:, None]
    logits = model(Tokens(mx.array(ids), mx.array(mask)))
    return Ours(exported, np.array(logits), np.array(model.head.predict(logits)))


def ids_of_texts() -> list[list[int]]:
    table = make_tokenizer().encode_texts(TEXTS)
    return [
        table.ids[start:end].tolist()
        for start, end in zip(table.offsets[:-1], table.offsets[1:], strict=True)
    ]


def ask_transformers(folders: list[Path], where: Path) -> dict[str, Any]:
    oracle = os.environ.get("BERT_ORACLE")
    if not oracle:
        pytest.skip("name an interpreter with torch and transformers in BERT_ORACLE")
    target = where / "answers.json"
    subprocess.run([oracle, "-c", READ, str(target), *map(str, folders)], check=True)
    return dict(json.loads(target.read_text()))


Ask = Callable[[tuple[str, str, dict[str, Any]]], tuple[Ours, dict[str, Any]]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """A function from a case to our answers and those of transformers, which is started once."""
    home, ours = tmp_path_factory.mktemp("exports"), []
    (home / "texts.json").write_text(json.dumps(TEXTS))
    for number, (encoder, head, options) in enumerate(CASES):
        model = make_model(encoder, head, **options)
        checkpoint = save_checkpoint(model, home / "checkpoints" / str(number))
        ours.append(our_answers(checkpoint, export_model(checkpoint, home / str(number)).folder))
    theirs = ask_transformers([one.folder for one in ours], home)

    def answer(case: tuple[str, str, dict[str, Any]]) -> tuple[Ours, dict[str, Any]]:
        one = ours[CASES.index(case)]
        return one, theirs[str(one.folder)]

    return answer


def spelled(case: tuple[str, str, dict[str, Any]]) -> str:
    return " ".join([case[0], case[1], *(f"{key}={value}" for key, value in case[2].items())])


@pytest.mark.parametrize("case", [*STANDARD, *SPECIAL], ids=spelled)
def test_logits_are_ours(case: tuple[str, str, dict[str, Any]], ask: Ask) -> None:
    ours, theirs = ask(case)
    assert "ForSequenceClassification" in theirs["class"]
    assert theirs["missing"] == theirs["unexpected"] == []
    logits = np.array(theirs["logits"])
    if case[1] == "binary":
        logits = (logits[:, 1] - logits[:, 0]) * case[2].get("temperature_scaling", 1.0)
    assert np.allclose(logits.reshape(ours.logits.shape), ours.logits, atol=ABSOLUTE)
    problem = {"multilabel": "multi_label", "regression": "", "timeseries": ""}
    assert theirs["problem_type"].startswith(problem.get(case[1], "single_label"))


@pytest.mark.parametrize("case", CASES, ids=spelled)
def test_the_code_of_the_card_gives_our_answers(
    case: tuple[str, str, dict[str, Any]], ask: Ask
) -> None:
    ours, theirs = ask(case)
    card = np.array(theirs["card"])
    if case[1] == "binary":
        card = card[:, 1]
    assert np.allclose(card.reshape(ours.answers.shape), ours.answers, atol=ABSOLUTE)


def test_tokens_are_ours_also_where_a_cell_spells_a_special_token(ask: Ask) -> None:
    _, theirs = ask(CASES[0])
    tokenizer = make_tokenizer()
    expected = [[*tokenizer.prefix, *row, *tokenizer.suffix] for row in ids_of_texts()]
    assert theirs["ids"] == expected


@pytest.mark.parametrize(("dtype", "error"), [("f16", 5e-3), ("bf16", 5e-2)])
def test_half_precision_folders_are_read_as_such(dtype: str, error: float, tmp_path: Path) -> None:
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    checkpoint = save_checkpoint(
        make_model("modernbert", "binary"), tmp_path / "model", ["no", "yes"]
    )
    ours = our_answers(checkpoint, export_model(checkpoint, tmp_path / "out", dtype=dtype).folder)
    theirs = ask_transformers([ours.folder], tmp_path)[str(ours.folder)]
    assert theirs["dtype"] == {"f16": "torch.float16", "bf16": "torch.bfloat16"}[dtype]
    assert theirs["labels"] == ["no", "yes"]
    assert np.allclose(np.array(theirs["card"])[:, 1], ours.answers, atol=error)


def test_a_quantized_checkpoint_is_read_in_full(tmp_path: Path) -> None:
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    model = quantize_model(make_model("bert", "multiclass"), bits=4, group_size=32)
    checkpoint = save_checkpoint(model, tmp_path / "model")
    ours = our_answers(checkpoint, export_model(checkpoint, tmp_path / "out").folder)
    theirs = ask_transformers([ours.folder], tmp_path)[str(ours.folder)]
    assert np.allclose(theirs["logits"], ours.logits, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "kind"), [("Survived", "binary"), ("Port", "multiclass"), ("Fare", "regression")]
)
def test_rows_of_a_trained_run_get_the_same_answers(
    target: str, kind: str, passengers: Path, tmp_path: Path
) -> None:
    from bert_playground.config.load import load_config
    from bert_playground.training.run import run_training

    flags = {
        "data.train": passengers / "train.csv",
        "data.target": target,
        "data.task": kind,
        "training.output_dir": tmp_path / "output",
        "training.use_compilation": False,
        "training.precision": "f32",
        "data.numeric_features": "off",  # transformers has no place for them
    }
    config, _ = load_config("test", {}, flags)
    best = run_training(config).best_checkpoint
    assert best is not None
    exported = export_model(best, tmp_path / "out").folder
    predictor = Predictor.load(best, precision="f32")
    frame = read_table(passengers / "train.csv").drop(target)
    texts = predictor.pipeline.text(frame).to_list()
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    theirs = ask_transformers([exported], tmp_path)[str(exported)]
    card, ours = np.array(theirs["card"]), predictor.predict(frame)
    if kind == "regression":
        units = np.array(predictor.pipeline.decode(ours))
        assert np.allclose(card, units, rtol=1e-5)
    else:
        assert np.allclose(card[:, 1] if kind == "binary" else card, ours, atol=ABSOLUTE)
