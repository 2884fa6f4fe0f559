"""predict_table: a file of rows to a table of ids and answers, part by part where it is large; answer_rows: rows that are read already."""

from collections.abc import Collection, Iterator
from pathlib import Path

import polars as pl

from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.kaggle.submission import make_submission
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.reading.table import read_table
from bert_playground.data.reading.table_stream import open_stream
from bert_playground.data.schema.sampling import read_parts
from bert_playground.inference import AnyPredictor, Array
from bert_playground.logger import logger
from bert_playground.memory import return_freed_memory

PART_ROWS = 4096  # that are text and tokens at once


def predict_table(
    predictor: AnyPredictor,
    path: Path,
    *,
    probabilities: bool = False,
    sample_columns: Collection[str] = (),
    num_variants: int = 1,
    drift: TableDrift | None = None,
    strict: bool = False,
    part_rows: int | None = None,
) -> Iterator[pl.DataFrame]:
    """Answer the rows of a file, in its order.

    Args:
        predictor: of a checkpoint or an ensemble.
        path: the table; labels that it may hold are not read.
        probabilities: one column for each class, not the most probable class.
        sample_columns: of a sample submission. Where it has the target of a binary task, the probability of class 1 is that
            column; a standard deviation beside an answer is given only if the sample has a column for it.
        num_variants: of each row; see `Predictor.score`.
        drift: is told how the table differs from training; from `pipeline.watch_drift`.
        strict: whether such differences are an error, after the last row.
        part_rows: rows that are read and answered at a time; None: `PART_ROWS`, which are read by chunks of a large table.

    Yields:
        The id, or the number of the row from 0 on, and the answers: the whole table, or a part of a longer one.

    Raises:
        FileNotFoundError: the table is not there.
        ValueError: it is faulty or lacks columns; or probabilities are asked of a number; or it differs, and `strict`.
    """
    pipeline = predictor.pipeline
    # Windows are cut from all rows of a series.
    if pipeline.windows is not None:
        frames = iter([read_table(path)])
    elif part_rows is not None:
        frames = open_stream(path, chunk_rows=part_rows).frames()
    else:
        frames = read_parts(path)
    drift = drift or pipeline.watch_drift()
    if pipeline.windows is None and part_rows is None:
        frames = (part for frame in frames for part in frame.iter_slices(PART_ROWS))
    first_row = 0
    for frame in frames:
        if first_row:
            return_freed_memory()
        if first_row == 0 and pipeline.windows is None:
            say_rows_are_numbered(pipeline, frame.columns, path)
        yield answer_rows(
            predictor,
            frame,
            probabilities=probabilities,
            sample_columns=sample_columns,
            num_variants=num_variants,
            drift=drift,
            first_row=first_row,
        )
        first_row += frame.height
    drift.conclude(str(path), strict=strict)


def answer_rows(
    predictor: AnyPredictor,
    frame: pl.DataFrame,
    *,
    probabilities: bool = False,
    sample_columns: Collection[str] = (),
    num_variants: int = 1,
    drift: TableDrift | None = None,
    first_row: int = 0,
) -> pl.DataFrame:
    """The ids of rows, or their numbers, and the answers, as `bert predict` writes them; see `predict_table`.

    Args:
        predictor: as there.
        frame: rows as `read_table` gives them.
        probabilities: as there.
        sample_columns: as there.
        num_variants: as there.
        drift: as there.
        first_row: the number of the first of them in their table.

    Raises:
        ValueError: columns are missing; or probabilities are asked of a number.
    """
    if probabilities:
        require_classes(predictor.pipeline)
    rows, ids = predictor.pipeline.prediction_rows(frame)
    return write_answers(
        predictor,
        predictor.predict(rows, num_variants=num_variants, drift=drift),
        ids,
        probabilities=probabilities,
        sample_columns=sample_columns,
        first_row=first_row,
    )


def require_classes(pipeline: TextPipeline) -> None:
    """Refuse to write probabilities of a number.

    Raises:
        ValueError: the target is one.
    """
    if not pipeline.classes:
        raise ValueError(
            f"{pipeline.target} is a number and has no probabilities; leave out --proba"
        )


def write_answers(
    predictor: AnyPredictor,
    scores: Array,
    ids: pl.Series | None,
    *,
    probabilities: bool = False,
    sample_columns: Collection[str] = (),
    first_row: int = 0,
) -> pl.DataFrame:
    """Ids and answers of some rows side by side; arguments as for `predict_table` and `make_submission`."""
    pipeline = predictor.pipeline
    write = _probabilities if probabilities else _answers
    return make_submission(
        ids,
        write(predictor, scores, sample_columns),
        id_column=None if ids is None else ids.name,
        target=pipeline.target,
        # Of one target, columns of probabilities are named by class alone.
        is_named=not (probabilities and len(pipeline.targets) == 1),
        first_row=first_row,
    )


def say_rows_are_numbered(pipeline: TextPipeline, columns: Collection[str], path: Path) -> None:
    """Where a table lacks the id column of training."""
    if pipeline.id_column is not None and pipeline.id_column not in columns:
        logger.warning(
            f"{path} lacks the id column {pipeline.id_column!r} of the training table: its rows are named by their "
            'number from 0, in the column "id"'
        )


def _answers(
    predictor: AnyPredictor, scores: Array, sample_columns: Collection[str]
) -> pl.DataFrame:
    answers = predictor.answers(scores)
    if not sample_columns:
        return answers
    expected = (*predictor.pipeline.targets, *sample_columns)
    return answers.select(name for name in answers.columns if name in expected)


def _probabilities(
    predictor: AnyPredictor, scores: Array, sample_columns: Collection[str]
) -> pl.DataFrame | pl.Series:
    pipeline = predictor.pipeline
    table = pipeline.probabilities(scores)
    is_single = pipeline.task == "binary" and pipeline.target in sample_columns
    return table[:, -1] if is_single else table
