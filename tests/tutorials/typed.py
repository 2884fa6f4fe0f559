"""A tutorial as somebody types it: its commands from top to bottom, with small models."""

import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app

ROOT = Path(__file__).parents[2]
SMALL = {
    "BERT_MODEL__HIDDEN_SIZE": "32",
    "BERT_MODEL__NUM_LAYERS": "1",
    "BERT_MODEL__NUM_HEADS": "2",
    "BERT_TRAINING__MAX_STEPS": "2",
    "BERT_TRAINING__USE_COMPILATION": "false",
    "BERT_CROSS_VALIDATION__MEMBERS": "encoder,constant",
    "COLUMNS": "200",
}
INSTALLING = ("pip ", "uv sync")


def use_small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every command train a tiny model for two steps."""
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)


def blocks_of(page: str, language: str) -> list[str]:
    """The fenced blocks of a tutorial in a language."""
    text = (ROOT / "docs/tutorials" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def lines_of(page: str) -> list[str]:
    """Its command lines, without those that install."""
    lines = "".join(blocks_of(page, "bash")).splitlines()
    return [line for line in lines if line and not line.startswith(INSTALLING)]


def type_line(line: str, instead: Mapping[str, str] | None = None) -> str:
    """Run one `bert` line, with some words in the place of others; gives what it said."""
    words = shlex.split(line.removeprefix("uv run "))
    assert words[0] == "bert", line
    typed = [(instead or {}).get(word, word) for word in words[1:]]
    result = CliRunner().invoke(app, typed)
    assert result.exit_code == 0, (line, result.output, result.exception)
    return result.output


def ask(line: str, address: str) -> str:
    """Run one `curl` line against a server that listens at this address; gives the answer."""
    local = line.replace("localhost:3000", address).replace("curl -s", "curl -sSf")
    done = subprocess.run(["sh", "-c", local], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), line
    return done.stdout
