"""fit_numbers: the numeric features of a table, in the tokens of their cells or beside the text."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import polars as pl

from bert_playground.data.columns.timestamps import ISO
from bert_playground.data.reading.table import require_columns
from bert_playground.data.templates.derive import derive_columns
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.numeric_features import (
    AUTO,
    OFF,
    Numbers,
    TokenRanges,
    check_names,
    fit_numeric,
    fit_values,
    read_numbers,
    read_token_ranges,
)
from bert_playground.data.templates.options import TextOptions
from bert_playground.data.templates.row_document import ROW_TEXT
from bert_playground.data.templates.row_text import PIPELINE, RowText
from bert_playground.documents import check, read_json
from bert_playground.lookup import shorten


class FittedNumbers(NamedTuple):
    """The numeric features of a table; see RowText."""

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
    beside: bool = True,
) -> RowText:
    """The same text with its numeric features: in the tokens of their cells where each cell is one token, else beside.

    Args:
        text: fitted on the training rows; columns that its template derives may be numbers too.
        frame: these rows, all cells as text.
        options: of the user.
        skip: columns that are no feature.
        id_column: a feature only where it is asked for.
        pretrained_dir: a checkpoint that training starts from. If it was trained with numeric features, they are
            read as it was trained to read them.
        in_tokens: whether the model can add values to tokens; one that was made before the vocabulary cannot.
        beside: whether the model can read values beside the text; one without a head for a task cannot.

    Raises:
        ValueError: columns that cannot be numbers, or others than the checkpoint has.
    """
    asked, known = options.numeric_features, _read_known(pretrained_dir)
    is_cell = bool(known.tokens) if known else text.form.binned and in_tokens
    if asked == OFF or not (is_cell or (beside and asked is not None)):
        return text
    asked = asked or AUTO
    frame = derive_columns(frame, text.form, text.derived)
    if known is None and is_cell:
        if asked != AUTO:
            check_names(frame, list(asked), (*skip, *options.drop_columns))
        found = _fit_cells(text, frame, asked)
    else:
        found = _fit_or_keep(text, frame, asked, known, options, skip, id_column, pretrained_dir)
    said = (*text.statements, *found.statements)
    return replace(text, numbers=found.columns, number_tokens=found.tokens, statements=said)


def _fit_or_keep(
    text: RowText,
    frame: pl.DataFrame,
    asked: str | Sequence[str],
    known: FittedNumbers | None,
    options: TextOptions,
    skip: Sequence[str],
    id_column: str | None,
    folder: Path | None,
) -> FittedNumbers:
    if known is not None and known.columns:
        names = tuple(column.column for column in known.columns)
        if asked not in (AUTO, names):
            raise ValueError(
                f"data.numeric_features is {shorten(asked)}, but the model in {folder} was trained with "
                f"{shorten(names)} as numbers; ask for auto, or off to go on without"
            )
        where = "the training table, of which the model reads numeric features,"
        read = {feature.column for feature in text.features}
        # A cell that is left out of the text has no token that its value could be added to.
        needed = [name for name in names if name in read or not known.tokens]
        require_columns(frame, needed, where)
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
        (fit_values(frame[f.column], f.spelling or (ISO if f.form == "date" else "")), tokens)
        for f in chosen
        if (tokens := _find_tokens(text, f)) is not None
    ]
    if not found:
        return FittedNumbers()
    numbers = tuple(number for number, _ in found)
    ranges = tuple(ids for _, ids in found)
    said = f"numbers: values in the tokens of {shorten(each.column for each in numbers)}"
    if len(numbers) == len(cells):  # the lines on their kinds name them
        forms = {feature.form for feature in chosen}
        named = " and ".join(f"{form}s" for form in ("number", "date") if form in forms)
        said = f"{named}: each value is added to the token of its cell"
    return FittedNumbers(numbers, ranges, (f"{said}; override with data.numeric_features",))


def _find_tokens(text: RowText, feature: Feature) -> tuple[int, int] | None:
    """The ids [first, last + 1) of a feature's known cells; None where the vocabulary has no room for them."""
    ids = text.tokenizer.number_of(f"[{feature.label}={value}]" for value in feature.known)
    numbers = [number for number in ids if number is not None]
    is_whole = len(numbers) == len(ids) == max(numbers, default=0) - min(numbers, default=0) + 1
    return (min(numbers), max(numbers) + 1) if is_whole and numbers else None


def _read_known(folder: Path | None) -> FittedNumbers | None:
    """Those of the checkpoint that training starts from; None where it has read no rows."""
    if folder is None or not (folder / PIPELINE).is_file():
        return None
    document = read_json(folder / PIPELINE)
    check(ROW_TEXT, document, folder / PIPELINE)
    return FittedNumbers(
        read_numbers(document.get("numbers")), read_token_ranges(document.get("number_tokens"))
    )
