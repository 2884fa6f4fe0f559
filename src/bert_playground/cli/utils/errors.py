"""Where exceptions end: one clear message and exit code 2, or that of a signal: 130 for Ctrl-C, 143 for SIGTERM."""

import errno
import os
import shutil
import signal
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from bert_playground.signals import Stopped, stop_by_signals

from .console import print_error

BAD_INPUT = 2
BY_SIGNAL = 128  # what shells add to the number of a signal


class FriendlyGroup(TyperGroup):
    """The group of all commands; the one place where exceptions end."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for.

        Raises:
            typer.Exit: code 2 for what the user can mend, 130, 143 or 129 for Ctrl-C, SIGTERM or SIGHUP. Other exceptions
                are defects and pass.
        """
        try:
            with stop_by_signals():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            signum = error.signum if isinstance(error, Stopped) else signal.SIGINT
            name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
            print_error(f"stopped by {name}", notes_of(error))
            raise typer.Exit(BY_SIGNAL + signum) from error
        except BrokenPipeError as error:  # `bert info | head`: the reader has seen enough
            # Python flushes stdout once more at exit, and would complain again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(0) from error
        except ImportError as error:
            if not is_missing_mlx(error):
                raise
            print_error(explain_missing_mlx())
            raise typer.Exit(BAD_INPUT) from error
        except (ValueError, OSError) as error:
            if ctx.meta.get("log_level") in ("TRACE", "DEBUG"):
                raise
            print_error(explain(error), [*notes_of(error), "(--log-level DEBUG shows where)"])
            raise typer.Exit(BAD_INPUT) from error


def is_missing_mlx(error: ImportError) -> bool:
    """Whether MLX is not installed: its wheel, or the library that on Linux comes in a second one."""
    if isinstance(error, ModuleNotFoundError):
        return error.name in ("mlx", "mlx.core")
    return "libmlx" in str(error) and "cannot open shared object file" in str(error)


def explain_missing_mlx() -> str:
    """Which command installs it: on Linux nothing decides between CPU and GPU but the user."""
    if sys.platform == "darwin":
        return "MLX is not installed; pip install --force-reinstall bert-playground brings it"
    return (
        "MLX is not installed; choose its build: pip install 'bert-playground[cpu]' for any Linux machine, "
        "or pip install 'bert-playground[cuda13]' for an NVIDIA GPU"
    )


def explain(error: ValueError | OSError) -> str:
    """What happened and what to do, in words."""
    if isinstance(error, UnicodeError):
        return f"a file is not UTF-8 text ({error}); save it as UTF-8"
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):  # of a folder's files
        _, target, reason = error.args[0][0]
        return f"{target!r} could not be written: {_without_path(reason)}"
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)  # our own messages already say what to do
    name = error.filename if error.filename2 is None else error.filename2  # what was to be replaced
    name = "a file" if name is None else f"{str(name)!r}"
    if error.errno == errno.ENOSPC:
        return (
            f"no space left on the disk while writing {name}; nothing was half-written. "
            "Free some space, or write elsewhere with --output"
        )
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist; check the path (relative paths start at the current folder)"
    if isinstance(error, IsADirectoryError):
        return f"{name} is a folder, expected a file"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{name} is a file, expected a folder; choose another path"
    if isinstance(error, PermissionError):
        return f"no permission to use {name}; change its permissions or choose another path"
    return f"{name}: {error.strerror}"


def _without_path(reason: str) -> str:
    """Of "[Errno 28] No space left on device: 'x'" what is between number and path."""
    return reason.rpartition("] ")[2].partition(": '")[0]


def notes_of(error: BaseException) -> list[str]:
    """What was added on the way up, such as the command that resumes a stopped run."""
    return list(getattr(error, "__notes__", []))
