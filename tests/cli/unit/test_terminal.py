"""Terminals of any encoding, width and colour show what is said; nothing fails, and nothing that moves a cursor goes to a file."""

import io
import sys

import pytest

from bert_playground import logs
from bert_playground.cli.utils import terminal
from bert_playground.cli.utils.console import print_lines, print_result, print_table

COLUMNS = ("run", "status", "accuracy")
ROWS = [("run_20261121_193005", "complete", 0.8352), ("run_20261121_194410", "stopped", None)]


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")


def written(text: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a stream of this encoding gets."""
    out = stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", stream(encoding))
    terminal.spell_for_terminal()
    out.write(text)
    out.flush()
    return out.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("a → b ± 0.5 …", "a -> b +- 0.5 ..."),
        ("Müller, Été", "Muller, Ete"),
        ("12 €", "12 EUR"),
        ("┃ a ┃", "- a -"),
        ("漢", "?"),
        ("plain", "plain"),
    ],
)
def test_what_ascii_lacks_is_spelled(
    text: str, spelled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert written(text, "ascii", monkeypatch) == spelled


def test_an_encoding_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written("Müller → ± 2", "latin-1", monkeypatch) == "Müller -> ± 2"


def test_utf_8_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written("→ ± 漢", "utf-8", monkeypatch) == "→ ± 漢"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_tables_and_lines_go_to_any_terminal(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    terminal.spell_for_terminal()
    print_table("title → here", COLUMNS, ROWS)
    print_lines(["a → b"])
    out.flush()
    text = out.buffer.getvalue().decode(encoding)
    assert "run_20261121_193005" in text
    assert "a -> b" in text


@pytest.mark.parametrize("width", ["20", "40"])
def test_a_narrow_terminal_gets_blocks_of_lines(
    width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    print_table("runs", COLUMNS, ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "runs",
        "run_20261121_193005",
        "  status: complete",
        "  accuracy: 0.8352",
        "run_20261121_194410",
        "  status: stopped",
    ]


def test_a_wide_terminal_and_a_table_that_fits_keep_their_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_table("t", ("a", "b", "c"), [(1, 2, 3)])
    monkeypatch.setenv("COLUMNS", "80")
    print_table("t", COLUMNS, ROWS)
    assert capsys.readouterr().out.count("┃ ") > 2


def test_no_control_signs_go_to_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    print_table("t", COLUMNS, ROWS)
    print_result("output/run_1")
    printed = capsys.readouterr().out
    assert printed.endswith("\noutput/run_1\n")
    assert not {"\x1b", "\r", "\x08"} & set(printed)


@pytest.mark.parametrize(
    ("variables", "colours"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_the_log_has_colours_where_they_are_wanted(
    variables: dict[str, str], colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert logs._has_colors() is colours
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert not logs._has_colors()
