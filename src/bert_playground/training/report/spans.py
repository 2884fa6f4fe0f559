"""locate_tokens: which letters of which piece of a row's text each token came from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from bert_playground.data.templates.row_text import RowText
from bert_playground.data.templates.text_pair import read_frame, share_room
from bert_playground.data.tokens.token_table import TokenizedTable


class Span(NamedTuple):
    """The letters of one token: of which piece of the row, from 0 on, and where in it; piece -1: none, as of [CLS]."""

    piece: int
    start: int = 0
    end: int = 0


SPECIAL = Span(-1)
Found = tuple[list[int], list[Span]]  # ids, and the span of each


def read_pieces(text: RowText, frame: pl.DataFrame) -> list[tuple[str, ...]]:
    """The pieces of each row's text, one for each feature."""
    return list(zip(*(column.rows().to_list() for column in text.cells(frame)), strict=True))


def locate_tokens(
    text: RowText, rows: Sequence[tuple[str, ...]], table: TokenizedTable
) -> list[list[Span] | None]:
    """The span of each token of each row; None of a row whose ids cannot be made again.

    Args:
        text: how rows are read.
        rows: the pieces of each row.
        table: the ids of these rows.
    """
    pieces = list(dict.fromkeys(piece for row in rows for piece in row))
    known = dict(zip(pieces, _encode(text, pieces), strict=True))
    frame = read_frame(text.tokenizer) if text.form.is_pair else None
    found = []
    for row, ids in zip(rows, table.rows(), strict=True):
        parts = [known[piece] for piece in row]
        if frame is not None:
            made = _join_pair(parts, frame, text.max_length)
        else:
            made = _join_pieces(text, parts)
        spans = _match(text, made, ids)
        if spans is None and frame is None:
            spans = _match(text, _read_whole(text, row), ids)
        found.append(spans)
    return found


def _encode(text: RowText, pieces: Sequence[str]) -> list[Found]:
    """Ids and spans of pieces, as if each were piece 0."""
    encoded = text.tokenizer.tokenizer.encode_batch(list(pieces), add_special_tokens=False)
    return [(each.ids, [Span(0, *offsets) for offsets in each.offsets]) for each in encoded]


def _number(spans: Sequence[Span], piece: int) -> list[Span]:
    return [span._replace(piece=piece) for span in spans]


def _join_pieces(text: RowText, parts: Sequence[Found]) -> Found:
    """What stands between prefix and suffix, the latter also between pieces where they are separated."""
    ids: list[int] = []
    spans: list[Span] = []
    for place, (own, where) in enumerate(parts):
        if place and text.form.separated:
            ids += text.tokenizer.suffix
            spans += [SPECIAL] * len(text.tokenizer.suffix)
        ids += own
        spans += _number(where, place)
    return ids, spans


def _join_pair(
    parts: Sequence[Found],
    frame: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], bool],
    max_length: int,
) -> Found:
    """Two texts as `encode_pair` joins them, without what stands before and after."""
    prefix, between, suffix, _ = frame
    room = max_length - len(prefix) - len(between) - len(suffix)
    (first, where), (second, there) = parts
    shares = share_room(np.array([len(first)]), np.array([len(second)]), room)
    kept = [int(share[0]) for share in shares]
    return (
        [*first[: kept[0]], *between, *second[: kept[1]]],
        [*where[: kept[0]], *([SPECIAL] * len(between)), *_number(there[: kept[1]], 1)],
    )


def _read_whole(text: RowText, row: Sequence[str]) -> Found:
    """Ids of the joined text, for tokenizers whose tokens reach from one piece into the next."""
    ((ids, spans),) = _encode(text, ["".join(row)])
    ends = np.cumsum([len(piece) for piece in row])
    placed = []
    for _, start, end in spans:
        # A token that begins with the blank before a word belongs to the word.
        piece = min(int(np.searchsorted(ends, max(start, end - 1), side="right")), len(row) - 1)
        begin = int(ends[piece]) - len(row[piece])
        placed.append(Span(piece, max(0, start - begin), end - begin))
    return ids, placed


def _match(text: RowText, made: Found, ids: np.ndarray) -> list[Span] | None:
    """The spans of a row's ids, prefix and suffix included; a row that was cut has fewer than were made."""
    before, after = len(text.tokenizer.prefix), len(text.tokenizer.suffix)
    size = len(ids) - before - after
    if made[0][:size] != ids[before : before + size].tolist():
        return None
    return [SPECIAL] * before + made[1][:size] + [SPECIAL] * after
