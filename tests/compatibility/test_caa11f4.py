"""Files of commit caa11f4 still work: checkpoints predict the same, and its run resumes to the same weights.

How they were made: scripts/make_compatibility_fixture.py. On x86-64 Linux with the same MLX and C library "the same" is bit for
bit, with our kernels held to AVX2 and without our kernels; elsewhere it is within tests/tolerances.py.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_playground import kernels
from tests.compatibility.answers import describe_computer
from tests.tolerances import CURVE

pytestmark = pytest.mark.medium

HERE = Path(__file__).parent
FIXTURE = HERE.parent / "fixtures/caa11f4"
CHECKPOINTS = ("run", "adapter", "ensemble", "regression", "ordinal", "multilabel")
KERNELS = {
    "native": {"BERT_KERNELS": "require", "BERT_KERNELS_ISA": "avx2"},
    "mlx": {"BERT_KERNELS": "off"},
}
IS_EXACT = describe_computer() == json.loads((FIXTURE / "expected/made_with.json").read_text())
needs_native = [
    pytest.mark.native,
    pytest.mark.skipif(not kernels.is_native(), reason="the native kernels are not installed"),
]


@pytest.fixture(scope="module", params=[pytest.param("native", marks=needs_native), "mlx"], ids=str)
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(expected, found) for one way to compute."""
    name = request.param
    folder = tmp_path_factory.mktemp("caa11f4") / "copy"
    shutil.copytree(FIXTURE, folder)
    done = subprocess.run(
        [sys.executable, str(HERE / "answers.py")],
        cwd=folder, env=os.environ | KERNELS[name] | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads((FIXTURE / f"expected/{name}.json").read_text()), json.loads(done.stdout)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_a_checkpoint_predicts_what_it_did(answers: Any, checkpoint: str) -> None:
    expected, found = (each["predictions"][checkpoint] for each in answers)
    if IS_EXACT:
        assert found == expected
        return
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=0, atol=CURVE)
    assert found["submission"].partition("\n")[0] == expected["submission"].partition("\n")[0]


@pytest.mark.parametrize("run", ["resumed", "adapted"])
def test_a_run_ends_with_the_weights_that_it_did(answers: Any, run: str) -> None:
    """The interrupted run, resumed; and a LoRA run on the pretrained folder."""
    expected, found = (each["runs"][run] for each in answers)
    if IS_EXACT:
        assert found == expected
        return
    assert found["weights"].keys() == expected["weights"].keys()
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=CURVE)
