"""encode_variant: rows to answer, written in other ways than usual, for test-time augmentation."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from bert_playground.data.augmentation.augmentation import Augmentation, RowChanger, find_faults
from bert_playground.data.templates.row_text import RowText
from bert_playground.data.tokens.token_table import TokenizedTable

VARIANT_SEED = 0  # variants are the same in every run


def encode_variant(
    text: RowText,
    options: Augmentation,
    frame: pl.DataFrame,
    number: int,
    beside: Callable[[pl.DataFrame], np.ndarray | None] = lambda _: None,
) -> TokenizedTable:
    """Token ids of rows to answer, written in another way than usual; the same at every call and for every row.

    Args:
        text: how rows become tokens.
        options: what the model was trained with.
        frame: rows with at least the columns that are read.
        number: of the variant, from 1 on; 0 is the plain row.
        beside: rows as text → the numbers beside it, or None.

    Raises:
        ValueError: nothing of a row can vary.
    """
    if number == 0:
        return text.encode(frame)._replace(numbers=beside(frame))
    varied = options.as_variant()
    if find_faults(varied, text).get("column_shuffle"):
        varied = replace(varied, column_shuffle=0.0)
    if not varied.is_on:
        why = find_faults(replace(varied, column_shuffle=1.0), text)["column_shuffle"]
        raise ValueError(
            f"there is nothing to vary: {why}, and the model was trained without augmentation.templates, column_dropout "
            "or token_masking; leave out --tta"
        )
    # One number for all rows: an answer does not depend on where in the table its row stands.
    rows = np.zeros(frame.height, np.int64)
    changer = RowChanger.of(text, varied, VARIANT_SEED, beside)
    if varied.column_shuffle:
        changer = replace(changer, order=choose_order(len(text.features), number))
    return changer.encode(frame, rows, number)


def choose_order(size: int, number: int) -> tuple[int, ...]:
    """The places of `size` pieces in a variant, another one for each number from 1 on, so far as there are others."""
    others = math.factorial(size) - 1
    generator = np.random.default_rng(VARIANT_SEED)
    seen = {tuple(range(size)): None}
    while len(seen) <= (number - 1) % others + 1:
        seen[tuple(generator.permutation(size).tolist())] = None
    return list(seen)[(number - 1) % others + 1]
