"""check_output, beside_output: a file that a command writes: never one that is read, and alone on stdout if it goes there."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path

from bert_playground.lookup import expand_pattern
from bert_playground.outputs import is_stdout, refuse_inputs


def check_output(output: Path | None, inputs: Iterable[Path | None], *, json: bool) -> None:
    """Refuse a file to write that is read, or that would share stdout with a JSON document.

    Args:
        output: the file; None: none is written.
        inputs: what is read, patterns among them.
        json: whether a document goes to stdout.

    Raises:
        ValueError: it is so.
    """
    if json and is_stdout(output):
        raise ValueError(
            f"--json and --output {output} both write to standard output; leave out --json, or give --output FILE.csv"
        )
    refuse_inputs(output, [file for each in inputs if each for file in expand_pattern(each)])


@contextmanager
def beside_output(output: Path | None) -> Iterator[None]:
    """Print to stderr inside the block where a command's file goes to stdout."""
    with redirect_stdout(sys.stderr) if is_stdout(output) else nullcontext():
        yield
