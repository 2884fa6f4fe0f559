"""Predictions → the CSV the competition wants."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bert_playground.data.reading.table import as_text, read_table
from bert_playground.logger import logger
from bert_playground.outputs import open_output, write_output


def write_submission(
    path: Path,
    ids: pl.Series | None,
    predictions: pl.Series | pl.DataFrame,
    *,
    id_column: str | None,
    target: str,
    sample: Path | None = None,
    is_named: bool = False,
) -> pl.DataFrame:
    """Write one row per prediction, whole or not at all.

    Args:
        path: the CSV to write; its folder is made.
        ids: as the test table has them (text keeps leading zeros); None: rows are numbered from 0.
        predictions: decoded labels [R], or columns of answers or probabilities; those of probabilities of one target are
            named by class and become "target_class".
        id_column: the name of the id column; None: "id".
        target: the name of the target column.
        sample: a sample submission that columns, row count and ids must agree with.
        is_named: the columns of `predictions` have their names already.

    Returns:
        What was written.

    Raises:
        ValueError: ids and predictions differ in number, or the sample submission disagrees.
    """
    frame = make_submission(ids, predictions, id_column=id_column, target=target, is_named=is_named)
    if sample is not None:
        frame = match_sample(frame, sample, target)
    write_output(Path(path), spell_booleans(frame).write_csv().encode())
    return frame


@dataclass(frozen=True)
class Submission:
    """What was written of a table.

    Attributes:
        columns: of the file, the id first.
        answers: the columns beside the id, which is not held: of long tables ids may take more than the answers. Classes are
            categories, and whole numbers of the least size.
    """

    columns: list[str]
    answers: pl.DataFrame


def write_parts(
    path: Path, parts: Iterable[pl.DataFrame], *, target: str, sample: Path | None = None
) -> Submission:
    """`write_submission` of a table that is answered in parts: each is written as it comes, all appear at once or not at all.

    Args:
        path: the CSV to write; its folder is made. A pipe, a device and "-" get each part as it is ready; see `open_output`.
        parts: as `make_submission` gives them.
        target: the name of the target column.
        sample: as for `write_submission`; with it ids are held too, until they are compared.

    Returns:
        What was written.
    """
    expected = None if sample is None else read_table(sample).columns
    columns: list[str] = []
    held: list[pl.DataFrame] = []
    with open_output(path) as file:
        for part in parts:
            if expected is not None and set(expected) == set(part.columns):
                part = part.select(expected)
            spell_booleans(part).write_csv(file, include_header=not held)
            columns = part.columns
            held.append(part if sample is not None else _shrink(part.drop(columns[0])))
        whole = pl.concat(held, how="vertical_relaxed")
        if sample is not None:
            match_sample(whole, sample, target)
    return Submission(columns, whole.select(columns[1:]))


def _shrink(answers: pl.DataFrame) -> pl.DataFrame:
    """The same in as few bytes as whole numbers and names of classes need; fractions stay as they are."""
    columns = []
    for column in answers.iter_columns():
        if column.dtype.is_integer():
            column = column.shrink_dtype()
        elif column.dtype == pl.String:
            column = column.cast(pl.Categorical)
        columns.append(column)
    return pl.DataFrame(columns)


def make_submission(
    ids: pl.Series | None,
    predictions: pl.Series | pl.DataFrame,
    *,
    id_column: str | None,
    target: str,
    is_named: bool = False,
    first_row: int = 0,
) -> pl.DataFrame:
    """Ids and answers side by side; see `write_submission`.

    Args:
        ids: None: rows are numbered from `first_row`.
        predictions: see there.
        id_column: see there.
        target: see there.
        is_named: see there.
        first_row: the number of the first one.

    Raises:
        ValueError: ids and predictions differ in number.
    """
    if isinstance(predictions, pl.Series):
        answers = predictions.alias(target).to_frame()
    elif is_named:
        answers = predictions
    else:
        answers = predictions.rename({name: f"{target}_{name}" for name in predictions.columns})
    numbers = pl.Series(range(first_row, first_row + answers.height)) if ids is None else ids
    if len(numbers) != answers.height:
        raise ValueError(
            f"{len(numbers)} ids but {answers.height} predictions; predict the same table again"
        )
    return pl.DataFrame([numbers.alias(id_column or "id"), *answers.iter_columns()])


def spell_booleans(frame: pl.DataFrame) -> pl.DataFrame:
    """Booleans as the tables of competitions write them."""
    booleans = [name for name, dtype in frame.schema.items() if dtype == pl.Boolean]
    return frame.with_columns(as_text(frame.select(booleans)).get_columns())


def match_sample(frame: pl.DataFrame, sample: Path, target: str) -> pl.DataFrame:
    """The submission with exactly the sample's columns, after every difference was looked for.

    Raises:
        ValueError: columns, row count, ids or their order differ; all differences are listed.
    """
    expected = read_table(sample)
    id_column = frame.columns[0]
    faults = []
    if frame.width == 2 and expected.width == 2 and expected.columns[0] == id_column:
        if expected.columns[1] != target:
            faults.append(f"its answer column is {expected.columns[1]!r}, ours is {target!r}")
    elif set(frame.columns) != set(expected.columns):
        faults.append(
            f"its columns are {', '.join(expected.columns)}, ours are {', '.join(frame.columns)}"
        )
    if frame.height != expected.height:
        faults.append(f"it has {expected.height} rows, ours has {frame.height}")
    if id_column in expected.columns:
        faults.extend(
            compare_ids(as_text(frame.select(id_column)).to_series(), expected[id_column])
        )
    if faults:
        raise ValueError(
            f"the predictions do not fit the sample submission {sample}: {'; '.join(faults)}; "
            "check that --test and --sample belong to the same competition"
        )
    _doubt_classes(frame, expected, id_column)
    return frame.select(expected.columns)


def _doubt_classes(frame: pl.DataFrame, expected: pl.DataFrame, id_column: str) -> None:
    """Say where a sample has fractions and these answers are classes: the competition may ask for probabilities."""
    classes = [name for name, dtype in frame.schema.items() if dtype.is_integer()]
    shared = expected.select(
        name for name in expected.columns if name in classes and name != id_column
    )
    numbers = shared.select(pl.all().cast(pl.Float64, strict=False))
    if any(bool((column != column.round()).any()) for column in numbers.iter_columns()):
        logger.warning(
            "the sample submission holds fractions where these answers are classes: if the competition is judged by "
            "probabilities, write them with --proba"
        )


def compare_ids(ours: pl.Series, theirs: pl.Series) -> list[str]:
    """What differs between the ids of a submission and those of the sample, both as text; their order included."""
    missing = theirs.filter(~theirs.is_in(ours.implode()))
    extra = ours.filter(~ours.is_in(theirs.implode()))
    faults = []
    if len(missing):
        faults.append(f"{len(missing)} of its ids are not predicted, such as {missing[0]!r}")
    if len(extra):
        faults.append(f"{len(extra)} of our ids are not in it, such as {extra[0]!r}")
    if not faults and len(ours) == len(theirs) and not ours.equals(theirs):
        row = int((ours != theirs).arg_true()[0])
        faults.append(
            f"the ids are the same in another order: row {row + 1} is {theirs[row]!r}, ours {ours[row]!r}"
        )
    return faults
