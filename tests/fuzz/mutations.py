"""Generators of documents as strangers may write them: a valid one with one thing changed, by a seed."""

import copy
import json
import random
import struct
from pathlib import Path
from typing import Any

# What stands in for a value: other types, giants, depths, and what is no number.
STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 10**9, 10**12, 2**63, 10**400, 0.5, 1e300, float("nan"), float("inf"), "", "x", "2",
    "x" * 10_000, [], [1], ["x"], [[]], [None], {}, {"a": 1}, {"a": {}}, "{{ 1 }}", "(.*.*)*!", "__class__",
)  # fmt: skip


# Keys that some document of ours knows, put where they do not belong.
KEYS = (
    "head", "head_type", "num_labels", "labels", "classes", "task", "thresholds", "pos_weight", "temperature", "derive", "jinja", "form",
    "cell", "features", "windows", "numbers", "tokenizer_name", "max_length", "quantization", "lora", "r", "rank_pattern",
    "layer_types", "rope_parameters", "num_hidden_layers", "num_key_value_heads", "vocab_size", "augmentation", "is_pair",
    "normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens", "truncation", "padding", "model", "type", "unk_token",
    "dropout", "fuse_unk", "byte_fallback", "continuing_subword_prefix", "vocab", "merges", "dtype", "shape", "data_offsets", "__metadata__",
)  # fmt: skip
KINDS = ("replace", "replace", "replace", "remove", "wrap", "double", "shorten", "borrow", "borrow", "swap", "shift", "add")  # fmt: skip


def choose_place(document: Any, rng: random.Random) -> tuple[Any, ...]:
    """The path of a value; each level counts the same, so that a vocabulary of thousands does not hide the rest."""
    path: tuple[Any, ...] = ()
    node = document
    while isinstance(node, dict | list) and node and (not path or rng.random() < 0.75):
        key = rng.choice([*node]) if isinstance(node, dict) else rng.randrange(len(node))
        path, node = (*path, key), node[key]
    return path


def look_at(document: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for key in path:
        document = document[key]
    return document


def change_one(document: Any, rng: random.Random) -> tuple[Any, str]:
    """A copy with one value replaced, removed, nested, exchanged, or put where it does not belong, and what was done."""
    changed = copy.deepcopy(document)
    path, other = choose_place(changed, rng), choose_place(changed, rng)
    if not path:
        return rng.choice(STRANGE), "replace all"
    parent, key, kind = look_at(changed, path[:-1]), path[-1], rng.choice(KINDS)
    said = f"{kind} {'.'.join(map(str, path))}"
    if kind == "remove":
        del parent[key]
        return changed, said
    if kind == "add" and isinstance(parent, dict):
        key = rng.choice(KEYS)
    if kind in ("borrow", "swap"):
        found = copy.deepcopy(look_at(document, other))
        apart = other[: len(path)] != path and path[: len(other)] != other
        if kind == "swap" and apart:
            look_at(changed, other[:-1])[other[-1]] = parent[key]
        parent[key] = found
        return changed, f"{said} with {'.'.join(map(str, other))}"
    parent[key] = _change_value(
        parent.get(key) if isinstance(parent, dict) else parent[key], kind, rng
    )
    return changed, f"{said}, {key} is {parent[key]!r:.40}" if not isinstance(
        parent[key], int
    ) else said


def _change_value(value: Any, kind: str, rng: random.Random) -> Any:
    if kind == "wrap":
        for _ in range(rng.choice((1, 1, 60))):
            value = [value]
        return value
    if kind == "double" and isinstance(value, list | str):
        return value * 2
    if kind == "shorten" and isinstance(value, list | str) and value:
        return value[: rng.randrange(len(value))]
    if kind == "shift" and isinstance(value, int | float) and not isinstance(value, bool):
        return rng.choice((value + 1, value - 1, -value, value * 2, value // 2, str(value)))
    return rng.choice(STRANGE)


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


def change_header(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Weights whose names, types, shapes or places are changed, in a file that is right otherwise."""
    (size,) = struct.unpack("<Q", content[:8])
    header, said = change_one(json.loads(content[8 : 8 + size]), rng)
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + content[8 + size :], said


def change_file(path: Path, rng: random.Random) -> str:
    """Change a JSON document by one to three of its values, weights by their header or bytes, and one JSON document in ten by its bytes."""
    if path.suffix == ".json" and rng.random() < 0.9:
        document, all_said = json.loads(path.read_text(encoding="utf-8")), []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            document, said = change_one(document, rng)
            all_said.append(said)
        path.write_text(json.dumps(document), encoding="utf-8")
        return "; ".join(all_said)
    change = change_header if path.suffix == ".safetensors" and rng.random() < 0.6 else change_bytes
    content, said = change(path.read_bytes(), rng)
    path.write_bytes(content)
    return said
