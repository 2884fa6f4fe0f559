"""docs/tutorials/titanic.md is typed from top to bottom, with small models, against the server of the tests."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from bert_playground.cli.app import app
from tests.kaggle.fake_server import FakeKaggle

SMALL = {
    "BERT_MODEL__HIDDEN_SIZE": "32",
    "BERT_MODEL__NUM_LAYERS": "1",
    "BERT_MODEL__NUM_HEADS": "2",
    "BERT_TRAINING__MAX_STEPS": "2",
    "BERT_TRAINING__USE_COMPILATION": "false",
    "BERT_CROSS_VALIDATION__MEMBERS": "encoder,constant",
    "COLUMNS": "200",
}


def blocks_of(text: str, language: str) -> list[str]:
    """The fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_tutorial_can_be_typed(
    signed_in: FakeKaggle, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    tutorial = (root / "docs/tutorials/titanic.md").read_text(encoding="utf-8")
    signed_in.scores = [0.77]
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    said = {}
    for line in "".join(blocks_of(tutorial, "bash")).splitlines():
        program, *words = shlex.split(line)
        if program == "cd":
            monkeypatch.chdir(words[0])
        elif program == "bert":
            runs = sorted(Path("output").glob("run_*"))
            typed = [str(runs[-1]) if word.startswith("output/run_") else word for word in words]
            result = CliRunner().invoke(app, typed)
            assert result.exit_code == 0, (line, result.output, result.exception)
            said[line] = result.output
    (config,) = blocks_of(tutorial, "yaml")
    assert yaml.safe_load(Path("bert.yaml").read_text()) == yaml.safe_load(config)
    assert signed_in.submissions
    assert "0.77" in said["bert kaggle ledger --update"]
    assert "than the best sent" in said["bert kaggle run --members encoder,linear --auto-submit"]
