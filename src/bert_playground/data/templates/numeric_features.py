"""fit_numbers: the numeric features of a table; NumericColumn: a number or date column as quantiles of the training rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground.data.columns.kinds import Kind, as_kind, infer_kind
from bert_playground.data.columns.timestamps import ISO, read_times
from bert_playground.data.reading.table import require_columns
from bert_playground.data.templates.derive import derive_columns
from bert_playground.data.templates.options import TextOptions
from bert_playground.data.templates.row_text import PIPELINE, RowText
from bert_playground.lookup import shorten

OFF, AUTO = "off", "auto"
MAX_KNOTS = 256
# A value on very many rows, such as 0, counts as this part of them at most, so that the others stay apart.
LARGEST_SHARE = 1 / 16
LARGEST = 1e300  # differences of larger numbers would overflow


@dataclass(frozen=True)
class NumericColumn:
    """How the cells of a column become numbers from 0 to 1 that are spread evenly over the training rows.

    Attributes:
        column: where they come from.
        form: how numbers or dates are spelt; see `read_times`.
        values: numbers of the training rows, ascending.
        shares: of the training rows below each of them, from 0 to 1; in between it is a straight line.
    """

    column: str
    form: str
    values: tuple[float, ...]
    shares: tuple[float, ...]

    def encode(self, column: pl.Series) -> np.ndarray:
        """[R] in f32, from 0 to 1 also for values beyond those of the training rows; NaN where there is none."""
        numbers = np.clip(read_times(column, self.form).to_numpy(), -LARGEST, LARGEST)
        shares: np.ndarray = np.interp(numbers, self.values, self.shares)
        return shares.astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        lists = {name: tuple(state[name]) for name in ("values", "shares")}
        return cls(**{**state, **lists})


def fit_numeric(
    frame: pl.DataFrame,
    asked: str | Sequence[str],
    *,
    skip: Sequence[str] = (),
    not_auto: Sequence[str] = (),
    given_kinds: Mapping[str, str] | None = None,
) -> tuple[NumericColumn, ...]:
    """Learn from training rows how numbers stand beside the text.

    Args:
        frame: the training rows and nothing else, all cells as text.
        asked: "off", "auto" for every column of numbers or dates, or names of columns.
        skip: columns that must not be read: the target and what the user drops.
        not_auto: not read either unless asked for by name, such as the id and free text.
        given_kinds: names in KINDS for columns whose kind is not to be inferred.

    Raises:
        ValueError: columns that are not there, must not be read, or hold neither numbers nor dates; all are listed.
    """
    if asked == OFF:
        return ()
    given = given_kinds or {}
    if asked == AUTO:
        names = [name for name in frame.columns if name not in (*skip, *not_auto)]
    else:
        names = list(dict.fromkeys(asked))
        _check_names(frame, names, skip)
    kinds = {
        name: as_kind(frame[name], given[name]) if name in given else infer_kind(frame[name])
        for name in names
    }
    wrong = [name for name, kind in kinds.items() if kind.name not in ("number", "date")]
    if wrong and asked != AUTO:
        shown = [f"{name} (such as {_first_value(frame[name])!r})" for name in wrong]
        raise ValueError(
            f"data.numeric_features names columns without different numbers or dates: {shorten(shown)}; leave them out, "
            "or say what they are with data.kinds"
        )
    return tuple(
        _fit_column(frame[name], kind) for name, kind in kinds.items() if name not in wrong
    )


def _check_names(frame: pl.DataFrame, names: list[str], skip: Sequence[str]) -> None:
    told = [name for name in names if name in skip]
    if told:
        raise ValueError(
            f"data.numeric_features names {shorten(told)}, which must not be read: a target, or left out with "
            "data.drop_columns; take it out of one of both"
        )
    where = "the training table, asked for data.numeric_features (off, auto or columns),"
    require_columns(frame, names, where)


def encode_numeric(columns: Sequence[NumericColumn], frame: pl.DataFrame) -> np.ndarray:
    """[R, F] in f32, one column for each: see `NumericColumn.encode`."""
    return np.stack([column.encode(frame[column.column]) for column in columns], axis=1)


def _first_value(column: pl.Series) -> str:
    values = column.drop_nulls()
    return str(values[0]) if len(values) else ""


def _fit_column(column: pl.Series, kind: Kind) -> NumericColumn:
    form = ISO if kind.name == "date" and not kind.spelling else kind.spelling
    numbers = read_times(column, form).drop_nulls().to_numpy()
    values, shares = spread_evenly(np.clip(numbers, -LARGEST, LARGEST))
    return NumericColumn(column.name, form, tuple(values.tolist()), tuple(shares.tolist()))


def spread_evenly(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some of the numbers, ascending, and the share of all that lies below each, stretched to begin at 0 and end at 1.

    Args:
        numbers: [N], finite, at least one.
    """
    distinct, counts = np.unique(numbers, return_counts=True)
    mass = np.minimum(counts, max(1.0, len(numbers) * LARGEST_SHARE))
    middles = np.cumsum(mass) - mass / 2
    if len(distinct) == 1:
        return distinct, np.array([0.5])
    shares = (middles - middles[0]) / (middles[-1] - middles[0])
    if len(distinct) > MAX_KNOTS:
        kept = np.unique(np.searchsorted(shares, np.linspace(0, 1, MAX_KNOTS)))
        distinct, shares = distinct[kept], shares[kept]
    return distinct, shares


Numbers = tuple[NumericColumn, ...]


def fit_numbers(
    text: RowText,
    frame: pl.DataFrame,
    options: TextOptions,
    *,
    skip: Sequence[str],
    id_column: str | None,
    pretrained_dir: Path | None = None,
) -> tuple[Numbers, tuple[str, ...]]:
    """The numeric features, and what is to be said of them.

    Args:
        text: fitted on the training rows; columns that its template derives may stand beside it too.
        frame: these rows, all cells as text.
        options: of the user.
        skip: columns that are no feature.
        id_column: a feature only where it is asked for.
        pretrained_dir: a checkpoint that training starts from. If it was trained with numeric features, they are
            read as it was trained to read them.

    Raises:
        ValueError: columns that cannot be numbers, or others than the checkpoint has.
    """
    asked = options.numeric_features
    if asked == OFF:
        return (), ()
    frame = derive_columns(frame, text.form, text.derived)
    numbers = _known_numbers(pretrained_dir)
    if numbers:
        names = tuple(column.column for column in numbers)
        if asked not in (AUTO, names):
            raise ValueError(
                f"data.numeric_features is {shorten(asked)}, but the model in {pretrained_dir} was trained with "
                f"{shorten(names)} beside its text; ask for auto, or off to go on without"
            )
        where = "the training table, of which the model reads numeric features,"
        require_columns(frame, list(names), where)
    else:
        numbers = fit_numeric(
            frame,
            asked,
            skip=(*skip, *options.drop_columns),
            not_auto=(*options.text_columns, *([id_column] if id_column else [])),
            given_kinds=options.kinds,
        )
    listed = shorten(column.column for column in numbers)
    said = f"numeric features: {listed or 'none, as no column holds numbers or dates'}"
    return numbers, (f"{said}; override with data.numeric_features",)


def read_numbers(state: Sequence[Mapping[str, Any]] | None) -> Numbers:
    """What pipeline.json holds of them; None: it was written before there were any."""
    return tuple(NumericColumn.from_dict(column) for column in state or ())


def _known_numbers(folder: Path | None) -> Numbers:
    """Those of the checkpoint that training starts from."""
    if folder is None or not (folder / PIPELINE).is_file():
        return ()
    return read_numbers(json.loads((folder / PIPELINE).read_bytes()).get("numbers"))
