"""Members, folds and trials by an engine that pickles, reorders and repeats: the same models as in this process, and what is complete stays."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bert_playground.config import load_config
from bert_playground.config.schema import RunConfig
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.training import ensemble_fits
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.ensembles import EnsembleResult, train_ensemble
from tests.engines.pickled import PickledEngine, use_as_ray
from tests.tiny_run import TINY_RUN

pytestmark = pytest.mark.medium


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> PickledEngine:
    return use_as_ray(monkeypatch)


def configure(passengers: Path, output: Path, **more: Any) -> RunConfig:
    flags = {
        **TINY_RUN,
        "data.train": passengers / "train.csv",
        "data.target": "Survived",
        "training.output_dir": output,
        **more,
    }
    return load_config(None, {}, flags)[0]


def weights_of(result: EnsembleResult) -> list[bytes]:
    manifest = json.loads((result.run_dir.path / "ensemble.json").read_text())
    folders = [result.run_dir.path / name for name in manifest["members"]]
    return [(folder / "model.safetensors").read_bytes() for folder in folders]


def test_members_are_those_of_one_process(
    engine: PickledEngine, passengers: Path, tmp_path: Path
) -> None:
    three = {"ensemble.num_models": 3}
    alone = train_ensemble(configure(passengers, tmp_path / "alone", **three))
    spread = train_ensemble(
        configure(passengers, tmp_path / "spread", **three, **{"engine.name": "ray"})
    )
    assert len(engine.calls) == 4  # one of three was done twice
    assert weights_of(spread) == weights_of(alone)
    assert spread.metrics == alone.metrics
    assert len(load_predictor(spread.run_dir.path).members) == 3


def test_an_ensemble_that_was_stopped_goes_on(
    passengers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, fitted = ensemble_fits.fit_member, []

    def stop_at_the_second(job: Any) -> Any:
        fitted.append(job.number)
        if len(fitted) == 2:
            raise KeyboardInterrupt
        return fit(job)

    monkeypatch.setattr(ensemble_fits, "fit_member", stop_at_the_second)
    two = {"ensemble.num_models": 2}
    with pytest.raises(KeyboardInterrupt) as stopped:
        train_ensemble(configure(passengers, tmp_path / "stopped", **two))
    (run,) = (tmp_path / "stopped").iterdir()
    assert any(f"bert train --resume {run}" in note for note in stopped.value.__notes__)
    first = next((run / "members").iterdir()) / "summary.json"
    before = first.stat().st_mtime_ns
    resumed = train_ensemble(configure(passengers, tmp_path / "other"), resume=run)
    assert first.stat().st_mtime_ns == before
    alone = train_ensemble(configure(passengers, tmp_path / "alone", **two))
    assert weights_of(resumed) == weights_of(alone)


def test_folds_are_those_of_one_process(
    engine: PickledEngine, passengers: Path, tmp_path: Path
) -> None:
    folds = {"cross_validation.folds": 2, "cross_validation.members": ("encoder", "linear")}
    alone = run_cross_validation(configure(passengers, tmp_path / "alone", **folds))
    spread = run_cross_validation(
        configure(passengers, tmp_path / "spread", **folds, **{"engine.name": "ray"})
    )
    assert len(engine.calls) == 5  # one of four was done twice
    ours, theirs = (pl.read_parquet(each.run_dir.out_of_fold) for each in (spread, alone))
    assert ours.equals(theirs)
