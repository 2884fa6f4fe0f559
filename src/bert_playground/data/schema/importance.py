"""rank_columns: columns by how well each one, alone, answers the target on training rows."""

import numpy as np
import polars as pl

from bert_playground.tasks import TASKS

SAMPLE_ROWS = 5_000
MAX_TARGETS = 8


def rank_columns(frame: pl.DataFrame, labels: np.ndarray, task: str, seed: int = 0) -> list[str]:
    """The names of the columns, the most telling first; those that tell equally much stay in their order.

    Of several labels or steps each is a probe of its own, at most MAX_TARGETS of them from first to last, and the mean
    decides.

    Args:
        frame: what the training rows say, all cells as text.
        labels: [R] or [R, L], encoded.
        task: a name in TASKS.
        seed: which rows are drawn of a large table, and the folds; see `ColumnProbe`.
    """
    # Imported here because it needs scikit-learn, which takes seconds that predicting does not have.
    from bert_playground.data.schema.column_probe import SCORED_AS, ColumnProbe

    if frame.height > SAMPLE_ROWS:
        rows = np.sort(np.random.default_rng(seed).permutation(frame.height)[:SAMPLE_ROWS])
        frame, labels = frame[rows], labels[rows]
    targets = labels.reshape(frame.height, -1)
    chosen = np.unique(np.linspace(0, targets.shape[1] - 1, MAX_TARGETS).round().astype(np.int64))
    form = SCORED_AS.get(task, task)
    kind = np.int64 if TASKS[form].is_classification else np.float64
    probes = [ColumnProbe(targets[:, i].astype(kind), form, seed) for i in chosen]
    scores = {
        column.name: np.mean([probe.score(column) for probe in probes])
        for column in frame.iter_columns()
    }
    return sorted(scores, key=lambda name: -scores[name])
