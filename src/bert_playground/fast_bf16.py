"""choose_bf16: whether bf16 is worth choosing on a CPU that multiplies it in vector registers, measured once for each machine."""

import json
import math
import os
import platform
import time
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import mlx.core as mx

from bert_playground.files import write_text
from bert_playground.logger import logger

VARIABLE = "BERT_BF16"
SECONDS = 0.05  # of measuring, both types together
NUM_TOKENS, WIDTH = 256, 768  # a linear layer of BERT-base on a batch of a few short rows
MIN_GAIN = 0.9  # of the time of f32: less is not worth the digits
MAX_ENTRIES = 64  # of the file
CPU_FIELDS = ("vendor_id", "cpu family", "model", "model name", "stepping")


class Choice(NamedTuple):
    """Whether bf16 is chosen, and why in one phrase."""

    is_fast: bool
    reason: str


def choose_bf16(native: ModuleType) -> Choice:
    """Whether `--precision auto` means bf16 with these kernels.

    Where tiles multiply bf16 (AMX) it is several times as fast as f32, and with neither instruction it is emulated. With
    AVX-512-BF16 alone it depends on the CPU: a measurement of 50 ms says, and is kept for this machine.

    Args:
        native: the compiled kernels.

    Raises:
        ValueError: BERT_BF16 is neither auto, on nor off.
    """
    wish = os.environ.get(VARIABLE, "auto")
    if wish not in ("auto", "on", "off"):
        raise ValueError(f"{VARIABLE} is {wish!r}, expected one of auto, on, off, or not set")
    if wish != "auto":
        return Choice(wish == "on", f"{VARIABLE}={wish}")
    isa = str(native.isa())
    if isa != "avx512_bf16":
        return Choice(bool(native.has_fast_bf16()), f"that is so with {isa}")
    f32, bf16 = _times(native)
    said = f"a product takes {1e3 * bf16:.2f} ms, in f32 {1e3 * f32:.2f}, measured on this machine"
    return Choice(bf16 <= MIN_GAIN * f32, said)


@lru_cache
def _times(native: ModuleType) -> tuple[float, float]:
    """Seconds of a product in f32 and in bf16: as kept, else measured and kept."""
    file, name = find_file(), name_machine()
    kept = read_times(file)
    if name not in kept:
        kept[name] = measure(native)
        try:
            if file is not None:
                newest = dict(list(kept.items())[-MAX_ENTRIES:])
                write_text(file, json.dumps(newest, indent=1))
        except OSError as error:  # then the next process measures again
            logger.debug("{} is not written: {}", file, error)
    return kept[name]


def measure(native: ModuleType) -> tuple[float, float]:
    """The least seconds of a product in f32 and in bf16, in turn for `SECONDS` and at least twice each."""
    began = time.perf_counter()
    x = mx.random.normal((NUM_TOKENS, WIDTH), key=mx.random.key(0))
    weight = mx.random.normal((WIDTH, WIDTH), key=mx.random.key(1))
    sides = []
    for dtype in (mx.float32, mx.bfloat16):
        sides.append((x.astype(dtype), native.pack(weight, dtype, "none")))
    mx.eval(sides)
    best = [math.inf, math.inf]
    rounds = 0
    while rounds < 2 or time.perf_counter() - began < SECONDS:
        for side, (rows, packed) in enumerate(sides):
            started = time.perf_counter()
            mx.eval(native.packed_linear(rows, packed, WIDTH, None, "none"))
            best[side] = min(best[side], time.perf_counter() - started)
        rounds += 1
    return best[0], best[1]


def find_file() -> Path | None:
    """Where the times of machines are kept; None: this user has no folder for such."""
    folder = os.environ.get("XDG_CACHE_HOME", "")
    try:
        cache = Path(folder) if Path(folder).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return cache / "bert-playground" / "bf16.json"


def name_machine() -> str:
    """The CPU as the system calls it and the version of the kernels; not the threads, as folds side by side equal serial ones."""
    try:
        kernels = version("bert-playground-kernels")
    except PackageNotFoundError:
        kernels = "?"
    return f"{_name_cpu()}, kernels {kernels}"


def _name_cpu() -> str:
    """Of the first processor, as cpuinfo has it: homes are shared by machines of several kinds."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0]
    except (OSError, ValueError):
        return platform.processor()
    pairs = (line.partition(":") for line in first.splitlines())
    facts = {name.strip(): value.strip() for name, _, value in pairs}
    return ", ".join(facts.get(field, "?") for field in CPU_FIELDS)


def read_times(file: Path | None) -> dict[str, tuple[float, float]]:
    """What was kept; what is damaged, or not there, counts as nothing."""
    from bert_playground.documents import read_json  # slow to import, and few CPUs need it

    try:
        values = {} if file is None else read_json(file)
    except (OSError, ValueError):
        return {}
    return {name: (pair[0], pair[1]) for name, pair in values.items() if _is_times(pair)}


def _is_times(pair: object) -> bool:
    """Two positive finite numbers."""
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(
            isinstance(each, float) and math.isfinite(each) and 0 < each < 10.0 for each in pair
        )
    )
