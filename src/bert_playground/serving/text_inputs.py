"""Texts of a request, and their tokens: what stands around them, pairs, and what is cut."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.templates.text_pair import read_frame, share_room
from bert_playground.data.tokens.token_table import TokenizedTable, concat_tables
from bert_playground.data.tokens.tokenizer import TextTokenizer
from bert_playground.serving.request_error import RequestError, bad_input, too_large


class Text(NamedTuple):
    """A text, or a pair of them."""

    first: str
    second: str | None = None


class Truncation(NamedTuple):
    """What is done with texts that are too long.

    Attributes:
        is_allowed: else they are refused.
        from_left: whether the beginning goes, not the end.
        max_length: most tokens.
    """

    is_allowed: bool
    from_left: bool
    max_length: int


def read_texts(
    inputs: str | Sequence[str] | Sequence[Sequence[str]], max_batch: int
) -> tuple[list[Text], bool]:
    """The texts of "inputs", and whether they are a batch: a text, [text], [first, second], or a list of such lists.

    Raises:
        RequestError: nothing, too many, or lists of another length.
    """
    if isinstance(inputs, str):
        return [require_text(Text(inputs))], False
    if not inputs:
        raise RequestError("Empty", "`inputs` cannot be empty")
    lists = [[each] if isinstance(each, str) else list(each) for each in inputs]
    if all(isinstance(each, str) for each in inputs):
        lists, is_batch = [[str(each) for each in inputs]], False
    else:
        is_batch = True
    require_batch(len(lists), max_batch)
    wrong = next((each for each in lists if len(each) not in (1, 2)), None)
    if wrong is not None:
        raise bad_input(
            f"`inputs` has a list of {len(wrong)} texts, expected one text or a pair; a batch is a list of lists: "
            '[["first text"], ["second text"]]'
        )
    return [require_text(Text(*each)) for each in lists], is_batch


def require_batch(size: int, max_batch: int) -> None:
    """Refuse a batch without texts, or with too many.

    Raises:
        RequestError: as text-embeddings-inference has it.
    """
    if size == 0:
        raise RequestError("Empty", "`inputs` cannot be empty")
    if size > max_batch:
        raise too_large(f"batch size {size} > maximum allowed batch size {max_batch}")


def require_text(text: Text) -> Text:
    """Refuse what cannot be encoded.

    Raises:
        RequestError: half of a UTF-16 pair, or an empty text.
    """
    if not text.first or text.second == "":
        raise RequestError("Empty", "`inputs` cannot be empty")
    for part in text:
        if part is not None and not part.isascii():
            try:
                part.encode()
            except UnicodeEncodeError as error:
                raise bad_input("`inputs` has half of a UTF-16 pair, which is no text") from error
    return text


def tokenize_texts(
    pipeline: TextPipeline, texts: Sequence[Text], truncation: Truncation
) -> TokenizedTable:
    """Token ids of texts as they stand: no template is applied; columns that are read as numbers have none.

    Raises:
        RequestError: a text is too long, and may not be cut.
    """
    pairs = [text for text in texts if text.second is not None]
    if len(pairs) < len(texts):
        singles = [text.first for text in texts if text.second is None]
        whole = iter(_tokenize_singles(pipeline.tokenizer, singles, truncation))
    tables = [
        next(whole) if text.second is None else _tokenize_pair(pipeline.tokenizer, text, truncation)
        for text in texts
    ]
    table = join_tables(tables)
    if pipeline.numbers:
        missing = np.full((table.num_rows, len(pipeline.numbers)), np.nan, dtype=np.float32)
        table = table._replace(numbers=missing)
    return table


def join_tables(tables: Sequence[TokenizedTable]) -> TokenizedTable:
    """Rows of several tables below each other; a row that is no pair has its second text behind its end."""
    if len(tables) == 1:
        return tables[0]
    if any(table.second is not None for table in tables):
        tables = [
            table if table.second is not None else table._replace(second=table.lengths)
            for table in tables
        ]
    return concat_tables(tables)


def _tokenize_singles(
    tokenizer: TextTokenizer, texts: Sequence[str], truncation: Truncation
) -> list[TokenizedTable]:
    around = len(tokenizer.prefix) + len(tokenizer.suffix)
    tables = []
    for ids in tokenizer.encode_texts(texts).rows():
        _require_short(len(ids) + around, truncation)
        (kept,) = _cut([ids], truncation.max_length - around, from_left=truncation.from_left)
        flat = np.concatenate([tokenizer.prefix, kept, tokenizer.suffix]).astype(np.int32)
        tables.append(TokenizedTable(flat, np.array([0, len(flat)])))
    return tables


def _tokenize_pair(tokenizer: TextTokenizer, text: Text, truncation: Truncation) -> TokenizedTable:
    prefix, between, suffix, has_types = read_frame(tokenizer)
    around = len(prefix) + len(between) + len(suffix)
    rows = tokenizer.encode_texts([text.first, text.second or ""]).rows()
    _require_short(sum(map(len, rows)) + around, truncation)
    if sum(map(len, rows)) + around > truncation.max_length:
        rows = _cut(rows, truncation.max_length - around, from_left=truncation.from_left)
    flat = np.concatenate([prefix, rows[0], between, rows[1], suffix]).astype(np.int32)
    start = len(prefix) + len(rows[0]) + len(between)
    second = np.array([start]) if has_types else None
    return TokenizedTable(flat, np.array([0, len(flat)]), second=second)


def _require_short(length: int, truncation: Truncation) -> None:
    if length > truncation.max_length and not truncation.is_allowed:
        raise too_large(
            f'`inputs` must have less than {truncation.max_length} tokens. Given: {length}; set "truncate": true to cut it'
        )


def _cut(rows: Sequence[np.ndarray], room: int, *, from_left: bool) -> list[np.ndarray]:
    """The texts in at most so many tokens; the longer one of two is cut first."""
    if len(rows) == 1:
        kept = [min(room, len(rows[0]))]
    else:
        first, second = (np.array([len(row)]) for row in rows)
        kept = [int(each[0]) for each in share_room(first, second, room)]
    return [
        row[max(0, len(row) - count) :] if from_left else row[:count]
        for row, count in zip(rows, kept, strict=True)
    ]
