"""A table of validation rows, or one to evaluate, is written otherwise than the training table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bert_playground.config.schema import RunConfig
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.logger import logger
from bert_playground.training import run_training
from bert_playground.training.evaluation.evaluate import evaluate_table


@pytest.fixture
def shouted(fruit: Path, tmp_path: Path) -> Path:
    """The table of fruit in other letters, "Yes" for "yes" among the labels."""
    path = tmp_path / "shouted.csv"
    text = fruit.read_text()
    for word in ("red", "green", "large", "north", "yes"):
        text = text.replace(word, word.title())
    path.write_text(text)
    return path


@pytest.mark.medium
def test_a_validation_table_of_another_spelling_gives_the_same_run(
    make_config: Callable[..., RunConfig], fruit: Path, shouted: Path
) -> None:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), format="{message}")
    runs = [run_training(make_config(**{"data.val": path})) for path in (fruit, shouted)]
    logger.remove(sink)
    assert runs[0].metrics == runs[1].metrics
    assert any(
        line.startswith("shop: 'North' is read as 'north', as in training") for line in lines
    )


@pytest.mark.medium
def test_evaluate_reads_other_spellings_and_names_what_differs(
    train_once: Callable[..., Any], fruit: Path, shouted: Path
) -> None:
    predictor = load_predictor(train_once().run_dir.path)
    usual, found = (evaluate_table(predictor, path) for path in (fruit, shouted))
    assert found.metrics == usual.metrics
    assert usual.drift == ()
    assert {finding.what for finding in found.drift} == {"respelled"}
    shouted.write_text(fruit.read_text().replace("red", "mauve"))
    found = evaluate_table(predictor, shouted)
    assert [(finding.column, finding.what) for finding in found.drift] == [("colour", "unseen")]
    with pytest.raises(ValueError, match=r"colour: .* hold values that no training row has"):
        evaluate_table(predictor, shouted, strict=True)
