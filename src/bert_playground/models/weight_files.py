"""read_headers, read_weights: the safetensors files of a folder, whole or refused."""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
from safetensors import SafetensorError, safe_open

from bert_playground.documents import read_json
from bert_playground.lookup import shorten
from bert_playground.models.hub_files import CONFIG, INDEX, WEIGHTS
from bert_playground.runs import ESTIMATOR_NAME

MAX_HEADER = 100 * 2**20  # of safetensors itself
# How safetensors spells them, and the bytes of one value.
FLOATS = {"F32": 4, "F16": 2, "BF16": 2}
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
# Counters and constants that old files carry along.
BUFFERS = ("position_ids", "embeddings.token_type_ids")


class TensorHeader(NamedTuple):
    """What a file says about one of its tensors.

    Attributes:
        dtype: as safetensors spells it: F32, BF16, U32 and so on.
        shape: of the stored tensor.
        file: the name of the file that holds it.
    """

    dtype: str
    shape: tuple[int, ...]
    file: str

    @property
    def size(self) -> int:
        """The number of values."""
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def num_bytes(self) -> int:
        """Bytes on disk."""
        return self.size * int(re.sub(r"\D+", "", self.dtype.split("_")[0]) or 8) // 8


def find_weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold the weights of a folder: the shards of its index, or the only one.

    Raises:
        FileNotFoundError: there are none, or shards are missing.
        ValueError: it is not clear which files belong together, or a model without an encoder lies there.
    """
    if (folder / INDEX).exists():
        paths = [folder / name for name in _indexed_files(folder / INDEX)]
    elif (folder / WEIGHTS).exists():
        paths = [folder / WEIGHTS]
    else:
        paths = _only_files(folder)
    # `Path.is_file` fails on names that no disk can have.
    absent = [path.name for path in paths if not os.path.isfile(path)]  # noqa: PTH113
    if absent:
        raise FileNotFoundError(
            f"{folder} lacks {shorten(absent)}; a download may have stopped early: run the same command again, "
            "or copy the files there"
        )
    return paths


def _indexed_files(path: Path) -> list[str]:
    weight_map = read_json(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(
            f"{path} has no weight_map from weight names to files; copy or download it again"
        )
    if wrong := [name for name in weight_map.values() if not isinstance(name, str)]:
        raise ValueError(f"{path} names {wrong[0]!r:.60} as a file; copy or download it again")
    names = sorted(set(weight_map.values()))
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise ValueError(
            f"{path} names files outside its folder: {shorten(outside)}; expected plain file names"
        )
    return names


def _only_files(folder: Path) -> list[Path]:
    """The one safetensors file of a folder, or its numbered shards."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths and (folder / ESTIMATOR_NAME).is_file():
        raise ValueError(
            f"{folder} is a model beside the encoder ({ESTIMATOR_NAME}) and has no encoder or head of its own: "
            "`bert predict` and `bert evaluate` take it; here give a checkpoint of `bert train`"
        )
    if not paths:
        raise FileNotFoundError(_say_what_is_there(folder))
    shards = [SHARD.fullmatch(path.name) for path in paths]
    match = shards[0]
    if match is not None and all(
        shard is not None and (shard[1], shard[3]) == (match[1], match[3]) for shard in shards
    ):
        count = int(match[3])
        return [
            folder / f"{match[1]}-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)
        ]
    if len(paths) > 1:
        raise ValueError(
            f"{folder} holds {len(paths)} safetensors files and neither {WEIGHTS} nor {INDEX}: "
            f"{shorten(path.name for path in paths)}; rename the one to read to {WEIGHTS}"
        )
    return paths


def _say_what_is_there(folder: Path) -> str:
    found = shorten((path.name for path in sorted(folder.iterdir())), most=10) or "nothing"
    message = f"{folder} holds no checkpoint: expected {WEIGHTS}, found {found}"
    if not any(path for pattern in PICKLES for path in folder.glob(pattern)):
        return f"{message}. Only safetensors files are downloaded and read"
    classes = (
        read_json(folder / CONFIG).get("architectures") if (folder / CONFIG).exists() else None
    )
    model = classes[0] if classes else "AutoModel"
    return (
        f"{message}; pickled weights are not read, since a pickle can run any code. Convert them once where torch is "
        f'installed: python -c "from transformers import {model} as M; '
        f"M.from_pretrained('{folder}').save_pretrained('{folder}')\""
    )


def read_headers(paths: Sequence[Path]) -> dict[str, TensorHeader]:
    """What the files hold, without reading the weights.

    Raises:
        ValueError: a file is damaged.
    """
    headers: dict[str, TensorHeader] = {}
    for path in paths:
        _refuse_names_twice(path)
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118, a file is no mapping
                    part = file.get_slice(name)
                    headers[name] = TensorHeader(
                        part.get_dtype(), tuple(part.get_shape()), path.name
                    )
        except SafetensorError as error:
            raise ValueError(_say_why_unreadable(path, str(error))) from error
    return headers


def _refuse_names_twice(path: Path) -> None:
    """Refuse a safetensors file with two entries of one name, of which readers take one or the other."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        text = file.read(size) if size <= MAX_HEADER else b""
    twice: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice.extend(name for name in found if names.count(name) > 1)
        return found

    with suppress(ValueError, RecursionError):  # safetensors says what is wrong with it
        json.loads(text, object_pairs_hook=collect)
    if twice:
        raise ValueError(
            f"{path} has several entries of one name: {shorten(twice)}; copy or download it again"
        )


def _say_why_unreadable(path: Path, reason: str) -> str:
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"version https://git-lfs"):
        return (
            f"{path} is a pointer of Git LFS, not the file itself; get the file with `git lfs pull`"
        )
    return f"{path} cannot be read ({reason}); it may be cut off: copy or download it again"


def check_dtypes(headers: Mapping[str, TensorHeader], folder: Path) -> None:
    """Refuse weights that are no f32, f16 or bf16 numbers.

    Raises:
        ValueError: some are; the message has their names.
    """
    wrong = [
        f"{name} ({header.dtype})"
        for name, header in headers.items()
        if header.dtype not in FLOATS and not name.endswith(BUFFERS)
    ]
    if wrong:
        raise ValueError(
            f"{folder} has weights that are no f32, f16 or bf16 numbers: {shorten(wrong, most=5)}; "
            "if another tool quantized them, get the model as it was before"
        )


def read_weights(folder: Path) -> dict[str, mx.array]:
    """All weights of a folder, floating-point numbers as f32, from one safetensors file or several shards.

    Raises:
        FileNotFoundError: there are none, or shards are missing.
        ValueError: a file is damaged.
    """
    weights: dict[str, mx.array] = {}
    for path in find_weight_files(folder):
        read_headers([path])
        try:
            loaded = mx.load(str(path))
            assert isinstance(loaded, dict)
            shard = {name: _as_f32(weight) for name, weight in loaded.items()}
            mx.eval(shard)
        except RuntimeError as error:
            raise ValueError(_say_why_unreadable(path, str(error))) from error
        require_finite(shard, path)
        weights |= shard
    return weights


def require_finite(weights: Mapping[str, mx.array], path: Path) -> None:
    """Refuse weights that are NaN or infinite: a model of such answers anything without a word.

    Raises:
        ValueError: the message has the names of some.
    """
    floats = {n: w for n, w in weights.items() if mx.issubdtype(w.dtype, mx.floating)}
    # A sum is finite only where all are, and reads each value once; where it overflows they are looked at one by one.
    sums = {name: weight.sum() for name, weight in floats.items()}
    mx.eval(sums)
    doubtful = [name for name, total in sums.items() if not math.isfinite(float(total))]
    wrong = [name for name in doubtful if not mx.isfinite(floats[name]).all().item()]
    if wrong:
        raise ValueError(
            f"{path} has weights that are not finite (NaN or infinity): {shorten(wrong, most=5)}; the training that wrote "
            "it diverged, or the file was changed: take an earlier checkpoint"
        )


def _as_f32(weight: mx.array) -> mx.array:
    return weight.astype(mx.float32) if mx.issubdtype(weight.dtype, mx.floating) else weight


def sketch_weights(headers: Mapping[str, TensorHeader]) -> dict[str, mx.array]:
    """Arrays of the shapes in `headers` that are never computed, to see what fits without reading it."""
    integers = {"U32": mx.uint32, "U8": mx.uint8, "I32": mx.int32, "I64": mx.int64}
    return {
        name: mx.zeros(header.shape, dtype=integers.get(header.dtype, mx.float32))
        for name, header in headers.items()
    }
