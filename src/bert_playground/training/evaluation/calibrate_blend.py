"""calibrate_blend: the temperature of a blend's probabilities, fitted on rows that none of its answers were trained on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from bert_playground.blend_predictor import BlendPredictor, read_blend
from bert_playground.blending.calibration import Calibration
from bert_playground.blending.decision import Decision
from bert_playground.blending.numbers import log_odds
from bert_playground.blending.stack import Stack
from bert_playground.data.reading.table import require_columns
from bert_playground.data.schema.sampling import read_frames
from bert_playground.files import write_text
from bert_playground.runs import BLEND_NAME, RunDir
from bert_playground.training.evaluation import calibrate as single
from bert_playground.training.metrics.classification import accuracy

Array = np.ndarray
SMALLEST = 1e-12


def calibrate_blend(predictor: BlendPredictor, data: Path | None = None) -> single.Calibration:
    """Fit a temperature, and store it in blend.json; see `fit_blend_calibration`."""
    fitted = fit_blend_calibration(predictor, data)
    store_blend_temperature(predictor, fitted)
    return fitted


def fit_blend_calibration(
    predictor: BlendPredictor, data: Path | None = None
) -> single.Calibration:
    """Fit a temperature by log loss, with which decided classes stay the same; nothing is written.

    Args:
        predictor: of a binary or multiclass blend.
        data: a table with the target; None: the run's own out-of-fold answers.

    Raises:
        ValueError: the task has no probabilities of one class per row, or rows have no labels.
    """
    task = predictor.pipeline.task
    if task not in single.CALIBRATED:
        raise ValueError(
            f"a temperature belongs to a binary or multiclass blend, but {predictor.checkpoint} answers {task}"
        )
    labels, scores, source = (
        _read_out_of_fold(predictor) if data is None else _score(predictor, data)
    )
    logits = log_odds(scores) if scores.ndim == 1 else np.log(np.clip(scores, SMALLEST, 1.0))
    temperature = single.fit_temperature(labels, logits)
    before = predictor.stack.calibration.temperature if predictor.stack.calibration else 1.0
    return single.Calibration(
        predictor.checkpoint,
        len(labels),
        source,
        accuracy(labels, scores),
        replace(single.judge(labels, logits, 1.0), temperature=before),
        replace(single.judge(labels, logits, temperature), temperature=before * temperature),
    )


def _score(predictor: BlendPredictor, data: Path) -> tuple[Array, Array, str]:
    labels, scores = [], []
    for frame in read_frames(data):
        require_columns(frame, list(predictor.pipeline.targets), str(data))
        answer = predictor.score(frame)
        assert answer.labels is not None
        labels.append(answer.labels)
        scores.append(answer.scores)
    return np.concatenate(labels), np.concatenate(scores), str(data)


def _read_out_of_fold(predictor: BlendPredictor) -> tuple[Array, Array, str]:
    path = RunDir(predictor.checkpoint).out_of_fold
    frame = pl.read_parquet(path).filter(
        pl.col("repeat" if "repeat" in pl.read_parquet_schema(path) else "repeat_oof") == 0
    )
    names = [
        name
        for name in frame.columns
        if name == "blend" or name.startswith(("blend:", "blend_oof"))
    ]
    frame = frame.drop_nulls(names)
    if not names or frame.is_empty():
        raise ValueError(
            f"{path} holds no blended answers; give rows that nothing was trained on with --data FILE.csv"
        )
    scores = frame.select(names).to_numpy()
    labels = predictor.pipeline.encode_labels(frame)
    return labels, scores[:, 0] if len(names) == 1 else scores, f"the out-of-fold answers of {path}"


def store_blend_temperature(predictor: BlendPredictor, fitted: single.Calibration) -> None:
    """Write the fitted temperature into blend.json."""
    total = fitted.after.temperature
    step = total / fitted.before.temperature
    stack, task = predictor.stack, predictor.pipeline.task
    changed = Stack(
        stack.names, stack.combiner, Calibration(total, task), _carry(stack.decision, step)
    )
    document = read_blend(predictor.checkpoint) | {"stack": changed.to_dict()}
    write_text(
        predictor.checkpoint / BLEND_NAME, json.dumps(document, indent=2) + "\n", is_durable=True
    )


def _carry(decision: Decision | None, temperature: float) -> Decision | None:
    """The same decision on probabilities of another temperature."""
    if decision is None:
        return None
    values = np.array(decision.values)
    if decision.kind == "threshold":
        values = 1 / (1 + np.exp(-log_odds(values) / temperature))
    elif decision.kind == "multipliers":
        values = values ** (1 / temperature)
    return Decision(decision.kind, tuple(values.tolist()))
