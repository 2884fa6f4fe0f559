"""fit_numbers: which columns stand beside the text as numbers, fitted or taken over from a checkpoint."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from bert_playground.config.schema import DataSection
from bert_playground.data.reading.table import require_columns
from bert_playground.data.schema.roles import Roles
from bert_playground.data.templates.numeric_features import AUTO, OFF, NumericColumn, fit_numeric
from bert_playground.data.templates.row_text import PIPELINE, RowText
from bert_playground.data.templates.templates import derive_columns
from bert_playground.lookup import shorten

Numbers = tuple[NumericColumn, ...]


def fit_numbers(
    text: RowText,
    frame: pl.DataFrame,
    options: DataSection,
    roles: Roles,
    pretrained_dir: Path | None = None,
) -> tuple[Numbers, tuple[str, ...]]:
    """The numbers beside the text, and what is to be said of them.

    Args:
        text: fitted on the training rows; columns that its template derives may stand beside it too.
        frame: these rows, all cells as text.
        options: of the user.
        roles: say what is a target, the id, or left out.
        pretrained_dir: a checkpoint that training starts from. If it was trained with numbers beside its text, they are
            read as it was trained to read them.

    Raises:
        ValueError: columns that cannot be numbers, or others than the checkpoint has.
    """
    asked = options.numeric_features
    if asked == OFF:
        return (), ()
    frame = derive_columns(frame, text.form)
    numbers = _known_numbers(pretrained_dir)
    if numbers:
        names = tuple(column.column for column in numbers)
        if asked not in (AUTO, names):
            raise ValueError(
                f"data.numeric_features is {shorten(asked)}, but the model in {pretrained_dir} was trained with "
                f"{shorten(names)} beside its text; ask for auto, or off to go on without"
            )
        where = "the training table, of which the model reads numbers beside the text,"
        require_columns(frame, list(names), where)
    else:
        numbers = fit_numeric(
            frame,
            asked,
            skip=(*roles.targets, *roles.dropped, *options.drop_columns),
            not_auto=(*options.text_columns, *([roles.id_column] if roles.id_column else [])),
            given_kinds=options.kinds,
        )
    listed = shorten(column.column for column in numbers)
    said = f"numbers beside the text: {listed or 'none, as no column holds numbers or dates'}"
    return numbers, (f"{said}; override with data.numeric_features",)


def read_numbers(state: Sequence[Mapping[str, Any]] | None) -> Numbers:
    """What pipeline.json holds of them; None: it was written before there were any."""
    return tuple(NumericColumn.from_dict(column) for column in state or ())


def _known_numbers(folder: Path | None) -> Numbers:
    """Those of the checkpoint that training starts from."""
    if folder is None or not (folder / PIPELINE).is_file():
        return ()
    return read_numbers(json.loads((folder / PIPELINE).read_bytes()).get("numbers"))
