"""explain_rows: gradient times input of each token: what spoke for the answer of a row, and what against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
import polars as pl

from bert_playground.inference import Predictor, evaluation_mode
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.tokens import Tokens
from bert_playground.training.report.blocks import Piece
from bert_playground.training.report.spans import Span, locate_tokens, read_pieces

Array = np.ndarray[Any, Any]
BATCH = 16


@dataclass(frozen=True)
class Explained:
    """What the tokens of R rows contributed.

    Attributes:
        columns: [F] of the pieces of the text.
        is_text: [F] whether a piece is free text.
        rows: the pieces of each row.
        spans: of each row's tokens; None: they could not be found in its text.
        values: of each row's tokens: gradient times input.
        max_length: most tokens of a row.
    """

    columns: tuple[str, ...]
    is_text: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    spans: tuple[list[Span] | None, ...]
    values: tuple[Array, ...]
    max_length: int

    def by_column(self) -> dict[str, float]:
        """Column → its share of what all columns contributed, whatever the sign, in the mean over the rows; they sum to 1."""
        sums = []
        for spans, values in zip(self.spans, self.values, strict=True):
            if spans is not None:
                sums.append(np.abs(self._by_piece(spans, values)))
        if not sums:
            return {}
        parts = np.array(sums)
        shares = (parts / np.maximum(parts.sum(axis=1, keepdims=True), 1e-30)).mean(axis=0)
        found: dict[str, float] = {}
        for column, share in zip(self.columns, shares.tolist(), strict=True):
            found[column] = found.get(column, 0.0) + share
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def pieces(self, row: int) -> tuple[Piece, ...]:
        """The text of a row in parts: words of free text and other cells as a whole, each with its weight."""
        spans, texts = self.spans[row], self.rows[row]
        if spans is None:
            return tuple(
                Piece(text, name=name) for text, name in zip(texts, self.columns, strict=True)
            )
        sums = self._by_piece(spans, self.values[row])
        words = [self._words(row, place) for place in range(len(texts))]
        whole = [
            float(each) for each, is_text in zip(sums, self.is_text, strict=True) if not is_text
        ]
        weights = [*whole, *(weight for found in words for _, _, weight in found)]
        most = max(map(abs, weights), default=0.0) or 1.0
        read_to = max((place for place, _, _ in spans if place >= 0), default=-1)
        is_full = len(spans) >= self.max_length
        pieces: list[Piece] = []
        for place, text in enumerate(texts):
            name = self.columns[place]
            if self.is_text[place]:
                is_last = is_full and place >= read_to
                pieces += _cut_words(text, words[place], most, name, is_last=is_last)
            else:
                is_cut = is_full and place > read_to
                weight = None if is_cut else float(sums[place] / most)
                said = text.lstrip()
                if said != text:
                    pieces.append(Piece(text[: len(text) - len(said)]))
                pieces.append(Piece(said, weight, is_cut, name))
        return tuple(pieces)

    def _by_piece(self, spans: Sequence[Span], values: Array) -> Array:
        """[F] the sum over the tokens of each piece."""
        places = np.array([span.piece for span in spans])
        is_there = places >= 0
        return np.bincount(places[is_there], values[is_there], len(self.columns))

    def _words(self, row: int, place: int) -> list[tuple[int, int, float]]:
        """Where each word of a piece begins and ends, and its weight: tokens that touch are one word."""
        spans, text = self.spans[row], self.rows[row][place]
        if spans is None or not self.is_text[place]:
            return []
        found: list[tuple[int, int, float]] = []
        for (piece, start, end), value in zip(spans, self.values[row].tolist(), strict=True):
            if piece != place or start == end:
                continue
            touches = bool(found) and found[-1][1] == start and not text[start].isspace()
            if touches and text[start].isalnum() and text[start - 1].isalnum():
                found[-1] = (found[-1][0], end, found[-1][2] + value)
            else:
                found.append((start, end, value))
        return found


def _cut_words(
    text: str, words: Sequence[tuple[int, int, float]], most: float, name: str, *, is_last: bool
) -> list[Piece]:
    """A text in words and what stands between them; what is behind the last word of a full row was not read."""
    pieces, at = [], 0
    for start, end, weight in words:
        if start > at:
            pieces.append(Piece(text[at:start], name=name))
        pieces.append(Piece(text[start:end], weight / most, name=name))
        at = end
    if at < len(text):
        pieces.append(Piece(text[at:], None, is_last and bool(text[at:].strip()), name))
    return pieces


def explain_rows(predictor: Predictor, frame: pl.DataFrame) -> Explained:
    """Multiply the embedding of each token by the gradient of the answer with respect to it.

    The answer is the log odds of the last of two classes, the logit of the class that is answered, the number, or the
    sum of several logits.

    Args:
        predictor: whose weights are not packed away.
        frame: the rows.
    """
    text = predictor.pipeline
    unlabelled = text.watch_drift().read(frame).drop(text.targets, strict=False)
    loader = text.make_loader(unlabelled, batch_size=BATCH)
    values: dict[int, Array] = {}
    with evaluation_mode(predictor.model):
        for batch in loader:
            found = _contributions(predictor.model, batch.tokens)
            values |= dict(zip(np.array(batch.rows).tolist(), found, strict=True))
    rows = read_pieces(text, unlabelled)
    return Explained(
        tuple(feature.column for feature in text.features),
        tuple(feature.is_text for feature in text.features),
        tuple(rows),
        tuple(locate_tokens(text, rows, loader.table)),
        tuple(values[row] for row in range(len(rows))),
        text.max_length,
    )


def _contributions(model: BertWithHead, tokens: Tokens) -> list[Array]:
    """Of each row, gradient times input of its tokens."""
    encoder = model.encoder
    embedded = encoder.embeddings.words(tokens.input_ids, encoder.dtype)
    if encoder.num_numbers:
        embedded = embedded + encoder.numbers(tokens, encoder.dtype)

    def answer(added: mx.array) -> mx.array:
        logits = model(tokens._replace(added=added))
        return _choose(logits, model.head.task).astype(mx.float32).sum()

    gradient = mx.grad(answer)(mx.zeros_like(embedded))
    products = (gradient.astype(mx.float32) * embedded.astype(mx.float32)).sum(axis=-1)
    mx.eval(products)
    flat = np.array(products)
    if tokens.cu_seqlens is not None:
        return np.split(flat, np.array(tokens.cu_seqlens)[1:-1])
    if tokens.attention_mask is None:
        return list(flat)
    return [row[mask] for row, mask in zip(flat, np.array(tokens.attention_mask) > 0, strict=True)]


def _choose(logits: mx.array, task: str) -> mx.array:
    """[B] what is explained of each row."""
    if logits.ndim == 1:
        return logits
    if task == "multiclass":
        return logits.max(axis=-1)
    return logits[:, 0] if task == "regression" else logits.sum(axis=-1)
