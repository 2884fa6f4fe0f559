"""Printing: numbers people can read, JSON that programs can."""

import json
from pathlib import Path

import numpy as np
import pytest

from bert_playground.cli.utils.console import print_json, print_lines, print_table, program, spell


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.83522, "0.8352"), (91170.4, "91,170.4"), (-0.36951, "-0.3695"), (3, "3"), (None, ""), ("a", "a"), (1e15, "1e+15")],
)  # fmt: skip
def test_cells_are_spelled_for_people(value, text):
    assert spell(value) == text


def test_json_takes_paths_and_numpy_numbers(capsys):
    print_json({"path": Path("a/b"), "score": np.float32(0.5), "count": np.int64(3)})
    assert json.loads(capsys.readouterr().out) == {"path": "a/b", "score": 0.5, "count": 3}


def test_table_shows_every_cell_and_no_markup(capsys):
    print_table("scores", ("metric", "value"), [("[red]", 0.5), ("b", None)])
    printed = capsys.readouterr().out
    assert "[red]" in printed
    assert "0.5" in printed


def test_lines_are_not_wrapped(capsys):
    line = "bert predict --checkpoint " + "a/" * 200
    print_lines([line])
    assert capsys.readouterr().out == f"{line}\n"


def test_next_commands_start_as_this_program_was_started(monkeypatch):
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    assert program() == "bert"
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert program() == "uv run bert"
