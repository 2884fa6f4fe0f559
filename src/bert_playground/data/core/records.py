"""Where the records of a CSV or JSON Lines file begin and end, found without holding the file in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

BLOCK_BYTES = 4 * 2**20
MAX_RECORD_BYTES = 64 * 2**20  # a longer one is a quote that nobody closed


def cut_records(
    path: Path, start: int, num_records: int, *, may_quote: bool
) -> Iterator[tuple[int, int]]:
    """The byte ranges of consecutive pieces with `num_records` records each; the last one may have fewer.

    Args:
        path: a file of records that end with a line feed.
        start: the byte at which the first record begins.
        num_records: of a piece; blank lines count.
        may_quote: a line break between double quotes belongs to its cell; off: every line is a record.

    Raises:
        ValueError: a quote is never closed.
    """
    begin = last_end = position = start
    count, is_quoted = 0, False
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(BLOCK_BYTES):
            ends, is_quoted = _find_ends(block, may_quote=may_quote, is_quoted=is_quoted)
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


def _find_ends(block: bytes, *, may_quote: bool, is_quoted: bool) -> tuple[np.ndarray, bool]:
    """The places after the line feeds that end a record, and whether a quote is open at the end of the block."""
    values = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(values == ord("\n")) + 1
    if not may_quote:
        return ends, False
    # A doubled quote inside a cell closes and opens again, so counting is enough.
    quotes = np.flatnonzero(values == ord('"'))
    is_inside = (np.searchsorted(quotes, ends) + is_quoted) % 2 == 1
    return ends[~is_inside], (len(quotes) + is_quoted) % 2 == 1


def count_lines(path: Path, at_most: int) -> int:
    """Line feeds in a file; counting ends soon after `at_most`."""
    count = 0
    with path.open("rb") as file:
        while count < at_most and (block := file.read(BLOCK_BYTES)):
            count += block.count(b"\n")
    return count
