"""docs/tutorials/titanic.md is typed from top to bottom, with small models, against the server of the tests."""

import shlex
from pathlib import Path

import pytest
import yaml

from tests.kaggle.fake_server import FakeKaggle
from tests.tutorials.typed import blocks_of, lines_of, type_line, use_small_models


@pytest.mark.slow
def test_the_tutorial_can_be_typed(signed_in: FakeKaggle, monkeypatch: pytest.MonkeyPatch) -> None:
    signed_in.scores = [0.77]
    use_small_models(monkeypatch)
    said = {}
    for line in lines_of("titanic.md"):
        program, *words = shlex.split(line)
        if program == "cd":
            monkeypatch.chdir(words[0])
            continue
        runs = sorted(Path("output").glob("run_*"))
        instead = {word: str(runs[-1]) for word in words if word.startswith("output/run_")}
        said[line] = type_line(line, instead)
    assert len(said) == 9
    (config,) = blocks_of("titanic.md", "yaml")
    assert yaml.safe_load(Path("bert.yaml").read_text()) == yaml.safe_load(config)
    assert signed_in.submissions
    assert "0.77" in said["bert kaggle ledger --update"]
    assert "than the best sent" in said["bert kaggle run --members encoder,linear --auto-submit"]
