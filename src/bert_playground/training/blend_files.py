"""blend_files: out-of-fold files of any origin → a blend that is judged out of fold, and the submission of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from bert_playground.blending.combiner import METHODS
from bert_playground.blending.fit import Blend, fit_blend
from bert_playground.blending.guard import draw_folds
from bert_playground.blending.objective import Objective
from bert_playground.data.kaggle.submission import write_submission
from bert_playground.data.schema.roles import infer_roles
from bert_playground.data.targets.fit import Encoder, encode_targets, fit_targets
from bert_playground.data.targets.label_encoder import LabelEncoder, clean_labels, read_numbers
from bert_playground.lookup import look_up
from bert_playground.tasks import TASKS
from bert_playground.training.metrics.metric import Array
from bert_playground.training.objectives import make_objective
from bert_playground.training.oof_files import KEY, OofTable, read_oof_files
from bert_playground.training.oof_members import make_members, match_members

LEAST_ROWS = 10


@dataclass(frozen=True)
class BlendedFiles:
    """A blend of files.

    Attributes:
        blend: what was fitted and found.
        num_rows: it was fitted on.
        num_folds: it was judged on.
        statements: what was decided about the files.
        submission: what was written; None: nothing was asked for.
    """

    blend: Blend
    num_rows: int
    num_folds: int
    statements: tuple[str, ...]
    submission: pl.DataFrame | None = None


def blend_files(
    oof: Sequence[Path],
    target: str,
    *,
    metric: str | None = None,
    task: str | None = None,
    method: str = "greedy",
    id_column: str | None = None,
    class_order: Sequence[str] | None = None,
    test: Sequence[Path] = (),
    output: Path | None = None,
    sample: Path | None = None,
    probabilities: bool = False,
) -> BlendedFiles:
    """Read, join, fit and judge; with test files, write the answers.

    Args:
        oof: out-of-fold predictions; see `read_oof_files`.
        target: the column that is predicted, or several between commas.
        metric: a name in METRICS; None: the task's own.
        task: a name in TASKS; None: inferred from the target.
        method: a name in METHODS.
        id_column: that names the rows; None: inferred.
        class_order: of ordinal classes, lowest first.
        test: predictions of the test table by the same models, in columns of the same names.
        output: the CSV to write.
        sample: a sample submission to check against.
        probabilities: write those where the metric looks at classes.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: anything about the files that cannot be blended; or `output` would replace one of them.
    """
    look_up(METHODS, method, "method of a blend")
    if not target.strip():
        raise ValueError("which column is predicted? Give --target, such as --target Survived")
    _require_places(oof, test, output, sample)
    question = _read_question(oof, target, metric, task, id_column, class_order)
    table, named = question.table, question.objective.task
    as_ranks = method == "rank_mean"
    answers = make_members(table.files, named, question.classes, as_ranks=as_ranks)
    folds, drawn = _folds(table, question.labels)
    # Read before the long part: a wrong test table is told at once.
    tested = None
    if test:
        asked = table.ids.name if id_column else None
        targets = ",".join(table.targets.columns)
        tested = read_oof_files(test, targets, asked, needs_target=False)
        test_answers = match_members(
            table.files, tested.files, named, question.classes, as_ranks=as_ranks
        )
    blend = fit_blend(answers, question.labels, folds, question.objective, method)
    written = None
    if tested is not None and output is not None:
        predictions = _answers(
            blend, question.encoder, blend.stack.score(test_answers), probabilities=probabilities
        )
        written = write_submission(
            output,
            tested.ids,
            predictions,
            id_column=tested.ids.name,
            target=table.targets.columns[0],
            sample=sample,
            is_named=not isinstance(question.encoder, LabelEncoder),
        )
    said = (*question.statements, *table.statements, *drawn)
    return BlendedFiles(blend, len(question.labels), len(np.unique(folds)), said, written)


class _Question(NamedTuple):
    table: OofTable
    objective: Objective
    encoder: Encoder
    labels: Array
    classes: tuple[str, ...]
    statements: tuple[str, ...]


def _read_question(
    oof: Sequence[Path],
    target: str,
    metric: str | None,
    task: str | None,
    id_column: str | None,
    class_order: Sequence[str] | None,
) -> _Question:
    table = read_oof_files(oof, target, id_column)
    named, statements = _find_task(table, task)
    objective = make_objective(named, metric)
    encoder = fit_targets(table.targets, ",".join(table.targets.columns), named, class_order)
    labels = _encode(encoder, table.targets, named)
    return _Question(table, objective, encoder, labels, _column_names(encoder, named), statements)


def _require_places(
    oof: Sequence[Path], test: Sequence[Path], output: Path | None, sample: Path | None
) -> None:
    if not test:
        if output is not None or sample is not None:
            given = "--output" if output is not None else "--sample"
            raise ValueError(
                f"{given} is about a submission, which needs --test: predictions of the test table"
            )
        return
    if output is None:
        raise ValueError("there is nowhere to write the answers to the test files; give --output")
    for path in (*oof, *test, *([] if sample is None else [sample])):
        if Path(path).resolve() == Path(output).resolve():
            raise ValueError(
                f"--output {output} would replace a file that is read; give another name"
            )


def _find_task(table: OofTable, task: str | None) -> tuple[str, tuple[str, ...]]:
    named = pl.DataFrame([table.ids.alias(KEY), *table.targets.iter_columns()])
    roles = infer_roles(named, target=",".join(table.targets.columns), task=task, id_column=KEY)
    return roles.task, roles.statements[:1]


def _encode(encoder: Encoder, targets: pl.DataFrame, task: str) -> Array:
    """Class numbers, or numbers in the units of the target: predictions of others are in those."""
    if TASKS[task].is_classification:
        return encode_targets(encoder, targets, targets.columns)
    spelling = encoder.spelling if isinstance(encoder, LabelEncoder) else None
    columns = [
        read_numbers(clean_labels(column), *([] if spelling is None else [spelling]))
        for column in targets.iter_columns()
    ]
    return columns[0] if task == "regression" else np.stack(columns, axis=1)


def _column_names(encoder: Encoder, task: str) -> tuple[str, ...]:
    if task == "timeseries":
        return () if isinstance(encoder, LabelEncoder) else tuple(encoder.columns)
    return tuple(map(str, encoder.classes))


def _folds(table: OofTable, labels: Array) -> tuple[Array, tuple[str, ...]]:
    if len(labels) < LEAST_ROWS:
        raise ValueError(
            f"there are {len(labels)} rows with predictions, expected at least {LEAST_ROWS}"
        )
    if table.folds is not None:
        return table.folds, ()
    how = (
        "stratified folds"
        if np.issubdtype(labels.dtype, np.integer) and labels.ndim == 1
        else "folds"
    )
    return draw_folds(labels), (
        f"folds: no file has any, so that 5 {how} are drawn to judge the blend by; where models saw these rows in "
        "training, nothing shows it",
    )


def _answers(
    blend: Blend, encoder: Encoder, scores: Array, *, probabilities: bool
) -> pl.Series | pl.DataFrame:
    """Decided classes where the metric looks at those, else probabilities; numbers as they are."""
    task = blend.objective.task
    if not TASKS[task].is_classification:
        if probabilities:
            raise ValueError("the target is a number and has no probabilities; leave out --proba")
        if isinstance(encoder, LabelEncoder):
            return pl.Series(scores)
        return pl.DataFrame({name: scores[:, i] for i, name in enumerate(encoder.columns)})
    if blend.objective.decides and not probabilities:
        return encoder.decode(blend.stack.decide(scores))
    if task == "binary":
        return pl.Series(scores)
    found: Any = encoder
    table: pl.DataFrame = found.probabilities(scores)
    return table
