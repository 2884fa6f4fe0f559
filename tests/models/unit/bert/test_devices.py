"""Every device by the same code: the models name none of them."""

import re
from pathlib import Path

import pytest

MODELS = Path(__file__).parents[4] / "src" / "bert_playground" / "models"


@pytest.mark.parametrize("path", sorted(MODELS.rglob("*.py")), ids=lambda path: path.name)
def test_no_model_names_a_device(path: Path) -> None:
    named = re.findall(r"(?i)\bmetal\b|\bcuda\b|mx\.cpu|mx\.gpu|default_device", path.read_text())
    assert not named
