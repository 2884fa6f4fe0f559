"""fit_numbers: the numeric features of a table; NumericColumn: a number or date column as quantiles of the training rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from bert_playground.data.columns.kinds import Kind, as_kind, infer_kind
from bert_playground.data.columns.timestamps import ISO, read_times
from bert_playground.data.reading.table import require_columns
from bert_playground.data.templates.derive import derive_columns
from bert_playground.data.templates.features import Feature
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
    is_iso = kind.name == "date" and not kind.spelling
    return _fit_values(column, ISO if is_iso else kind.spelling)


def _fit_values(column: pl.Series, form: str) -> NumericColumn:
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
TokenRanges = tuple[tuple[int, int], ...]


class FittedNumbers(NamedTuple):
    """The numeric features of a table.

    Attributes:
        columns: whose values are read as numbers too.
        tokens: for each of them the ids [first, last + 1) of its cells, to which its values are added; (): the values stand
            beside the text.
        statements: what is to be said of them.
    """

    columns: Numbers = ()
    tokens: TokenRanges = ()
    statements: tuple[str, ...] = ()


def fit_numbers(
    text: RowText,
    frame: pl.DataFrame,
    options: TextOptions,
    *,
    skip: Sequence[str],
    id_column: str | None,
    pretrained_dir: Path | None = None,
    in_tokens: bool = True,
) -> FittedNumbers:
    """The numeric features: in the tokens of their cells where each cell is one token, else beside the text.

    Args:
        text: fitted on the training rows; columns that its template derives may be numbers too.
        frame: these rows, all cells as text.
        options: of the user.
        skip: columns that are no feature.
        id_column: a feature only where it is asked for.
        pretrained_dir: a checkpoint that training starts from. If it was trained with numeric features, they are
            read as it was trained to read them.
        in_tokens: whether the model can add values to tokens; one that was made before the vocabulary cannot.

    Raises:
        ValueError: columns that cannot be numbers, or others than the checkpoint has.
    """
    asked, known = options.numeric_features, _read_known(pretrained_dir)
    is_cell = text.form.binned and in_tokens
    if asked == OFF or (asked is None and not (known.tokens if known else is_cell)):
        return FittedNumbers()
    asked = asked or AUTO
    frame = derive_columns(frame, text.form, text.derived)
    if known is None and is_cell:
        if asked != AUTO:
            _check_names(frame, list(asked), (*skip, *options.drop_columns))
        return _fit_cells(text, frame, asked)
    if known is not None and known.columns:
        names = tuple(column.column for column in known.columns)
        if asked not in (AUTO, names):
            raise ValueError(
                f"data.numeric_features is {shorten(asked)}, but the model in {pretrained_dir} was trained with "
                f"{shorten(names)} as numbers; ask for auto, or off to go on without"
            )
        where = "the training table, of which the model reads numeric features,"
        require_columns(frame, list(names), where)
        numbers, tokens = known.columns, known.tokens
    else:
        numbers, tokens = _fit_beside(frame, asked, options, skip, id_column), ()
    listed = shorten(column.column for column in numbers)
    said = f"numeric features: {listed or 'none, as no column holds numbers or dates'}"
    return FittedNumbers(numbers, tokens, (f"{said}; override with data.numeric_features",))


def _fit_beside(
    frame: pl.DataFrame,
    asked: str | Sequence[str],
    options: TextOptions,
    skip: Sequence[str],
    id_column: str | None,
) -> Numbers:
    return fit_numeric(
        frame,
        asked,
        skip=(*skip, *options.drop_columns),
        not_auto=(*options.text_columns, *([id_column] if id_column else [])),
        given_kinds=options.kinds,
    )


def _fit_cells(text: RowText, frame: pl.DataFrame, asked: str | Sequence[str]) -> FittedNumbers:
    """The numbers and dates whose values are added to the tokens of their cells: all, or those that are asked for."""
    first = {feature.column: feature for feature in reversed(text.features)}  # of a date's parts
    cells = {name: f for name, f in first.items() if f.form in ("number", "date")}
    if asked != AUTO and (wrong := [name for name in asked if name not in cells]):
        raise ValueError(
            f"data.numeric_features names {shorten(wrong)}, but the cells of these are not read as numbers or dates "
            f"(those are: {shorten(cells) or 'none'}); leave them out, or say what they are with data.kinds"
        )
    chosen = [f for f in text.features if f is cells.get(f.column)]
    chosen = [f for f in chosen if asked == AUTO or f.column in asked]
    found = [
        (_fit_values(frame[f.column], f.spelling or (ISO if f.form == "date" else "")), tokens)
        for f in chosen
        if (tokens := _find_tokens(text, f)) is not None
    ]
    if not found:
        return FittedNumbers()
    numbers = tuple(number for number, _ in found)
    ranges = tuple(ids for _, ids in found)
    listed = shorten(column.column for column in numbers)
    said = f"numbers: values in the tokens of {listed}; override with data.numeric_features"
    return FittedNumbers(numbers, ranges, (said,))


def _find_tokens(text: RowText, feature: Feature) -> tuple[int, int] | None:
    """The ids [first, last + 1) of a feature's known cells; None where the vocabulary has no room for them."""
    ids = text.tokenizer.number_of(f"[{feature.label}={value}]" for value in feature.known)
    numbers = [number for number in ids if number is not None]
    is_whole = len(numbers) == len(ids) == max(numbers, default=0) - min(numbers, default=0) + 1
    return (min(numbers), max(numbers) + 1) if is_whole and numbers else None


def read_numbers(state: Sequence[Mapping[str, Any]] | None) -> Numbers:
    """What pipeline.json holds of them; None: it was written before there were any."""
    return tuple(NumericColumn.from_dict(column) for column in state or ())


def read_token_ranges(state: Sequence[Sequence[int]] | None) -> TokenRanges:
    """What pipeline.json holds of the tokens that numbers are added to; None: it was written before there were any."""
    return tuple((int(start), int(end)) for start, end in state or ())


def _read_known(folder: Path | None) -> FittedNumbers | None:
    """Those of the checkpoint that training starts from; None where it has read no rows."""
    if folder is None or not (folder / PIPELINE).is_file():
        return None
    document = json.loads((folder / PIPELINE).read_bytes())
    return FittedNumbers(
        read_numbers(document.get("numbers")), read_token_ranges(document.get("number_tokens"))
    )
