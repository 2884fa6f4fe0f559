"""choose_bf16: measured once, kept for the machine; a broken or closed cache is harmless, and a variable decides instead."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest

from bert_playground import fast_bf16, kernels
from bert_playground.fast_bf16 import choose_bf16, find_file, measure, name_machine, read_times


class Clock:
    """A clock that only products move: a busy machine changes nothing."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


clock = Clock()


class Kernels(SimpleNamespace):
    """Kernels of so many milliseconds a product; counts the products."""

    def __init__(self, f32: float, bf16: float, isa: str = "avx512_bf16") -> None:
        super().__init__(seconds={mx.float32: f32 / 1e3, mx.bfloat16: bf16 / 1e3}, count=0)
        self.isa = lambda: isa
        self.has_fast_bf16 = lambda: isa in ("avx512_bf16", "amx")

    __hash__ = object.__hash__  # as of a module

    def pack(self, weight: mx.array, dtype: mx.Dtype, activation: str) -> mx.array:
        del activation
        return weight.astype(dtype)

    def packed_linear(self, x: mx.array, *rest: Any) -> mx.array:
        del rest
        self.count += 1
        clock.now += self.seconds[x.dtype]
        return x


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("BERT_BF16", raising=False)
    monkeypatch.setattr(fast_bf16, "time", clock)
    return tmp_path / "bert-playground" / "bf16.json"


@pytest.mark.parametrize(
    ("f32", "bf16", "is_fast"), [(6.0, 2.0, True), (2.0, 6.0, False), (4.0, 4.0, False)]
)
def test_the_faster_type_is_chosen(f32: float, bf16: float, *, is_fast: bool) -> None:
    choice = choose_bf16(Kernels(f32, bf16))
    assert choice.is_fast == is_fast
    assert "measured on this machine" in choice.reason


def test_the_times_are_kept_for_the_next_process(cache: Path) -> None:
    first = choose_bf16(Kernels(6, 2))
    (name,) = json.loads(cache.read_text())
    assert name == name_machine()
    later = Kernels(2, 6)
    assert choose_bf16(later) == first
    assert later.count == 0


def test_another_cpu_or_version_is_measured_anew(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_bf16(Kernels(6, 2))
    monkeypatch.setattr(fast_bf16, "_name_cpu", lambda: "another")
    assert not choose_bf16(Kernels(2, 6)).is_fast
    monkeypatch.setattr(fast_bf16, "version", lambda _: "another")
    assert choose_bf16(Kernels(6, 2)).is_fast
    assert len(json.loads(cache.read_text())) == 3


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[1]",
        "[" * 50_000,
        '{"NAME": 1}',
        '{"NAME": ["a", 0.1]}',
        '{"NAME": [NaN, 0.1]}',
        '{"NAME": [-1.0, 0.1]}',
        '{"NAME": [0.1]}',
        " " * 2**17,
    ],
)
def test_a_damaged_file_counts_as_none(cache: Path, content: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(content.replace("NAME", name_machine()))
    assert choose_bf16(Kernels(6, 2)).is_fast
    assert list(read_times(cache)) == [name_machine()]


def test_a_folder_that_cannot_be_written_is_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert choose_bf16(Kernels(6, 2)).is_fast
    assert not choose_bf16(Kernels(2, 6)).is_fast


def test_a_user_without_a_home_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", fail)
    assert find_file() is None
    assert choose_bf16(Kernels(6, 2)).is_fast


@pytest.mark.parametrize(("wish", "is_fast"), [("on", True), ("off", False)])
def test_the_variable_decides(
    cache: Path, monkeypatch: pytest.MonkeyPatch, wish: str, *, is_fast: bool
) -> None:
    monkeypatch.setenv("BERT_BF16", wish)
    for isa in ("avx2", "avx512_bf16", "amx"):
        assert choose_bf16(Kernels(4, 4, isa)) == (is_fast, f"BERT_BF16={wish}")
    assert not cache.exists()


def test_another_value_of_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERT_BF16", "yes")
    with pytest.raises(ValueError, match=r"BERT_BF16 is 'yes', expected one of auto, on, off"):
        choose_bf16(Kernels(4, 4))


@pytest.mark.parametrize(("isa", "is_fast"), [("avx2", False), ("avx512", False), ("amx", True)])
def test_what_is_known_is_not_measured(isa: str, *, is_fast: bool) -> None:
    native = Kernels(4, 4, isa)
    assert choose_bf16(native).is_fast == is_fast
    assert native.count == 0


@pytest.mark.native
@pytest.mark.skipif(not kernels.is_native(), reason="measures the native kernels")
def test_the_kernels_of_this_machine_are_measured_in_little_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fast_bf16, "time", time)
    native = kernels.native_module()
    assert native is not None
    measure(native)
    began = time.process_time()
    times = measure(native)
    assert all(math.isfinite(each) and each > 0 for each in times)
    assert time.process_time() - began < 10 * fast_bf16.SECONDS  # of all threads, beside others


def test_two_processes_at_once_leave_a_whole_file(cache: Path) -> None:
    code = (
        "from tests.kernels.unit.test_fast_bf16 import Kernels, clock; from bert_playground import fast_bf16;"
        "fast_bf16.time = clock; print(fast_bf16.choose_bf16(Kernels(6, 2)).is_fast)"
    )
    command = [sys.executable, "-c", code]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy())
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0] for process in running] == ["True\n"] * 2
    assert len(read_times(cache)) == 1
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]
