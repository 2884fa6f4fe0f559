"""What `bert … --help` says: a change is a reviewed difference (`just snapshots`), and it comes at once."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bert_playground.cli.app import app
from tests.cli.commands import commands_of, parameters_of

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"
COMMANDS = commands_of(typer.main.get_command(app))


def describe(name: str) -> str:
    """Options of a command with their help, without the drawing, which differs between versions of Typer."""
    command = COMMANDS[name]
    lines = [f"bert {name}: {(command.help or '').strip()}"]
    for parameter in parameters_of(command):
        if not getattr(parameter, "hidden", False):
            required = " (required)" if parameter.required else ""
            lines.append(f"  {', '.join(parameter.opts)}{required}: {parameter.help}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_the_snapshot(name):
    snapshot = SNAPSHOTS / f"{name.replace(' ', '_')}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        snapshot.parent.mkdir(exist_ok=True)
        snapshot.write_text(describe(name), encoding="utf-8")
    assert describe(name) == snapshot.read_text(encoding="utf-8"), "run `just snapshots`"


def test_every_snapshot_has_its_command():
    found = {file.stem for file in SNAPSHOTS.glob("*.txt")}
    assert found == {name.replace(" ", "_") for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_option(name):
    output = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200"}).stdout
    for parameter in parameters_of(COMMANDS[name]):
        if not getattr(parameter, "hidden", False):
            assert parameter.opts[0] in output


def test_hidden_argument_stays_hidden():
    assert (
        "more_checkpoints"
        not in CliRunner().invoke(app, ["predict", "--help"]).stdout.split("Usage", 1)[0]
    )


@pytest.mark.benchmark
def test_help_answers_at_once():
    """Processor time, the least of five; that nothing heavy is imported is tested everywhere."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-c", "from bert_playground.cli.app import main; main()", "--help"],
            check=True,
            capture_output=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(seconds) < 0.3
