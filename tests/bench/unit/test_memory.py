"""The peak of a process is its own."""

import subprocess
import sys

import numpy as np
import pytest

from bert_playground.memory import peak_memory_bytes

PROGRAM = "from bert_playground.memory import peak_memory_bytes; print(peak_memory_bytes())"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the parent's peak is not inherited")
@pytest.mark.medium
def test_a_child_does_not_count_what_its_parent_held() -> None:
    held = np.ones(60_000_000)  # 480 MB
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert 10**7 < int(child.stdout) < 4 * 10**8
    assert peak_memory_bytes() > held.nbytes
