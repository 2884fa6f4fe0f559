"""Text pairs: two columns as [CLS] a [SEP] b [SEP], with token types where the tokenizer's family has them."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from bert_playground.data.columns.dictionary_encoding import DictionaryColumn
from bert_playground.data.reading.table import require_columns
from bert_playground.data.templates.features import Feature, humanise
from bert_playground.data.templates.templates import Template
from bert_playground.data.tokens.token_table import (
    TokenizedTable,
    cut_rows,
    gather_rows,
    join_segments,
    repeat_ids,
)
from bert_playground.data.tokens.tokenizer import TextTokenizer, makes_remarks
from bert_playground.logger import logger

PAIR = Template("{value}", between="", missing="skipped", separated=True, is_pair=True)


def pair_features(frame: pl.DataFrame, columns: Sequence[str]) -> tuple[Feature, ...]:
    """The two texts, and nothing else.

    Raises:
        ValueError: not two different columns, or ones that the table lacks.
    """
    if len(set(columns)) != 2:
        raise ValueError(
            f"data.text_pair names {list(columns)}, expected two different columns, such as [title, body]"
        )
    require_columns(frame, list(columns), "the training table")
    labels = [humanise(name) for name in columns]
    labels = labels if labels[0] != labels[1] else list(columns)
    return tuple(Feature(name, label, "text") for name, label in zip(columns, labels, strict=True))


def encode_pair(
    tokenizer: TextTokenizer, columns: Sequence[DictionaryColumn], max_length: int
) -> TokenizedTable:
    """Ids of rows of two texts; of a row that is too long, the longer text is cut until both are equally long.

    Args:
        tokenizer: says what stands before, between and after the texts, and whether the second has a type of its own.
        columns: both texts of each row.
        max_length: most tokens of a row.

    Returns:
        The rows, `second` filled in where tokens of the second text and what follows are of type 1.

    Raises:
        ValueError: not two texts, or no room for any of them.
    """
    if len(columns) != 2:
        raise ValueError(f"a text pair has two texts, got {len(columns)}; see data.text_pair")
    prefix, between, suffix, has_types = read_frame(tokenizer)
    num_special = len(prefix) + len(between) + len(suffix)
    room = max_length - num_special
    if room < 2:
        raise ValueError(
            f"max_length {max_length} leaves no room beside {num_special} special tokens"
        )
    distinct, numbers = tokenizer.encode_cells(columns, room + 1)
    if room % 2 and (distinct.lengths[numbers] > room).all(axis=0).any():
        # The odd token is for the longer one of two texts that are both too long, so they are counted to their ends.
        distinct, numbers = tokenizer.encode_cells(columns)
    first, second = (gather_rows(distinct, each) for each in numbers)
    num_cut = int((first.lengths + second.lengths > room).sum())
    if num_cut and makes_remarks():
        logger.info(
            f"{num_cut} of {first.num_rows} pairs are longer than {max_length} tokens: the longer text is cut; raise "
            "data.max_length to keep more"
        )
    kept = share_room(first.lengths, second.lengths, room)
    rows = join_segments(
        [
            repeat_ids(prefix, first.num_rows),
            cut_rows(first, kept[0]),
            repeat_ids(between, first.num_rows),
            cut_rows(second, kept[1]),
            repeat_ids(suffix, first.num_rows),
        ]
    )
    starts = len(prefix) + kept[0] + len(between)
    return rows._replace(second=starts if has_types else None)


def share_room(first: np.ndarray, second: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """How many tokens of each text are kept, [R] each: the longer one is cut first, as the tokenizers library does."""
    short, long = np.minimum(first, second), np.maximum(first, second)
    is_over = short + long > room
    long = np.where(is_over, np.maximum(short, room - short), long)
    is_still_over = short + long > room
    short = np.where(is_still_over, room // 2, short)
    long = np.where(is_still_over, room - room // 2, long)
    is_first_longer = first > second
    return np.where(is_first_longer, long, short), np.where(is_first_longer, short, long)


def read_frame(
    tokenizer: TextTokenizer,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], bool]:
    """The ids before, between and after two texts, and whether the second one is of type 1."""
    whole = tokenizer.tokenizer
    bare = [whole.encode(text, add_special_tokens=False).ids for text in ("a", "b")]
    pair = whole.encode("a", "b", add_special_tokens=True)
    start = len(tokenizer.prefix)
    middle = start + len(bare[0])
    end = next(
        place
        for place in range(middle, len(pair.ids))
        if pair.ids[place : place + len(bare[1])] == bare[1]
    )
    after = end + len(bare[1])
    return (
        tuple(pair.ids[:start]),
        tuple(pair.ids[middle:end]),
        tuple(pair.ids[after:]),
        pair.type_ids[end] == 1,
    )
