"""Every instruction set that this CPU has, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.native.harness import needs_native

native: Any = pytest.importorskip("bert_playground_kernels")
pytestmark = needs_native
ORDER = ("avx2", "avx512", "avx512_bf16", "amx")
HERE = Path(__file__).parent
OPERATIONS = [
    str(HERE / f"test_{name}.py")
    for name in ("linear", "norm", "attention", "token_operations", "quantized")
]
RUN = """
import sys, pytest, bert_playground_kernels as kernels
assert kernels.isa() == sys.argv[1], kernels.isa()
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-W", "error", *sys.argv[2:]]))
"""


def below() -> tuple[str, ...]:
    return ORDER[: ORDER.index(native.isa())] if native.AVAILABLE else ()


def run_tests(isa: str, root: Path, *options: str) -> None:
    if isa not in native.BUILT:
        pytest.skip(
            f"{isa} is not among the built {native.BUILT}; BERT_KERNELS_BUILD=all builds it"
        )
    process = subprocess.run(
        [sys.executable, "-c", RUN, isa, *OPERATIONS, *options],
        cwd=root,
        env={**os.environ, "BERT_KERNELS_ISA": isa},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-1000:]
    assert " passed" in process.stdout


@pytest.mark.parametrize("isa", below())
def test_odd_sizes_on_lesser_instruction_sets(isa: str, root: Path) -> None:
    run_tests(isa, root, "-k", "257 or many or interleaved-20 or adamw or square_sum")


@pytest.mark.slow
@pytest.mark.parametrize("isa", below())
def test_all_operations_on_lesser_instruction_sets(isa: str, root: Path) -> None:
    run_tests(isa, root)
