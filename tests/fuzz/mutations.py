"""Generators of documents as strangers may write them: a valid one with one thing changed, by a seed."""

import copy
import json
import random
from pathlib import Path
from typing import Any

# What stands in for a value: other types, giants, depths, and what is no number.
STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 10**9, 10**12, 2**63, 10**400, 0.5, 1e300, float("nan"), float("inf"), "", "x", "2",
    "x" * 10_000, [], [1], ["x"], [[]], [None], {}, {"a": 1}, {"a": {}}, "{{ 1 }}", "(.*.*)*!", "__class__",
)  # fmt: skip


def list_places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of each value inside a document."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value[:6])
        if isinstance(value, list)
        else ()
    )
    return [
        found for key, each in inner for found in ((*path, key), *list_places(each, (*path, key)))
    ]


def change_one(document: Any, rng: random.Random) -> tuple[Any, str]:
    """A copy with one value replaced, removed, moved or nested, and what was done."""
    changed = copy.deepcopy(document)
    path = rng.choice(list_places(changed))
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    key, kind = path[-1], rng.choice(("replace", "replace", "replace", "remove", "wrap", "double"))
    said = f"{kind} {'.'.join(map(str, path))}"
    if kind == "remove":
        del parent[key]
    elif kind == "wrap":
        for _ in range(rng.choice((1, 1, 60))):
            parent[key] = [parent[key]]
    elif kind == "double" and isinstance(parent[key], list | str):
        parent[key] = parent[key] * 2
    else:
        parent[key] = rng.choice(STRANGE)
        said += f" by {parent[key]!r:.40}" if not isinstance(parent[key], int) else " by a number"
    return changed, said


def change_bytes(text: bytes, rng: random.Random) -> tuple[bytes, str]:
    """A file with some bytes overwritten, cut off or repeated."""
    place, count = rng.randrange(len(text)), rng.choice((1, 4, 64))
    kind = rng.choice(("overwrite", "cut", "repeat"))
    if kind == "cut":
        return text[:place], f"cut at byte {place}"
    if kind == "repeat":
        return text[:place] + text[place : place + count] * 2 + text[
            place + count :
        ], f"repeat {place}"
    noise = rng.randbytes(count)
    return text[:place] + noise + text[place + count :], f"overwrite {count} bytes at {place}"


def change_file(path: Path, rng: random.Random) -> str:
    """Change a JSON document by its values, any other file, and one JSON document in ten, by its bytes."""
    if path.suffix == ".json" and rng.random() < 0.9:
        document, said = change_one(json.loads(path.read_text(encoding="utf-8")), rng)
        path.write_text(json.dumps(document), encoding="utf-8")
        return said
    content, said = change_bytes(path.read_bytes(), rng)
    path.write_bytes(content)
    return said
