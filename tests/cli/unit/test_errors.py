"""What the user can mend is one message and exit code 2; Ctrl-C is 130; a defect keeps its traceback."""

import errno
import os
import shutil

import pytest
import typer
from typer.testing import CliRunner

from bert_playground.cli.utils.errors import FriendlyGroup, explain
from bert_playground.cli.utils.options import LogLevel


def run(error: BaseException, *arguments: str):
    app = typer.Typer(cls=FriendlyGroup)

    @app.callback()
    def group() -> None:
        """Make the only command a subcommand."""

    @app.command()
    def fail(log_level: LogLevel = None) -> None:
        raise error

    return CliRunner().invoke(app, ["fail", *arguments])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("labels has shape [2], expected [1]"), "labels has shape [2], expected [1]"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a.csv"), "'a.csv' does not exist"),
        (FileNotFoundError("no checkpoint at x; train one"), "no checkpoint at x; train one"),
        (PermissionError(errno.EACCES, "denied", "a.csv"), "no permission to use 'a.csv'"),
        (IsADirectoryError(errno.EISDIR, "is a folder", "a"), "'a' is a folder, expected a file"),
        (OSError(errno.ENOSPC, "full", "model.safetensors"), "no space left on the disk while writing 'model.safetensors'"),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]), "'b' could not be written: No space left on device"),
        (OSError(errno.EIO, "Input/output error", "a"), "'a': Input/output error"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "not UTF-8"),
    ],
)  # fmt: skip
def test_what_can_be_mended_is_one_message_and_exit_code_2(error, words):
    result = run(error)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_message_keeps_its_brackets_and_is_not_wrapped():
    message = "known: [red]x[/red] " + "word " * 60
    assert message.strip() in run(ValueError(message)).stderr


def test_ctrl_c_is_130_and_says_how_to_go_on():
    error = KeyboardInterrupt()
    error.add_note("saved; go on with: bert train --resume output/run_1")
    result = run(error)
    assert result.exit_code == 130
    assert "stopped by Ctrl-C" in result.stderr
    assert "go on with: bert train --resume output/run_1" in result.stderr


def test_debug_shows_the_traceback():
    result = run(ValueError("deep inside"), "--log-level", "debug")
    assert isinstance(result.exception, ValueError)
    assert result.exit_code == 1


def test_a_defect_is_not_dressed_up():
    result = run(TypeError("ours"))
    assert isinstance(result.exception, TypeError)
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'mlx'", name="mlx"),
        ModuleNotFoundError("No module named 'mlx.core'", name="mlx.core"),
        ImportError("libmlx.so: cannot open shared object file: No such file", name="mlx.core"),
    ],
)
@pytest.mark.parametrize(
    ("system", "words"),
    [
        ("linux", ["'bert-playground[cpu]'", "'bert-playground[cuda13]'"]),
        ("darwin", ["--force-reinstall bert-playground"]),
    ],
)
def test_missing_mlx_is_one_line_that_installs_it(monkeypatch, error, system, words):
    monkeypatch.setattr("bert_playground.cli.utils.errors.sys.platform", system)
    result = run(error)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words)


def test_another_missing_module_is_a_defect():
    result = run(ModuleNotFoundError("No module named 'mlx_lm'", name="mlx_lm"))
    assert isinstance(result.exception, ModuleNotFoundError)


def test_closed_pipe_is_no_error():
    assert run(BrokenPipeError(errno.EPIPE, "Broken pipe")).exit_code == 0


def test_full_disk_says_what_to_do():
    assert "--output" in explain(OSError(errno.ENOSPC, "full", "x"))
