"""read_rows: the table that X means, every cell as text; attach_column: a target or weights beside it."""

from typing import Any

import numpy as np
import polars as pl
from sklearn.utils.validation import check_array

from bert_playground.data.reading.examples import TEXT, describe_type, read_examples
from bert_playground.data.reading.table import as_text
from bert_playground.lookup import shorten

# Numbers of a matrix without names; the names that scikit-learn gives features, as in get_feature_names_out.
FEATURE = "x{}"


def are_texts(rows: Any) -> bool:
    """Whether X is a list, an array or a series of texts, not a table."""
    if isinstance(rows, str | pl.LazyFrame) or hasattr(rows, "columns"):
        return False
    values = rows.to_numpy() if type(rows).__name__ == "Series" else rows
    if isinstance(values, np.ndarray):
        return bool(
            values.ndim == 1
            and values.dtype.kind in "OUT"
            and len(values)
            and all(each is None or isinstance(each, str) or each != each for each in values)
        )
    return (
        isinstance(values, list | tuple)
        and len(values) > 0
        and all(each is None or isinstance(each, str) for each in values)
        and any(isinstance(each, str) for each in values)
    )


def is_frame(rows: Any) -> bool:
    """Whether X is a table with named columns: of Polars, pandas, Arrow, or records."""
    if isinstance(rows, pl.LazyFrame):
        return True
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        return True
    is_table = hasattr(rows, "__dataframe__") or hasattr(rows, "__arrow_c_stream__")
    return hasattr(rows, "columns") and (is_table or hasattr(rows, "to_dict"))


def read_rows(rows: Any, estimator: Any, *, least: int = 1) -> pl.DataFrame:
    """The table that X means, every cell as the text that a CSV would have.

    Texts are a column "text"; columns without names are x0, x1, …; a cell that is missing stays so.

    Args:
        rows: X.
        estimator: whose name errors say.
        least: rows that there have to be.

    Raises:
        ValueError: no table, no rows, infinite numbers, or cells that have no form as text.
        TypeError: a sparse matrix, or cells that are no values.
    """
    if isinstance(rows, str):
        raise ValueError(
            f"X is a single text, expected several; give a list of texts: [{rows[:40]!r}]"
        )
    if are_texts(rows):
        texts = rows.to_numpy() if type(rows).__name__ == "Series" else rows
        frame = pl.DataFrame({TEXT: [each if isinstance(each, str) else None for each in texts]})
    elif is_frame(rows):
        frame = _refuse_infinite(_of_frame(rows))
    else:
        return _of_matrix(rows, estimator, least)
    if frame.height < least:
        raise ValueError(
            f"Found array with {frame.height} sample(s) (shape={frame.shape}) while a minimum of {least} is required "
            f"by {type(estimator).__name__}."
        )
    return as_text(frame)


def _of_frame(rows: Any) -> pl.DataFrame:
    if isinstance(rows, pl.LazyFrame):
        rows = rows.collect()
    if isinstance(rows, pl.DataFrame):
        return rows
    if not rows.shape[0] if hasattr(rows, "shape") else not len(rows):
        return pl.DataFrame()
    return read_examples(rows).frame


def _refuse_infinite(frame: pl.DataFrame) -> pl.DataFrame:
    floats = [name for name, kind in frame.schema.items() if kind.is_float()]
    infinite = [name for name in floats if frame[name].is_infinite().any()]
    if infinite:
        raise ValueError(
            f"Input X contains infinity in {shorten(infinite)}; replace it, or leave the cell missing"
        )
    return frame


def _of_matrix(rows: Any, estimator: Any, least: int) -> pl.DataFrame:
    """Of NumPy and whatever becomes an array: numbers, or objects such as words."""
    matrix = check_array(
        rows,
        dtype=None,
        ensure_all_finite="allow-nan",
        ensure_min_samples=least,
        estimator=estimator,
        input_name="X",
    )
    if matrix.dtype.kind not in "biufOUTMm":
        raise ValueError(f"X holds {matrix.dtype.name}, expected numbers or words")
    if matrix.dtype.kind == "O":
        _refuse_objects(matrix)
    columns = {FEATURE.format(i): _column(matrix[:, i]) for i in range(matrix.shape[1])}
    return as_text(pl.DataFrame(columns, strict=False))


def _column(values: np.ndarray[Any, Any]) -> Any:
    if values.dtype.kind in "biufMm":
        return np.ascontiguousarray(values)
    plain = [None if each is None or each != each else each for each in values.tolist()]
    kinds = {type(each) for each in plain if each is not None}
    is_mixed = len(kinds) > 1 and not kinds <= {int, float, bool}
    return [None if each is None else str(each) for each in plain] if is_mixed else plain


def _refuse_objects(matrix: np.ndarray[Any, Any]) -> None:
    for each in matrix.ravel():
        if isinstance(each, dict | list | tuple | set | np.ndarray):
            raise TypeError(
                f"a cell of X is {describe_type(each)}; each argument must be a string or a number"
            )


def attach_column(frame: pl.DataFrame, name: str, values: Any) -> tuple[pl.DataFrame, str]:
    """The table with one more column, and what it is called: underscores follow a name that is taken."""
    while name in frame.columns:
        name += "_"
    column = as_text(pl.Series(name, values).to_frame()).to_series()
    return frame.with_columns(column), name
