"""print_range_test: what a learning-rate range test suggests, and the command that uses it."""

import shlex
import sys
from typing import TYPE_CHECKING

from .console import print_lines, print_result, program

if TYPE_CHECKING:
    from bert_playground.training.find_learning_rate import RangeTest


def print_range_test(found: "RangeTest") -> None:
    """Print the suggestion for people, with the command that was typed and the rate in it."""
    steps = (
        f"{len(found.rates)} steps from {found.rates[0]:g} to {found.rates[-1]:.3g}"
        if found.rates
        else "no step"
    )
    print_lines([steps])
    if found.suggestion is None:
        print_lines(
            [
                "the loss falls at no rate: the curve says nothing; try larger batches, or another --model"
            ]
        )
        print_result(found.picture)
        return
    print_lines(
        [
            f"the loss falls fastest at {found.suggestion:g}, and is lowest at {found.lowest:.2g}",
            "",
            "next:",
            f"  {program()} {shlex.join(with_rate(sys.argv[1:], found.suggestion))}",
        ]
    )
    print_result(found.picture)


def with_rate(words: list[str], rate: float) -> list[str]:
    """The words of a command that asked for the test, with the rate in its place."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip or word == "--find-lr" or word.startswith("--lr="):
            skip = False
        elif word == "--lr":
            skip = True
        else:
            kept.append(word)
    return [*kept, "--lr", f"{rate:g}"]
