"""Where the records of a CSV or JSON Lines file begin and end, found without holding the file in memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

BLOCK_BYTES = 4 * 2**20
MAX_RECORD_BYTES = 64 * 2**20  # a longer one is a quote that nobody closed
QUOTE, LINE_FEED = b'"\n'


class _Place(NamedTuple):
    """What the bytes before a block say about it."""

    is_quoted: bool = False
    last: int = LINE_FEED  # the byte before
    has_closed: bool = False  # and whether that is a quote which ended a quoted cell


def cut_records(
    path: Path, start: int, num_records: int, *, delimiters: bytes
) -> Iterator[tuple[int, int]]:
    """The byte ranges of consecutive pieces with `num_records` records each; the last one may have fewer.

    Args:
        path: a file of records that end with a line feed.
        start: the byte at which the first record begins.
        num_records: of a piece; blank lines count.
        delimiters: after which a quote opens a quoted cell, whose line breaks belong to it; none: every line is a record.

    Raises:
        ValueError: a quote is never closed.
    """
    begin = last_end = position = start
    count, place = 0, _Place()
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(BLOCK_BYTES):
            ends, place = _find_ends(np.frombuffer(block, np.uint8), place, delimiters)
            for cut in (ends[num_records - count - 1 :: num_records] + position).tolist():
                yield begin, cut
                begin = cut
            count = (count + len(ends)) % num_records
            last_end = position + int(ends[-1]) if len(ends) else last_end
            position += len(block)
            if position - last_end > MAX_RECORD_BYTES:
                raise ValueError(
                    f"{path} has a record of more than {MAX_RECORD_BYTES >> 20} MB after byte {last_end}: probably a "
                    "quote there is never closed; close it, or write it twice inside a quoted cell"
                )
    if begin < position:
        yield begin, position


def _find_ends(block: np.ndarray, place: _Place, delimiters: bytes) -> tuple[np.ndarray, _Place]:
    """The places after the line feeds that end a record, and what is known at the end of the block."""
    ends = np.flatnonzero(block == LINE_FEED) + 1
    if not delimiters:
        return ends, place
    quotes = np.flatnonzero(block == QUOTE)
    before = np.where(quotes > 0, block[quotes - 1], place.last)
    can_open = np.isin(before, list(delimiters + b"\r\n"))
    toggles = _find_toggles(quotes, can_open, place)
    is_inside = (np.searchsorted(toggles, ends) + place.is_quoted) % 2 == 1
    is_quoted = (len(toggles) + place.is_quoted) % 2 == 1
    has_closed = not is_quoted and len(toggles) > 0 and int(toggles[-1]) == len(block) - 1
    return ends[~is_inside], _Place(is_quoted, int(block[-1]), has_closed)


def _find_toggles(quotes: np.ndarray, can_open: np.ndarray, place: _Place) -> np.ndarray:
    """The quotes that open or close a quoted cell; one in the middle of a cell without quotes is a letter like any other."""
    is_opening = (np.arange(len(quotes)) + place.is_quoted) % 2 == 0
    closed_at = -1 if place.has_closed else -2
    # A doubled quote inside a cell reads as "closes, opens again".
    follows_quote = np.diff(quotes, prepend=closed_at) == 1
    if (can_open | follows_quote)[is_opening].all():
        return quotes
    toggles, is_quoted = [], place.is_quoted
    for quote, may_open in zip(quotes.tolist(), can_open.tolist(), strict=True):
        if is_quoted:
            closed_at = quote
        elif not may_open and closed_at != quote - 1:
            continue
        is_quoted = not is_quoted
        toggles.append(quote)
    return np.array(toggles, dtype=np.int64)


def count_lines(path: Path, at_most: int) -> int:
    """Line feeds in a file; counting ends soon after `at_most`."""
    count = 0
    with path.open("rb") as file:
        while count < at_most and (block := file.read(BLOCK_BYTES)):
            count += block.count(b"\n")
    return count
