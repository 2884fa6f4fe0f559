"""check_device, check_kernels, check_memory, check_disk: what computes here, and where there is room."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bert_playground.finding import BAD, GOOD, NOTE, Finding

GIB = 2**30
LITTLE_MEMORY, LITTLE_DISK, NO_DISK = 2 * GIB, 2 * GIB, GIB // 5
INSTALL_MLX = 'uv sync, or pip install "bert-playground[cpu]" ("bert-playground[cuda13]" with a GPU of NVIDIA)'


def check_python() -> Iterator[Finding]:
    """Python and the system."""
    yield Finding("python", GOOD, f"{platform.python_version()} on {platform.platform()}")


def check_device() -> Iterator[Finding]:
    """MLX, and whether it computes."""
    try:
        import mlx.core as mx
    except ImportError as error:
        remedy = (
            INSTALL_MLX if sys.platform == "linux" else "uv sync, or pip install bert-playground"
        )
        yield Finding("device", BAD, f"MLX cannot be imported ({error})", remedy)
        return
    from importlib.metadata import version

    values = mx.arange(4, dtype=mx.float32)
    if (values @ values).item() != 14:
        yield Finding("device", BAD, "MLX multiplies wrongly", "install mlx again")
        return
    yield Finding("device", GOOD, f"{mx.default_device()}, mlx {version('mlx')}")


def check_kernels() -> Iterator[Finding]:
    """Which code computes the layers."""
    from bert_playground import kernels

    described = kernels.describe()
    if kernels.is_native() or "no native" not in described:
        try:
            yield Finding("kernels", GOOD, f"{described}; {kernels.describe_bf16()}")
        except ValueError as error:
            yield Finding("kernels", BAD, f"{described}; {error}", "unset BERT_BF16")
        return
    if os.environ.get("BERT_KERNELS") == "off":
        yield Finding("kernels", NOTE, f"{described}: BERT_KERNELS=off", "unset BERT_KERNELS")
        return
    has_wheel = sys.platform == "linux" and platform.machine() == "x86_64"
    remedy = (
        'uv sync, or pip install "bert-playground[native]"'
        if has_wheel
        else "none are made for this machine; training works, slower"
    )
    yield Finding("kernels", NOTE, described, remedy)


def check_memory() -> Iterator[Finding]:
    """Memory that is there, and free."""
    from bert_playground.memory import available_memory_bytes, machine_memory_bytes

    free, whole = available_memory_bytes(), machine_memory_bytes()
    found = f"{free / GIB:.1f} of {whole / GIB:.1f} GiB free"
    if free < LITTLE_MEMORY:
        remedy = "smaller batches (--batch-size 8), or fewer programs beside it"
        yield Finding("memory", NOTE, found, remedy)
    else:
        yield Finding("memory", GOOD, found)


def check_disk(output_dir: Path) -> Iterator[Finding]:
    """Room and permission where runs, downloads and temporary files are written.

    Args:
        output_dir: of runs.
    """
    places = {
        "runs": output_dir,
        "downloads of the Hub": hub_cache(),
        "temporary files": Path(tempfile.gettempdir()),
    }
    for what, place in places.items():
        yield _check_place(what, place)


def hub_cache() -> Path:
    """Where the Hub's client keeps what it downloads."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _check_place(what: str, place: Path) -> Finding:
    there = next(each for each in (place.absolute(), *place.absolute().parents) if each.exists())
    if not there.is_dir():
        return Finding(what, BAD, f"{there} is a file, expected a folder", "move it away")
    if not os.access(there, os.W_OK | os.X_OK):
        remedy = f"chmod u+wx {there}, or choose another folder"
        return Finding(what, BAD, f"{there} cannot be written", remedy)
    free = shutil.disk_usage(there).free
    found = f"{place}: {free / GIB:.1f} GiB free"
    if free < LITTLE_DISK:
        state = BAD if free < NO_DISK else NOTE
        return Finding(what, state, found, "make room, or choose a folder on another disk")
    return Finding(what, GOOD, found)
