"""look_up: read a table of names, and answer a wrong name with the nearest right one."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

Value = TypeVar("Value")


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint "; did you mean 'binary'?" for a mistyped name, or an empty string when nothing is close."""
    lowered = {candidate.lower(): candidate for candidate in known}
    matches = get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean {lowered[matches[0]]!r}?" if matches else ""


def shorten(names: Iterable[str], most: int = 12) -> str:
    """The names in one line; of a long list the first ones and the count."""
    listed = list(names)
    more = f", … ({len(listed)} in all)" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def count_of(number: int, noun: str) -> str:
    """The number with its noun, "1 row" or "2 rows"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def look_up(table: Mapping[str, Value], name: str, kind: str) -> Value:
    """Read `table[name]`.

    Args:
        table: one of the registries, such as HEADS.
        name: what the user typed.
        kind: what an entry is called in the error, such as "head".

    Raises:
        ValueError: the name is unknown; the message has the nearest name and all known ones.
    """
    if name in table:
        return table[name]
    raise ValueError(
        f"unknown {kind} {name!r}{nearest(name, table)} (known: {', '.join(sorted(table))})"
    )
