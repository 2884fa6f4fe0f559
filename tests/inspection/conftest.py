"""Fixture: the tiny models that transformers made."""

from pathlib import Path

import pytest


@pytest.fixture
def references() -> Path:
    """The folder with one tiny transformers model per case."""
    return Path(__file__).parents[1] / "fixtures" / "tiny_reference"
