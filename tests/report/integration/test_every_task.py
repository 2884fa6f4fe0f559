"""Reports of every kind of answer and text: several labels, ordered classes, series, pairs, uncertainty, LoRA."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.config import load_config
from bert_playground.training import run_training
from bert_playground.training.report.write import write_report
from tests.report.conftest import TINY
from tests.report.page import Page

ROWS = 60
CASES = {
    "multilabel": ({"data.target": "red,heavy"}, "Each label"),
    "ordinal": ({"data.target": "grade", "data.class_order": ["low", "middle", "top"], "data.task": "ordinal"}, "Each class"),
    "pair": ({"data.target": "red", "data.text_pair": ["first", "second"], "data.max_length": 16}, "Each class"),
    "uncertain": ({"data.target": "price", "head.uncertainty_estimation": True}, "Errors by the size"),
    "sentences": ({"data.target": "red", "data.template": "sentence"}, "Each class"),
    "bert": ({"data.target": "grade", "model.architecture": "bert", "lora.enabled": True}, "Each class"),
}  # fmt: skip


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of which colour and size decide every target."""
    random = np.random.default_rng(5)
    colour = random.choice(["green", "red", "yellow"], ROWS)
    number = random.integers(0, 3, ROWS)
    table = pl.DataFrame(
        {
            "colour": colour,
            "size": np.array(["small", "medium", "large"])[number],
            "first": [f"{each} leaves grow on the tree beside the {each} wall" for each in colour],
            "second": [f"they weigh {each} pounds" for each in number],
            "red": (colour == "red").astype(int),
            "heavy": (number == 2).astype(int),
            "grade": np.array(["low", "middle", "top"])[number],
            "price": 100.0 + 40 * number + random.normal(0, 1, ROWS),
        }
    )
    path = tmp_path_factory.mktemp("garden") / "train.csv"
    table.write_csv(path)
    return path


def report(path: Path, output: Path, settings: dict) -> Page:
    targets = {"red", "heavy", "grade", "price"} - set(settings["data.target"].split(","))
    flags = {
        **TINY,
        "training.epochs": 1,
        "data.train": path,
        "data.drop_columns": sorted(targets) if "data.horizon" not in settings else [],
        "training.output_dir": output,
        **settings,
    }
    return Page.read(write_report(run_training(load_config(None, {}, flags)[0]).run_dir))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.quick_for("bert", "multilabel")
def test_the_report_is_whole(garden, tmp_path, name):
    settings, table = CASES[name]
    page = report(garden, tmp_path, settings)
    assert "faults" not in page.texts
    assert page.table(table).rows
    assert page.count("article") == 12  # all validation rows
    shares = [row[-1] for row in page.table("All columns").rows[1:] if isinstance(row[-1], float)]
    assert sum(shares) == pytest.approx(1, abs=1e-6)


@pytest.mark.medium
def test_a_series_shows_each_step(tmp_path):
    rows = [
        {"shop": shop, "day": f"2024-{1 + n // 28:02}-{1 + n % 28:02}", "sales": 5 * k + n % 7}
        for k, shop in enumerate("ab")
        for n in range(50)
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "train.csv")
    asked = {
        "data.target": "sales",
        "data.horizon": 2,
        "data.lags": 3,
        "data.series_column": "shop",
    }
    page = report(tmp_path / "train.csv", tmp_path / "output", asked)
    assert "faults" not in page.texts
    assert [row[0] for row in page.table("Each step").rows[1:]] == ["sales +1", "sales +2"]
