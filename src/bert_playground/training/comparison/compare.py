"""compare_runs: the settings in which runs differ, their metrics, and each against the first, paired where that can be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_playground.lookup import shorten
from bert_playground.run_record import RunRecord, read_record
from bert_playground.runs import RunDir
from bert_playground.training.comparison.paired import Paired, direction
from bert_playground.training.comparison.same_rows import pair_rows

ALWAYS_DIFFERENT = ("training.output_dir", "tracking.directory", "training.report")


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        names: of the runs, as far as it takes to tell them apart.
        metrics: name → the value of each run; None: it has none.
        settings: dotted path → the value of each run, where they differ.
        paired: each run against the first.
        untold: why runs cannot be compared, in sentences.
    """

    names: tuple[str, ...]
    metrics: dict[str, tuple[float | None, ...]]
    settings: dict[str, tuple[Any, ...]]
    paired: tuple[Paired, ...]
    untold: tuple[str, ...]


def compare_runs(runs: Sequence[RunDir]) -> Comparison:
    """Put runs side by side; rows that they share are answered again where that takes it.

    Args:
        runs: two at least.

    Raises:
        FileNotFoundError: one is no run folder.
        ValueError: fewer than two, one twice, or a damaged file.
    """
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} run to compare, expected two at least")
    paths = [run.path.resolve() for run in runs]
    if len(set(paths)) < len(paths):
        twice = sorted({str(path) for path in paths if paths.count(path) > 1})
        raise ValueError(f"{shorten(twice)} is given twice; name two different runs")
    records = [read_record(run.path) for run in runs]
    names = tell_apart(runs)
    paired: list[Paired] = []
    untold = []
    for name, record in zip(names[1:], records[1:], strict=True):
        found, why = _pair(record, records[0], name, names[0])
        paired += found
        untold += [why] if why else []
    return Comparison(
        names, list_metrics(records), differing_settings(records), tuple(paired), tuple(untold)
    )


def tell_apart(runs: Sequence[RunDir]) -> tuple[str, ...]:
    """The names of the folders, with those above them where they are the same."""
    for depth in range(1, 1 + max(len(run.path.parts) for run in runs)):
        names = ["/".join(run.path.parts[-depth:]) for run in runs]
        if len(set(names)) == len(names):
            break
    return tuple(names)


def list_metrics(records: Sequence[RunRecord]) -> dict[str, tuple[float | None, ...]]:
    """Every metric that one of the runs has; of a run that was stopped those of its last evaluation."""
    measured = [
        record.summary.metrics or (record.evaluations[-1].metrics if record.evaluations else {})
        for record in records
    ]
    names = dict.fromkeys(name for metrics in measured for name in metrics)
    return {name: tuple(metrics.get(name) for metrics in measured) for name in names}


def differing_settings(records: Sequence[RunRecord]) -> dict[str, tuple[Any, ...]]:
    """Dotted path → the values of all runs, of those settings in which they differ."""
    paths = dict.fromkeys(
        f"{section}.{key}"
        for record in records
        for section, values in record.settings.values.items()
        for key in values
    )
    found = {path: tuple(record.setting(path) for record in records) for path in paths}
    return {
        path: values
        for path, values in found.items()
        if path not in ALWAYS_DIFFERENT and any(value != values[0] for value in values)
    }


def _pair(
    record: RunRecord, first: RunRecord, name: str, first_name: str
) -> tuple[list[Paired], str | None]:
    """What two runs' shared folds or rows say, or why they say nothing."""
    told = _pair_folds(record, first, name, first_name)
    if told is not None:
        return [told], None
    try:
        return pair_rows(record, first, name, first_name), None
    except (ValueError, OSError) as error:
        return [], f"whether {name} is better than {first_name} cannot be told: {error}"


def _pair_folds(record: RunRecord, first: RunRecord, name: str, first_name: str) -> Paired | None:
    """The difference on each fold, where both were judged on the same folds by the same metric; else None."""
    blends = [each.summary.blend for each in (record, first)]
    scores: list[dict[str, float]] = [blend.get("fold_scores") or {} for blend in blends]
    metrics = {str(blend.get("metric")) for blend in blends}
    if len(metrics) > 1 or len(scores[0]) < 2 or set(scores[0]) != set(scores[1]):
        return None
    if not _same_folds(record.run, first.run):
        return None
    metric = metrics.pop()
    gains = [direction(metric) * (scores[0][fold] - scores[1][fold]) for fold in scores[0]]
    return Paired.of(name, first_name, metric, np.array(gains), "folds")


def _same_folds(one: RunDir, other: RunDir) -> bool:
    files = [run.folds_file(0) for run in (one, other)]
    return all(file.is_file() for file in files) and files[0].read_bytes() == files[1].read_bytes()
