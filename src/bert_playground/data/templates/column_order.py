"""order_columns: the pieces of a row's text by importance, so that rows that are too long lose the least."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from bert_playground.data.templates.derive import derive_columns
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.row_text import RowText
from bert_playground.data.tokens.tokenizer import without_remarks
from bert_playground.logger import logger
from bert_playground.lookup import shorten

SAMPLE_ROWS = 500  # that are looked at to see whether rows are too long
NOTICEABLE = 0.01  # of these
MANY = 300  # columns, more than a few seconds' work
ENDLESS = 1 << 30  # tokens, more than any row has


def order_columns(
    text: RowText,
    frame: pl.DataFrame,
    rank: Callable[[pl.DataFrame], list[str]],
    *,
    asked: str,
    is_settled: bool = False,
) -> RowText:
    """The same text with its most telling pieces first, where that is asked or needed; see `rank_columns`.

    A piece is what the text says of a column: of a date each part is one, and of names the titles.

    Args:
        text: fitted on the training rows.
        frame: these rows, all cells as text.
        rank: from what the text says of each column to their names, the most telling first; see `rank_columns`.
        asked: "table": nothing changes; "importance"; or "auto": by importance where rows are too long even without free
            text, which stays behind all else.
        is_settled: the order is that of a checkpoint, which "auto" keeps.

    Raises:
        ValueError: importance is asked of a pair or a Jinja template, which have an order of their own.
    """
    is_own = text.form.is_pair or bool(text.form.jinja)
    if asked == "importance" and is_own:
        form = "a text pair" if text.form.is_pair else "a Jinja template"
        raise ValueError(
            f"data.column_order is importance, but {form} has an order of its own; leave one of both out"
        )
    if asked == "table" or (asked == "auto" and (is_own or is_settled)):
        return text
    share = _share_too_long(text, frame) if asked == "auto" else 0.0
    if asked == "auto" and share < NOTICEABLE:
        return text
    frame, features = derive_columns(frame, text.form, text.derived), text.features
    if len(features) > MANY:
        logger.info(
            f"ranking {len(features)} columns, which takes a while; data.column_order table skips it"
        )
    said = frame.select(_say(feature, str(i)) for i, feature in enumerate(features))
    features = tuple(features[int(name)] for name in rank(said))
    reason = ""
    if asked == "auto":
        features = tuple(sorted(features, key=lambda feature: feature.is_text))
        reason = f", as {share:.0%} of rows are longer than {text.max_length} tokens"
    listed = shorten(feature.label for feature in features)
    statement = f"text: columns by importance{reason}: {listed}; override with data.column_order"
    return replace(text, features=features, statements=(*text.statements, statement))


def _share_too_long(text: RowText, frame: pl.DataFrame) -> float:
    """How many of some rows are cut even where free text, which stands last, is left out."""
    short = tuple(feature for feature in text.features if not feature.is_text)
    if len(short) < 2:
        return 0.0
    rows = np.unique(np.linspace(0, frame.height - 1, SAMPLE_ROWS).astype(np.int64))
    with without_remarks():
        tokens = replace(text, features=short, max_length=ENDLESS).encode(frame[rows])
    return float((tokens.lengths > text.max_length).mean())


def _say(feature: Feature, name: str) -> pl.Expr:
    cell = feature.cell(numbers="exact")
    return pl.when(cell != "missing").then(cell).alias(name)
