"""The same bits from every run, whatever the number of threads."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from tests.native.harness import TYPES, needs_native

native: Any = pytest.importorskip("bert_playground_kernels")
pytestmark = needs_native


def fingerprints(root: Path, threads: int) -> dict[str, str]:
    process = subprocess.run(
        [sys.executable, "-m", "tests.native.fingerprint"],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def with_two_threads(root: Path) -> dict[str, str]:
    return fingerprints(root, 2)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.quick_for("2")
def test_bits_do_not_depend_on_the_number_of_threads(
    threads: int, root: Path, with_two_threads: dict[str, str]
) -> None:
    actual = fingerprints(root, threads)
    different = [name for name, value in actual.items() if value != with_two_threads[name]]
    assert different == []


@pytest.mark.parametrize("dtype", list(TYPES.values()), ids=list(TYPES))
def test_repeated_runs_give_the_same_bits(dtype: mx.Dtype) -> None:
    from tests.native.fingerprint import digest, make_operations, vjp

    for name, (function, arguments) in make_operations(dtype).items():
        prints = set()
        for _ in range(3):
            outputs, gradients, _ = vjp(function, arguments)
            prints.add(digest([*outputs, *gradients]))
        assert len(prints) == 1, name


def test_the_number_of_threads_is_what_openmp_says(root: Path) -> None:
    for threads in ("1", "3"):
        process = subprocess.run(
            [sys.executable, "-c", "import bert_playground_kernels as k; print(k.num_threads())"],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert process.stdout.strip() == threads


def test_masks_of_rows_and_columns_are_independent() -> None:
    ones, key = mx.ones((400, 400)), mx.random.key(11)
    kept = np.array(native.dropout(ones, 0.5, key)) > 0
    signs = kept * 2.0 - 1
    for a in (signs, signs.T):
        correlation = a @ a.T / a.shape[1]
        np.fill_diagonal(correlation, 0)
        assert np.abs(correlation).max() < 6 / a.shape[1] ** 0.5
