"""TrialRunner: what trials share, and that sharing changes nothing."""

import pickle

import numpy as np
import polars as pl
import pytest

from bert_playground.config import load_config
from bert_playground.tuning import trial
from bert_playground.tuning.trial import TrialRunner
from tests.tiny_run import TINY_RUN

pytestmark = pytest.mark.medium


@pytest.fixture
def table(tmp_path):
    random = np.random.default_rng(3)
    path = tmp_path / "train.csv"
    colours = random.choice(["green", "red", "yellow"], 90)
    rows = {"colour": colours, "weight": random.normal(size=90).round(3)}
    pl.DataFrame(rows | {"ripe": np.where(colours == "green", "no", "yes")}).write_csv(path)
    return path


def test_a_pipeline_that_trials_share_is_that_of_each(table, tmp_path, monkeypatch):
    fitted = []
    fit_pipeline = trial.fit_pipeline
    monkeypatch.setattr(
        trial,
        "fit_pipeline",
        lambda rows, config: fitted.append(config) or fit_pipeline(rows, config),
    )
    flags = {
        **TINY_RUN,
        "data.train": table,
        "data.target": "ripe",
        "training.output_dir": tmp_path,
    }
    config, sources = load_config(None, {}, flags)
    runner = TrialRunner.prepare(config, sources, None, tmp_path / "trials")
    asked = [
        {},
        {"augmentation": {"column_dropout": 0.2}},
        {"data": {"template": "natural"}},
        {"model": {"vocab_size": 104}},
        {},
    ]

    def run(runner, changes):
        outcome = runner.run(
            config.with_changes(changes), sources, reporter=None, seconds_left=lambda: 1e9
        )
        folder = next(outcome.run.path.rglob("best/pipeline.json")).parent
        files = ("pipeline.json", "tokenizer/tokenizer.json")
        return outcome.value, tuple(folder.joinpath(name).read_text() for name in files)

    shared = [run(runner, changes) for changes in asked]
    assert len(fitted) == 3  # neither augmentation nor the repeated one
    alone = [
        run(TrialRunner.prepare(config, sources, None, tmp_path / "trials"), changes)
        for changes in asked
    ]
    assert shared == alone
    assert shared[0] == shared[-1]
    assert len({files for _, files in shared}) == 3  # so few words fit into any vocabulary
    assert runner.pipelines
    assert not pickle.loads(pickle.dumps(runner)).pipelines  # for another process
