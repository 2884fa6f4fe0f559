"""Absent, refused or mismatched kernels: what the package and its door say, and that a fork is no trap."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest

from tests.native.harness import needs_native

package: Any = pytest.importorskip("bert_playground_kernels")
loading: Any = importlib.import_module("bert_playground_kernels._load")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {name: value for name, value in os.environ.items() if name != "BERT_KERNELS"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**settings, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def _no_switch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("BERT_KERNELS", raising=False)
    return


def pretend(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    """Let the native module be this one, or fail to import with this error."""

    def import_module(name: str, package: str | None = None) -> Any:
        assert name == "._ext"
        if isinstance(module, Exception):
            raise module
        return module

    monkeypatch.setattr(loading, "importlib", SimpleNamespace(import_module=import_module))


@pytest.mark.usefixtures("_no_switch")
@pytest.mark.parametrize(
    ("module", "says"),
    [
        (ModuleNotFoundError("No module named '_ext'"), "without a C.. compiler; install g"),
        (
            ImportError("undefined symbol: _ZN3mlx"),
            "do not load beside mlx .*undefined symbol: _ZN3mlx",
        ),
        (SimpleNamespace(mlx_version="0.1.2"), "built for mlx 0.1.2, but mlx .* is installed"),
        (SimpleNamespace(mlx_version=mx.__version__, isa=lambda: None), "no AVX2"),
        (SimpleNamespace(mlx_version=mx.__version__, isa=lambda: "avx2"), "from older sources"),
    ],
    ids=["no compiler", "another libmlx", "another version", "old CPU", "old sources"],
)
def test_the_reason_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, module: Any, says: str
) -> None:
    pretend(monkeypatch, module)
    loaded, reason = loading._load()
    assert loaded is None
    assert pytest.importorskip("re").search(says, reason), reason
    if "CPU" not in reason:
        assert "uv sync --reinstall-package bert-playground-kernels" in reason


def built(*isas: str, wanted: str) -> Any:
    return SimpleNamespace(built=isas, wanted=wanted)


def test_a_better_instruction_set_that_was_not_built_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("BERT_KERNELS_ISA", raising=False)
    assert loading._advise(None) == ""
    assert loading._advise(built("avx2", "amx", wanted="amx")) == ""
    advice = loading._advise(built("avx2", wanted="amx"))
    assert "this CPU has amx" in advice
    assert "BERT_KERNELS_BUILD=all uv sync --reinstall-package" in advice


def test_asking_for_an_instruction_set_that_was_not_built_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BERT_KERNELS_ISA", "avx512")
    with pytest.raises(ValueError, match="built for avx2, amx only; build them with: BERT_KERNELS"):
        loading._advise(built("avx2", "amx", wanted="avx512"))


@pytest.mark.native
@needs_native[1]
def test_a_mask_above_this_cpu_changes_nothing() -> None:
    masked = run(
        "import bert_playground_kernels as k; print(k.isa(), k.BUILT)", BERT_KERNELS_ISA="amx"
    )
    assert masked.stdout.split()[0] == package.isa(), masked.stderr


MISMATCH = "import mlx.core as mx; mx.__version__ = '0.0.1'; "


@pytest.mark.native
@needs_native[1]
def test_another_mlx_is_one_warning_and_no_kernels() -> None:
    process = run(
        MISMATCH + "import bert_playground_kernels as k; print(k.AVAILABLE); k.linear(1, 2)"
    )
    assert process.stdout.strip() == "False"
    assert process.stderr.count("RuntimeWarning: The native CPU kernels are not available: ") == 1
    assert "but mlx 0.0.1 is installed; rebuild them" in process.stderr
    assert "ImportError: The native CPU kernels are not available" in process.stderr  # of the call


@pytest.mark.native
@needs_native[1]
def test_required_kernels_that_do_not_load_are_an_error() -> None:
    for module in ("bert_playground_kernels", "bert_playground.kernels"):
        process = run(f"{MISMATCH}import {module}", BERT_KERNELS="require")
        assert process.returncode != 0
        assert (
            "ImportError: The native CPU kernels are not available: they were built for"
            in process.stderr
        )


@pytest.mark.native
@needs_native[1]
def test_required_kernels_that_load_are_used() -> None:
    process = run(
        "from bert_playground import kernels; print(kernels.is_native(), kernels.describe())",
        BERT_KERNELS="require",
    )
    assert process.stdout.startswith("True native CPU kernels ("), process.stderr


def test_switched_off_there_is_neither_kernel_nor_warning() -> None:
    code = (
        "import bert_playground_kernels as k; from bert_playground import kernels; import mlx.core as mx;"
        "print(k.AVAILABLE, kernels.is_native(), kernels.can_pack());"
        "print(kernels.linear(mx.ones((2, 3)), mx.ones((4, 3)))[0, 0].item())"
    )
    process = run(code, BERT_KERNELS="off", PYTHONWARNINGS="error")
    assert process.stdout.split() == ["False", "False", "False", "3.0"], process.stderr


@pytest.mark.native
@needs_native[1]
def test_other_devices_keep_their_own_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    from bert_playground import kernels

    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu))
    assert not kernels.is_native()
    assert kernels.activation_dtype("auto") == mx.bfloat16


# The parent has run a kernel; a forked child must be able to work, and be told so if it wants what cannot work there.
FORK = """
import multiprocessing, warnings
import mlx.core as mx, numpy as np, bert_playground_kernels as kernels
x, weight = mx.random.normal((512, 256)), mx.random.normal((256, 256))
mx.eval(kernels.linear(x, weight))

def plain(_):
    return float((np.ones((300, 300)) @ np.ones(300)).sum())

def native(_):
    try:
        return mx.eval(kernels.linear(x, weight))
    except RuntimeError as error:
        return str(error)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # newer Pythons warn about forks of threads
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(plain, range(4)))
        print(pool.map(native, range(2)))
mx.eval(kernels.linear(x, weight))
print("done")
"""


@pytest.mark.native
@needs_native[1]
def test_a_forked_worker_does_not_hang() -> None:
    process = run(FORK)
    lines = process.stdout.splitlines()
    assert lines[0] == str([90000.0] * 4), process.stderr
    assert lines[1].count("start workers with multiprocessing's spawn method") == 2
    assert lines[2] == "done"


def test_every_public_operation_has_a_docstring() -> None:
    names = [name for name in vars(package) if not name.startswith("_") and name.islower()]
    undocumented = [
        name
        for name in names
        if callable(getattr(package, name)) and not getattr(package, name).__doc__
    ]
    assert "linear" in names
    assert undocumented == []


def test_nothing_else_imports_the_package(root: Path) -> None:
    users = [
        path.relative_to(root).as_posix()
        for path in (root / "src").rglob("*.py")
        if "bert_playground_kernels" in path.read_text(encoding="utf-8")
    ]
    assert users == ["src/bert_playground/kernels.py"]


@pytest.mark.parametrize("module", ["bert_playground_kernels", "bert_playground.kernels"])
@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("BERT_KERNELS", "auto, off, require"),
        ("BERT_KERNELS_ISA", "avx2, avx512, avx512_bf16, amx"),
    ],
)
def test_a_misspelt_setting_is_an_error_that_lists_the_known_ones(
    module: str, name: str, known: str
) -> None:
    process = run(f"import {module}", **{name: "avx1024"})
    assert process.returncode != 0
    assert f"{name} is 'avx1024', expected one of {known}" in process.stderr
