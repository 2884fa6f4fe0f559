"""RunScore: what a run's folds, or its validation rows, say of it; read_run_score."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from bert_playground.run_record import RunRecord, read_record
from bert_playground.runs import RunDir
from bert_playground.training.metrics.scorer import METRICS

SHARES = ("accuracy",)  # metrics whose standard error follows from the number of rows


@dataclass(frozen=True)
class RunScore:
    """A score before the leaderboard.

    Attributes:
        run: the name of its folder.
        metric: without the val_ before it; None: the run has not ended, or has no score.
        score: its value.
        error: its standard error; None: not known.
        higher_is_better: of the metric.
        is_out_of_fold: each row was predicted by a model that had not seen it; else one part of the rows was.
        folds: SHA-256 of the folds file.
        git_commit: of the code.
    """

    run: str
    metric: str | None = None
    score: float | None = None
    error: float | None = None
    higher_is_better: bool | None = None
    is_out_of_fold: bool = False
    folds: str | None = None
    git_commit: str | None = None

    def describe(self) -> str:
        """Run, score and commit, for the message of a submission."""
        parts = [self.run]
        if self.score is not None:
            error = "" if self.error is None else f" ± {self.error:.2g}"
            where = "out of fold" if self.is_out_of_fold else "on validation rows"
            parts.append(f"{self.metric} {self.score:.5g}{error} {where}")
        if self.git_commit:
            commit, changes, _ = self.git_commit.partition("+")
            parts.append(f"commit {commit[:9]}{'+' if changes else ''}")
        return ", ".join(parts)


def read_run_score(folder: Path) -> RunScore:
    """The score of a run folder.

    Raises:
        FileNotFoundError: the folder is no run's.
        ValueError: one of its files is damaged.
    """
    record = read_record(RunDir.of_checkpoint(folder).path)
    summary = record.summary
    if summary.blend:
        return _read_blend(record)
    monitor = summary.monitor
    value = summary.metrics.get(monitor) if monitor else None
    base = RunScore(
        run=record.run.path.name,
        folds=_digest_folds(record),
        git_commit=record.environment.git_commit,
    )
    if monitor is None or value is None:
        return base
    metric = monitor.removeprefix("val_")
    return RunScore(
        run=base.run,
        metric=metric,
        score=value,
        error=_standard_error(metric, value, summary.val_rows),
        higher_is_better=summary.mode != "min",
        folds=base.folds,
        git_commit=base.git_commit,
    )


def _read_blend(record: RunRecord) -> RunScore:
    """The score of a run over folds: that of the blend, each row answered by what had not seen it."""
    blend = record.summary.blend
    metric = str(blend.get("metric"))
    known = METRICS.get(metric)
    return RunScore(
        run=record.run.path.name,
        metric=metric,
        score=blend.get("score"),
        error=blend.get("standard_error"),
        higher_is_better=known.higher_is_better if known else metric != "loss",
        is_out_of_fold=bool(blend.get("is_out_of_fold")),
        folds=_digest_folds(record),
        git_commit=record.environment.git_commit,
    )


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _standard_error(metric: str, value: float, rows: int | None) -> float | None:
    if metric not in SHARES or not rows:
        return None
    return math.sqrt(max(value * (1 - value), 0.0) / rows)


def _digest_folds(record: RunRecord) -> str | None:
    named = record.setting("data.folds")
    candidates = [record.run.folds_file(0), *([Path(named)] if named else [])]
    return next((digest_file(path) for path in candidates if path.is_file()), None)
