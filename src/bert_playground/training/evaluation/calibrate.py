"""calibrate: find the temperature that makes probabilities mean what they say, and store it with the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import minimize_scalar

from bert_playground.data.prepare import prepare_again
from bert_playground.data.reading.table import require_columns
from bert_playground.data.schema.sampling import read_frames
from bert_playground.inference import Predictor, predict_batches
from bert_playground.models.checkpoint import update_head
from bert_playground.run_record import find_record
from bert_playground.training.metrics.calibration_error import (
    Bins,
    bin_confidence,
    calibration_error,
)
from bert_playground.training.metrics.classification import accuracy, log_loss

Array = np.ndarray[Any, Any]
CALIBRATED = ("binary", "multiclass")
# Beyond these nothing is left to gain: all probabilities are the same, or 0 and 1.
LOWEST, HIGHEST = 0.01, 100.0


@dataclass(frozen=True)
class Quality:
    """How good probabilities are at one temperature."""

    temperature: float
    log_loss: float
    ece: float
    bins: Bins


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` did.

    Attributes:
        checkpoint: whose temperature was changed.
        rows: how many it was fitted on.
        source: which rows these are.
        accuracy: the same before and after.
        before: at the temperature that the checkpoint had.
        after: at the fitted one.
    """

    checkpoint: Path
    rows: int
    source: str
    accuracy: float
    before: Quality
    after: Quality


def calibrate(predictor: Predictor, data: Path | None = None) -> Calibration:
    """Fit the temperature of a checkpoint, and store it there; see `fit_calibration`."""
    fitted = fit_calibration(predictor, data)
    store_temperature(fitted)
    return fitted


def store_temperature(fitted: Calibration) -> None:
    """Write the fitted temperature into the checkpoint."""
    update_head(fitted.checkpoint, temperature_scaling=fitted.after.temperature)


def fit_calibration(predictor: Predictor, data: Path | None = None) -> Calibration:
    """Fit the temperature of a checkpoint by the log loss of rows that it was not trained on; nothing is written.

    Args:
        predictor: of a binary or multiclass checkpoint.
        data: a table with the target; None: the validation rows of the checkpoint's run.

    Raises:
        ValueError: the head has no temperature, or there are no labelled rows.
        FileNotFoundError: the table, or that of the run, is not there.

    Reference: Guo et al. 2017, arXiv 1706.04599.
    """
    head = predictor.model.head
    if head.head_type not in CALIBRATED:
        raise ValueError(
            f"a temperature belongs to a binary or multiclass head, but {predictor.checkpoint} has a {head.head_type} "
            "head; a multilabel head learns thresholds (head.adaptive_threshold), a regression head its uncertainty "
            "(head.uncertainty_estimation)"
        )
    if data is None:
        frame, source = rows_of_run(predictor.checkpoint)
        frames = iter([frame])
    else:
        frames, source = read_frames(data), str(data)
    labels, logits = _score(predictor, frames, source)
    before = judge(labels, logits, head.config.temperature_scaling)
    after = judge(labels, logits, fit_temperature(labels, logits))
    return Calibration(
        predictor.checkpoint,
        len(labels),
        source,
        accuracy(labels, probabilities(logits, 1.0)),
        before,
        after,
    )


def _score(
    predictor: Predictor, frames: Iterator[pl.DataFrame], source: str
) -> tuple[Array, Array]:
    """Labels and logits of all rows; of a large table no more than a chunk of rows is held beside them."""
    labels, logits = [], []
    drift = predictor.pipeline.watch_drift()
    for frame in frames:
        require_columns(frame, list(predictor.pipeline.targets), source)
        loader = predictor.pipeline.make_loader(drift.read(frame), batch_size=predictor.batch_size)
        answer = predict_batches(predictor.model, loader, as_logits=True)
        assert answer.labels is not None
        labels.append(answer.labels)
        logits.append(answer.scores.astype(np.float64))
    drift.conclude(source)
    return np.concatenate(labels), np.concatenate(logits)


def probabilities(logits: Array, temperature: float) -> Array:
    """P(class 1) [N] of log odds [N], or probabilities [N, L] of logits [N, L], in f64."""
    table = _two_columns(logits) / temperature
    table = np.exp(table - table.max(axis=1, keepdims=True))
    table = table / table.sum(axis=1, keepdims=True)
    return np.asarray(table[:, 1] if logits.ndim == 1 else table)


def fit_temperature(labels: Array, logits: Array) -> float:
    """The temperature with the smallest log loss, between 0.01 and 100; the loss is convex in 1 / T.

    Args:
        labels: [N], class numbers.
        logits: log odds of class 1 [N], or [N, L].
    """
    table = _two_columns(logits.astype(np.float64))
    of_label = table[np.arange(len(labels)), labels.astype(np.int64)]

    def loss(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        return float((np.logaddexp.reduce(table * inverse, axis=1) - of_label * inverse).mean())

    bounds = (np.log(LOWEST), np.log(HIGHEST))
    inside = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x
    # The search stays inside its bounds; where the loss is the same everywhere, HIGHEST says that nothing is known.
    best = min((bounds[1], bounds[0], inside), key=loss)
    return {bounds[0]: LOWEST, bounds[1]: HIGHEST}.get(best, float(np.exp(best)))


def judge(labels: Array, logits: Array, temperature: float) -> Quality:
    """How good the probabilities of these logits are at a temperature."""
    scores = probabilities(logits, temperature)
    return Quality(
        temperature,
        log_loss(labels, scores),
        calibration_error(labels, scores),
        bin_confidence(labels, scores),
    )


def _two_columns(logits: Array) -> Array:
    return np.stack([np.zeros_like(logits), logits], axis=1) if logits.ndim == 1 else logits


def rows_of_run(checkpoint: Path) -> tuple[pl.DataFrame, str]:
    """The validation rows of the run that a checkpoint belongs to, drawn again as its configuration says."""
    record = find_record(checkpoint)
    if record is None or not record.settings.values:
        raise ValueError(
            f"{checkpoint} lies in no run folder, so its validation rows are unknown; give rows that it was not trained "
            "on with --data FILE.csv"
        )
    if record.setting("data.train") is None:
        raise ValueError(f"{record.run.path} was trained from no table; give --data FILE.csv")
    if checkpoint.resolve() == record.run.refit.resolve():
        raise ValueError(
            f"{checkpoint} was trained on the validation rows of its run too, so they say nothing of it; give rows that it "
            f"was not trained on with --data FILE.csv, or take {record.run.best}"
        )
    rows = prepare_again(record.settings.values).val
    return rows, f"the validation rows of {record.run.path}, which also chose its best epoch"
