"""read_examples: a table out of what a Python program holds: records, texts with labels, a frame with its target, a dataset."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import polars as pl

from bert_playground.data.reading.decompress import COMPRESSIONS
from bert_playground.data.reading.table import PARSERS, Files, as_text, list_items, read_table
from bert_playground.lookup import shorten

EXPECTED = (
    "expected the path of a table, a Polars or pandas frame, a list of dicts, a dict of columns, (texts, labels), "
    "or a dataset with len() whose items are dicts or pairs"
)
TEXT, LABEL = "text", "label"
TOKEN_IDS = "input_ids"
SUFFIXES = {*PARSERS, *COMPRESSIONS, ".csv", ".tsv", ".txt"}


class Examples(NamedTuple):
    """A table, every cell as the text that a CSV would have.

    Attributes:
        frame: the rows.
        target: the columns of the labels, between commas, where the source says which they are.
    """

    frame: pl.DataFrame
    target: str | None = None


def is_files(source: object) -> TypeGuard[Files]:
    """Whether a source names files: a path, a pattern, or a list of paths."""
    if isinstance(source, str | Path):
        return True
    if not isinstance(source, list | tuple):
        return False
    names = [Path(each) for each in source if isinstance(each, str | Path)]
    if not names or len(names) < len(source):
        return False
    return any(isinstance(each, Path) for each in source) or any(
        name.suffix.lower() in SUFFIXES or name.exists() for name in names
    )


def read_examples(source: Any, target: str | None = None) -> Examples:
    """Read a table from a file or from what a program holds.

    Args:
        source: files or a frame as in `read_table`; records; columns; texts and labels, or a frame and its labels, as
            a tuple of two; or any object with `len()` whose items, by number, are records or pairs of text and label.
        target: what the column of labels shall be called that stand apart; None: their own name, else "label".

    Raises:
        TypeError: nothing of these; says what came.
        ValueError: there are no rows, or texts and labels are not equally many.
        FileNotFoundError: no such file.
    """
    if is_files(source) or _is_frame(source):
        return Examples(read_table(source))
    if hasattr(source, "__arrow_c_stream__"):  # a table of Arrow, of any library
        return Examples(read_table(pl.DataFrame(source)))
    if isinstance(source, Mapping):
        found = Examples(_of_columns(source))
    elif isinstance(source, tuple) and len(source) == 2 and _is_many(source[0]):
        found = _of_pair(*source, target)
    else:
        found = _of_items(_list_items(source), target)
    if found.frame.height == 0:
        raise ValueError(f"{describe_type(source)} has no rows; give at least one")
    return found._replace(frame=as_text(found.frame))


def describe_type(value: object) -> str:
    """What came, in words: "a list of 3 str", "a Tensor", "None"."""
    if value is None:
        return "None"
    name = type(value).__name__
    article = "an" if name[0] in "aeiouAEIOU" else "a"
    if isinstance(value, list | tuple) and value:
        inside = list(dict.fromkeys(type(each).__name__ for each in value))
        return f"{article} {name} of {len(value)} {shorten(inside, 3)}"
    return f"{article} {name}"


def _is_frame(source: Any) -> bool:
    """Polars and pandas as in `read_table`."""
    is_pandas = type(source).__module__.partition(".")[0] == "pandas"
    return isinstance(source, pl.DataFrame | pl.LazyFrame) or (
        is_pandas and type(source).__name__ == "DataFrame"
    )


def _is_many(value: Any) -> bool:
    """Whether the first of a tuple of two holds the rows: texts, records or a frame; and is no row itself."""
    if _is_frame(value) or type(value).__name__ == "Series":
        return True
    if isinstance(value, np.ndarray):
        return value.ndim == 1
    if not isinstance(value, list | tuple):
        return False
    return all(isinstance(each, str) for each in value) or all(
        isinstance(each, Mapping) for each in value
    )


def _of_columns(source: Mapping[Any, Any]) -> pl.DataFrame:
    sizes = {str(name): _size(column) for name, column in source.items()}
    nested = [name for name, column in source.items() if hasattr(column, "column_names")]
    if nested:
        raise TypeError(
            f"{describe_type(source)} holds several datasets: {shorten(map(str, nested))}; give one of them, such as "
            f"data[{str(nested[0])!r}]"
        )
    single = [name for name, size in sizes.items() if size is None]
    if single:
        raise TypeError(
            f"the columns of {describe_type(source)} should be lists, but {shorten(single)} are none; for one row give a "
            "list with the dict in it"
        )
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(f"the columns of a table are equally long, but these are not: {listed}")
    return pl.DataFrame(
        {str(name): _to_list(column) for name, column in source.items()}, strict=False
    )


def _of_pair(rows: Any, labels: Any, target: str | None) -> Examples:
    """Texts, records or a frame, and one label for each; a matrix of numbers is a column for each label."""
    frame = read_table(rows) if _is_frame(rows) else _of_texts(_to_list(rows))
    if _size(labels) is None:
        raise TypeError(
            f"the second of (texts, labels) is {describe_type(labels)}, expected a list or an array of labels"
        )
    name = target or getattr(labels, "name", None) or LABEL
    columns = _label_columns(_to_list(labels), str(name))
    if frame.height != _size(labels):
        raise ValueError(
            f"{frame.height} texts or rows with {_size(labels)} labels; give one label for each"
        )
    taken = [column for column in columns if column in frame.columns]
    if taken:
        raise ValueError(
            f"the rows have a column {', '.join(map(repr, taken))} already; leave it out of the rows, or leave the labels out"
        )
    both = frame.with_columns(pl.Series(key, v, strict=False) for key, v in columns.items())
    return Examples(both, ",".join(columns))


def _of_texts(rows: list[Any]) -> pl.DataFrame:
    if rows and isinstance(rows[0], Mapping):
        return _of_records(rows)
    return pl.DataFrame({TEXT: rows}, strict=False)


def _label_columns(labels: list[Any], target: str) -> dict[str, list[Any]]:
    names = [name.strip() for name in target.split(",")]
    is_matrix = bool(labels) and all(isinstance(row, list | tuple) for row in labels)
    if not is_matrix:
        return {target: labels}
    widths = {len(row) for row in labels}
    are_numbers = all(isinstance(cell, bool | int | float) for row in labels for cell in row)
    if len(widths) != 1 or not are_numbers or widths == {0}:
        return {target: [list(row) for row in labels]}  # lists of labels
    if widths == {1}:  # a column vector
        return {target: [row[0] for row in labels]}
    width = widths.pop()
    if len(names) != width:
        names = [f"{target}_{number}" for number in range(width)]
    return {name: [row[place] for row in labels] for place, name in enumerate(names)}


def _list_items(source: Any) -> list[Any]:
    if isinstance(source, list | tuple):
        return list(source)
    inner = getattr(source, "dataset", None)
    if inner is not None and not hasattr(source, "__getitem__"):
        raise TypeError(
            f"{describe_type(source)} gives batches of another library; give its dataset: data.dataset"
        )
    if isinstance(source, bytes) or not (
        hasattr(source, "__len__") and hasattr(source, "__getitem__")
    ):
        hint = "; an iterator is read once: give list(data)" if _is_iterable(source) else ""
        raise TypeError(f"the data is {describe_type(source)}, {EXPECTED}{hint}")
    return [source[number] for number in range(len(source))]


def _of_items(items: list[Any], target: str | None) -> Examples:
    if not items:
        raise ValueError("the data has no rows; give at least one")
    if all(isinstance(item, Mapping) for item in items):
        return Examples(_of_records(items))
    if all(isinstance(item, list | tuple) and len(item) == 2 for item in items):
        first = [item[0] for item in items]
        if all(isinstance(each, str | Mapping) for each in first):
            return _of_pair(first, [_plain(item[1]) for item in items], target)
    if all(isinstance(item, str) for item in items):
        raise ValueError(
            f"the data is {describe_type(items)}: texts without labels; give (texts, labels)"
        )
    odd = next(each for each in items if not isinstance(each, Mapping))
    raise TypeError(f"an item of the data is {describe_type(odd)}, {EXPECTED}")


def _of_records(items: Sequence[Mapping[Any, Any]]) -> pl.DataFrame:
    names = list(dict.fromkeys(name for item in items for name in item))
    if TOKEN_IDS in names:
        raise ValueError(
            f"the records hold {TOKEN_IDS}, tokens of another library's tokenizer; give the texts themselves, which are "
            "tokenised here"
        )
    return pl.DataFrame(
        {str(name): [_plain(item.get(name)) for item in items] for name in names}, strict=False
    )


def _to_list(column: Any) -> list[Any]:
    values = column.tolist() if hasattr(column, "tolist") else None
    if values is None:
        values = column.to_list() if hasattr(column, "to_list") else list(column)
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """Numbers of numpy, MLX, torch and pandas as those of Python; not-a-number as missing; sets as lists."""
    value = list_items(value)
    if isinstance(value, str | bool | int | list | tuple | Mapping) or value is None:
        return value
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if isinstance(value, float) and value != value else value


def _size(value: Any) -> int | None:
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__"):
        return None
    try:
        return len(value)
    except TypeError:  # an array without axes
        return None


def _is_iterable(value: object) -> bool:
    return isinstance(value, Iterable)
