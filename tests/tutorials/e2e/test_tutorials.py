"""Every command and every cell of the tutorials is run; the Titanic has a test of its own beside the fake Kaggle."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bert_playground import quickstart
from bert_playground.quickstart.run import Effort
from tests.kaggle.fake_server import KEY, USER, FakeKaggle
from tests.kaggle.fake_server import serve as serve_kaggle
from tests.serving.saved import make_titanic, serve
from tests.tutorials.typed import ask, blocks_of, lines_of, type_line, use_small_models

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("_few_rounds")]

CHECKPOINT = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tiny models, in a working folder of the test's own."""
    use_small_models(monkeypatch)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.chdir(tmp_path)


def test_quickstart(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Effort(2, 2, 120, settings={"model.hidden_size": 16, "training.epochs": 1})
    monkeypatch.setattr(quickstart.run, "choose_effort", lambda: tiny)
    said = {line: type_line(line) for line in lines_of("quickstart.md")}
    assert len(said) == 8
    assert "stack of all" in said["uv run bert quickstart"]
    answers = pl.read_csv("submission.csv")
    assert answers.columns == ["film", "hit"]
    assert answers.height == pl.read_csv("output/quickstart/test.csv").height


def test_disaster_tweets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path / "base")
    monkeypatch.setenv("KAGGLE_USERNAME", USER)
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    monkeypatch.setenv("HOME", str(tmp_path))
    with serve_kaggle(FakeKaggle(make_tweets(), slug="nlp-getting-started")) as kaggle:
        monkeypatch.setenv("KAGGLE_API_ENDPOINT", kaggle.url)
        typed = partial(type_line, instead={CHECKPOINT: str(base)})
        said = {line: typed(line) for line in lines_of("disaster_tweets.md")}
    assert list(tmp_path.glob("output/lora/run_*/checkpoints/best/adapter_model.safetensors"))
    (compared,) = (text for line, text in said.items() if "compare" in line)
    assert "paired" in compared
    answers = pl.read_csv("submission.csv")
    assert answers.columns == ["id", "target"]
    assert answers["id"].to_list() == list(range(60, 90))
    assert set(answers["target"]) <= {0, 1}
    assert (tmp_path / "merged/model.safetensors").is_file()


def test_notebook() -> None:
    cells = blocks_of("notebook.md", "python")
    assert len(cells) == 7
    names: dict[str, Any] = {}
    for cell in cells:
        exec(compile(cell, "notebook.md", "exec"), names)
    assert len(names["answers"]) == len(names["let"]) == 300
    assert set(names["answers"]) <= {"soon", "late"}
    assert names["pipeline"].score(names["flats"][200:], names["let"][200:]) > 0.6
    (line,) = lines_of("notebook.md")
    assert "modernbert" in type_line(line)


def test_serve_and_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    monkeypatch.setenv("BERT_MODEL__HIDDEN_SIZE", "64")  # as wide as the default of a small table
    (tmp_path / "data/titanic").mkdir(parents=True)
    passengers = make_titanic(60)
    passengers.write_csv("data/titanic/train.csv")
    passengers.drop("Survived").write_csv("data/titanic/test.csv")
    train, start, *lines = lines_of("serve_and_export.md")
    assert start == "uv run bert serve"
    type_line(train)
    with serve(None) as server:
        asked = [ask(line, server.address) for line in lines if line.startswith("curl")]
    (answer,) = json.loads(asked[0])["answers"]
    assert {"probabilities", "columns"} <= set(answer)
    assert asked[1].startswith("PassengerId,Survived\n")
    assert asked[1].count("\n") == 61
    assert "Pclass" in asked[2]
    for line in lines:
        if not line.startswith("curl"):
            type_line(line)
    (alone,) = (each for each in blocks_of("serve_and_export.md", "text"))
    done = subprocess.run([sys.executable, *alone.split()[1:]], check=False)
    assert done.returncode == 0
    assert pl.read_csv("submission.csv").height == 60


def make_tweets() -> dict[str, bytes]:
    """The competition's files, with made-up tweets."""
    random = np.random.default_rng(0)
    words = ["fire", "flood", "sunny", "lunch", "smoke", "music", "storm", "cake"]
    rows = []
    for number in range(90):
        chosen = random.choice(words, 5)
        told = int(len({"fire", "flood", "smoke", "storm"} & set(chosen)) > 1)
        text = f"{' '.join(chosen)} {number}"
        rows.append(f"{number},{chosen[0]},town {number % 7},{text},{told}")
    head = "id,keyword,location,text"
    tests = [row.rpartition(",")[0] for row in rows[60:]]
    sample = [f"{row.split(',')[0]},0" for row in tests]
    files = {
        "train.csv": [f"{head},target", *rows[:60]],
        "test.csv": [head, *tests],
        "sample_submission.csv": ["id,target", *sample],
    }
    return {name: ("\n".join(lines) + "\n").encode() for name, lines in files.items()}


def make_checkpoint(folder: Path) -> Path:
    """A tiny encoder with its tokenizer, as `bert train` writes it, to start from."""
    folder.mkdir()
    table = folder / "train.csv"
    table.write_bytes(make_tweets()["train.csv"])
    type_line(f"bert train --train {table} --output-dir {folder} --set data.numeric_features=off")
    (run,) = folder.glob("run_*")
    return run / "checkpoints" / "best"
