"""Loads the native module, or says once why it cannot be used."""

import importlib
import os
import warnings
from types import ModuleType
from typing import Any

import mlx.core as mx  # first: the native module resolves libmlx against the copy that this import loads

# Threads that spin at a barrier keep the CPU from the thread they wait for: beside other busy processes a training step of a
# small model took 4.3 s with libgomp's default and 0.03 s with sleeping threads. Read when libgomp loads, so before `_ext`.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

REINSTALL = "uv sync --reinstall-package bert-playground-kernels"


SETTINGS = {
    "BERT_KERNELS": ("auto", "off", "require"),
    "BERT_KERNELS_ISA": ("avx2", "avx512", "avx512_bf16", "amx"),
}


def _check_settings() -> None:
    """A misspelt setting would otherwise be the default, and the time it costs would go unnoticed."""
    for name, known in SETTINGS.items():
        if os.environ.get(name, known[0]) not in known:
            raise ValueError(
                f"{name} is {os.environ[name]!r}, expected one of {', '.join(known)}, or not set"
            )


def _load() -> tuple[ModuleType | None, str]:
    """Returns the module and an empty reason, or None and the reason."""
    if os.environ.get("BERT_KERNELS") == "off":
        return None, "BERT_KERNELS=off"
    try:
        native = importlib.import_module("._ext", __package__)
    except ModuleNotFoundError:
        return (
            None,
            f"they were built without a C++ compiler; install g++ 11 or newer (apt install g++), then run: {REINSTALL}",
        )
    except ImportError as error:  # another libmlx lacks a symbol, or libgomp is missing
        return (
            None,
            f"they do not load beside mlx {mx.__version__} ({error}); rebuild them: {REINSTALL}",
        )
    if native.mlx_version != mx.__version__:
        return (
            None,
            f"they were built for mlx {native.mlx_version}, but mlx {mx.__version__} is installed; rebuild them: {REINSTALL}",
        )
    if native.isa() is None:
        return None, "this CPU has no AVX2"
    if not hasattr(native, "built"):
        return None, f"they were built from older sources; rebuild them: {REINSTALL}"
    return native, ""


def _advise(native: ModuleType | None) -> str:
    """What to do about a better instruction set that was not compiled; an error where BERT_KERNELS_ISA asks for it."""
    if native is None or native.wanted in native.built:
        return ""
    build = f"BERT_KERNELS_BUILD=all {REINSTALL}"
    if "BERT_KERNELS_ISA" in os.environ:
        raise ValueError(
            f"BERT_KERNELS_ISA is {os.environ['BERT_KERNELS_ISA']!r}, which needs {native.wanted}, but the kernels are "
            f"built for {', '.join(native.built)} only; build them with: {build}"
        )
    return f"this CPU has {native.wanted}; build its kernels with: {build}"


_check_settings()
_native, _reason = _load()
AVAILABLE: bool = _native is not None
BUILT: tuple[str, ...] = () if _native is None else _native.built
ADVICE = _advise(_native)

if _native is None:
    _message = f"The native CPU kernels are not available: {_reason}"
    if os.environ.get("BERT_KERNELS") == "require":
        raise ImportError(_message)
    if os.environ.get("BERT_KERNELS") != "off":
        warnings.warn(_message, RuntimeWarning, stacklevel=2)


class _Missing:
    """Stands for the native module where there is none."""

    def __getattr__(self, name: str) -> Any:
        def missing(*arguments: Any, **options: Any) -> Any:
            """Raises ImportError: the native CPU kernels are not available."""
            raise ImportError(f"The native CPU kernels are not available: {_reason}")

        return missing


native: Any = _native if _native is not None else _Missing()
