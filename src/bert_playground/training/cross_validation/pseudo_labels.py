"""require_pseudo_labels, add_pseudo_labels: rows of the test table that a model of the same fold is sure of, learned from too."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from bert_playground.config.schema import RunConfig
from bert_playground.data.prepare import Prepared
from bert_playground.data.reading.table import as_text
from bert_playground.inference import Predictor
from bert_playground.logger import logger
from bert_playground.lookup import count_of
from bert_playground.runs import RunDir
from bert_playground.tasks import TASKS


def require_pseudo_labels(prepared: Prepared) -> None:
    """Refuse tables whose test rows cannot be learned from.

    Raises:
        ValueError: there is no test table, or the task has no class for each row.
    """
    task = prepared.schema.task
    if not TASKS[task].is_classification or TASKS[task].has_many_targets:
        raise ValueError(
            f"pseudo-labels need one class per row, but the task is {task}; leave --pseudo out"
        )
    if prepared.text.test_rows is None:
        raise ValueError(
            "pseudo-labels need a test table beside the training table, such as test.csv beside train.csv; put it there, or "
            "leave --pseudo out"
        )


def add_pseudo_labels(prepared: Prepared, teacher: Path, config: RunConfig) -> Prepared:
    """The training rows of a fold, and below them the rows of the test table with the teacher's answers as labels.

    The teacher was fitted on the training rows of the same fold, so nothing of the rows to answer gets into them.

    Args:
        prepared: of the fold.
        teacher: the run of the model that answers the test table.
        config: `cross_validation.pseudo` is the least probability of an answer that is learned from.

    Raises:
        ValueError: there is no test table, the task has no classes, or no answer is sure enough.

    Reference: Lee 2013, Pseudo-Label; the rows keep their labels in all epochs.
    """
    require_pseudo_labels(prepared)
    test, least = prepared.text.test_rows, config.cross_validation.pseudo
    assert test is not None
    assert least is not None
    kept = RunDir(teacher).kept
    assert kept is not None
    predictor = Predictor.load(kept)
    scores = np.asarray(predictor.predict(test), dtype=np.float64)
    sure = np.maximum(scores, 1 - scores) if scores.ndim == 1 else scores.max(axis=1)
    rows = np.flatnonzero(sure >= least)
    if not len(rows):
        raise ValueError(
            f"no answer to the {count_of(test.height, 'row')} of the test table has a probability of {least} "
            f"(the surest has {sure.max():.3f}); ask for less with --pseudo"
        )
    labels = as_text(predictor.pipeline.answers(scores))[rows]
    added = test[rows].with_columns(labels.to_series().alias(prepared.schema.target))
    missing = [name for name in prepared.train.columns if name not in added.columns]
    added = added.with_columns(pl.lit(None, pl.String).alias(name) for name in missing)
    logger.info(
        f"{len(rows)} of {test.height} rows of the test table are learned from too: their answers have a probability of "
        f"at least {least}"
    )
    train = pl.concat([prepared.train, added.select(prepared.train.columns)])
    return replace(prepared, train=train)
