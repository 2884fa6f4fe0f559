"""look_up: read a table of names, and answer a wrong name with the nearest right one; expand_home, name_neighbours: of paths."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")
MOST_LETTERS = 200  # of one name of a list in a message


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint "; did you mean 'binary'?" for a mistyped name, or an empty string when nothing is close."""
    lowered = {candidate.lower(): candidate for candidate in known}
    matches = get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean {lowered[matches[0]]!r}?" if matches else ""


def shorten(names: Iterable[str], most: int = 12) -> str:
    """The names in one line; of a long list the first ones and the count, of a long name its beginning."""
    listed = [name if len(name) <= MOST_LETTERS else name[:MOST_LETTERS] + "…" for name in names]
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
    hint = ""
    if isinstance(name, str):  # documents of strangers have anything there
        if name in table:
            return table[name]
        hint = nearest(name, table)
    raise ValueError(f"unknown {kind} {name!r:.60}{hint} (known: {', '.join(sorted(table))})")


def name_neighbours(path: str | Path) -> str:
    """Of a path or pattern that is not there: how far it leads, the nearest name there, and what else there is.

    Returns:
        Such as "; did you mean 'best'? (run_1/checkpoints holds best)", or an empty string where nothing is near.
    """
    path = Path(path)
    for folder in path.parents:
        places = expand_pattern(folder)
        if not places:
            continue
        missing = path.parts[len(folder.parts)]
        inside = {child.name for place in places if place.is_dir() for child in place.iterdir()}
        names = sorted(name for name in inside if not name.startswith("."))
        files = [place for place in places if not place.is_dir()]
        if files:
            return f"; {files[0]} is a file"
        where = "the current folder" if folder == Path() else str(folder)
        stem = f"{missing.partition('.')[0]}."  # the same table in another format
        same = [name for name in names if name.startswith(stem) and stem != "."]
        hint = f"; did you mean {same[0]!r}?" if same else nearest(missing, names)
        is_last = len(folder.parts) == len(path.parts) - 1
        if not hint and not is_last and folder == Path():
            return ""  # another place altogether
        return f"{hint} ({where} holds {shorten(names, 8) or 'nothing'})"
    return ""


def expand_home(path: str | Path) -> Path:
    """The path with `~` as a home folder; as it stands where nobody has that name, so that it is not there."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def expand_pattern(path: Path) -> list[Path]:
    """What a path names: itself, or as a pattern, such as `output/run_*`, everything that fits, in sorted order."""
    if path.exists() or not any(letter in str(path) for letter in "*?["):
        return [path] if path.exists() else []
    return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
