"""The examples run, and hold every Python snippet of the seed documents as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .files import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SEEDS = sorted((ROOT.parent / "shared/mission").glob("0*.txt"))
# A model of published size is computed, or trained.
LARGE = {"encoders", "complete_training"}
CHECKPOINT = "answerdotai/ModernBERT-base"


@pytest.mark.skipif(not SEEDS, reason="the seed documents are not beside the checkout")
def test_every_snippet_of_the_seeds_stands_in_an_example() -> None:
    examples = "\n".join(path.read_text(encoding="utf-8") for path in EXAMPLES)
    snippets = [
        snippet.strip()
        for seed in SEEDS
        for snippet in re.findall(
            r"^```python\n(.*?)^```", seed.read_text(), re.MULTILINE | re.DOTALL
        )
    ]
    assert len(snippets) == 19
    assert [snippet for snippet in snippets if snippet not in examples] == []


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in LARGE else [])
        for path in EXAMPLES
    ],
)
@pytest.mark.quick_for("heads", "custom_model")
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    put_in_hub_cache(ROOT / "tests/fixtures/tiny_reference/modernbert", tmp_path / "hub")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "aliases"),
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "4"),
        "MPLBACKEND": "Agg",
        "BERT_TRAINING__MAX_STEPS": "1",
        "BERT_CHECKPOINT__ENABLE_CHECKPOINTING": "false",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def put_in_hub_cache(source: Path, cache: Path) -> None:
    """Lay a tiny checkpoint where the Hub's client keeps a downloaded one, under the name that the seeds load."""
    repository = cache / f"models--{CHECKPOINT.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        shutil.copy(source / name, snapshot / name)
