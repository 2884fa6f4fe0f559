"""Load or train a tokenizer; tokenize each distinct segment once."""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from tokenizers import (
    Encoding,
    Tokenizer,
)

from bert_playground.data.columns.dictionary_encoding import (
    DictionaryColumn,
    dictionary_encode,
    join_cells,
    pick_rows,
)
from bert_playground.data.tokens.token_table import (
    TokenizedTable,
    concat_tables,
    cut_rows,
    gather_rows,
    join_numbered,
    join_segments,
    offsets_of,
    repeat_ids,
)
from bert_playground.data.tokens.tokenizer_document import check_tokenizer
from bert_playground.data.tokens.wordpiece import read_vocabulary, train_wordpiece
from bert_playground.logger import logger
from bert_playground.lookup import nearest, shorten

PAD_NAMES = ("[PAD]", "<pad>", "<|padding|>", "<|endoftext|>")
LETTERS_PER_TOKEN = 16  # a text is looked at from so many on for each token that matters
MARGIN = 64  # letters at the end of a beginning whose ids may change
LONG_CHUNK = 64
MAX_AROUND = 256  # tokens of a text of one letter
CHUNK = 512  # texts per call into the tokenizer: its answers take a hundred bytes for each token
_is_quiet: ContextVar[bool] = ContextVar("is_quiet", default=False)


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer with what surrounds every row.

    Attributes:
        tokenizer: of the Rust library; it neither pads nor truncates.
        prefix: ids before a row, such as [CLS].
        suffix: ids after a row, such as [SEP].
        pad_token_id: fills padded batches.
    """

    tokenizer: Tokenizer
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad_token_id: int

    @classmethod
    def wrap(cls, tokenizer: Tokenizer) -> Self:
        """Read prefix, suffix and pad id off a tokenizer, and take its own padding and truncation away."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        tokenizer.no_padding()
        tokenizer.no_truncation()
        bare = tokenizer.encode("a", add_special_tokens=False).ids
        full = tokenizer.encode("a", add_special_tokens=True).ids
        places = (i for i in range(len(full) + 1) if full[i : i + len(bare)] == bare)
        start = next(places, None)
        if start is None or len(full) > MAX_AROUND:
            raise ValueError(
                f"what it puts around a text cannot be told apart from it: {len(full)} tokens"
            )
        pad_ids = [tokenizer.token_to_id(name) for name in PAD_NAMES]
        pad_token_id = next((pad for pad in pad_ids if pad is not None), 0)
        # A cell that spells "[SEP]" is text like any other.
        tokenizer.encode_special_tokens = True
        return cls(tokenizer, tuple(full[:start]), tuple(full[start + len(bare) :]), pad_token_id)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load tokenizer.json, or a BERT vocab.txt, of a checkpoint folder.

        Raises:
            ValueError: the folder has neither, or the file is damaged.
        """
        path = folder / "tokenizer.json"
        if path.exists():
            check_tokenizer(path)
            try:
                return cls.wrap(Tokenizer.from_file(str(path)))
            except (KeyboardInterrupt, SystemExit, MemoryError):
                raise
            except (
                BaseException
            ) as error:  # the Rust library raises the bare class, and panics of its own
                raise ValueError(f"{path} is no tokenizer: {error}; fetch it again") from error
        if (folder / "vocab.txt").exists():
            return cls.wrap(read_vocabulary(folder))
        there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        raise ValueError(
            f"{folder} has no tokenizer.json or vocab.txt{nearest('tokenizer.json', there)} "
            f"(it has: {', '.join(there) or 'nothing'}); give a folder with the tokenizer of the checkpoint"
        )

    @property
    def vocab_size(self) -> int:
        """Rows that the embedding needs: the largest id that can come + 1, of what stands around a row too."""
        entries = self.tokenizer.get_vocab(with_added_tokens=True).values()
        around = (*self.prefix, *self.suffix, self.pad_token_id)
        return max(max(entries, default=0), *around) + 1

    @property
    def added_tokens(self) -> dict[int, str]:
        """What was added to the vocabulary that the tokenizer was trained with, by id."""
        added = self.tokenizer.get_added_tokens_decoder()
        return {number: token.content for number, token in added.items()}

    def to_json(self) -> str:
        """The tokenizer as tokenizer.json has it."""
        return str(self.tokenizer.to_str(pretty=True))

    def spell(self, ids: Iterable[int]) -> list[str]:
        """The vocabulary's entries with these ids."""
        return [str(self.tokenizer.id_to_token(int(number))) for number in ids]

    def read(self, ids: Sequence[int]) -> str:
        """The text that these ids spell, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def number_of(self, entries: Iterable[str]) -> list[int | None]:
        """The ids of entries of the vocabulary; None of one that it lacks."""
        return [self.tokenizer.token_to_id(entry) for entry in entries]

    def encode_texts(self, texts: Sequence[str], enough: int | None = None) -> TokenizedTable:
        """Ids of each text, without prefix and suffix.

        Args:
            texts: any.
            enough: only so many ids of each text matter; of texts with many more, some of the others are missing.
        """
        if enough is None or max(map(len, texts), default=0) <= enough * LETTERS_PER_TOKEN:
            return self._encode_whole(texts)
        is_long = [len(text) > enough * LETTERS_PER_TOKEN for text in texts]
        short = self._encode_whole(
            [text for text, skip in zip(texts, is_long, strict=True) if not skip]
        )
        long = list(itertools.compress(texts, is_long))
        chunks = (long[i : i + LONG_CHUNK] for i in range(0, len(long), LONG_CHUNK))
        parts = [self._encode_starts(chunk, enough) for chunk in chunks]
        order = np.argsort(np.argsort(is_long, kind="stable"))
        return gather_rows(concat_tables([short, *parts]), order)

    def _encode_starts(self, texts: list[str], enough: int) -> TokenizedTable:
        """The first so many ids of long texts, found by looking at longer and longer beginnings."""
        found: dict[int, list[int]] = {}
        size, longest = enough * LETTERS_PER_TOKEN, max(map(len, texts))
        while len(found) < len(texts):
            rest = [i for i in range(len(texts)) if i not in found]
            cut = [texts[i][:size] for i in rest]
            with _errors_named():
                starts = self.tokenizer.encode_batch(cut, add_special_tokens=False)
            for i, start in zip(rest, starts, strict=True):
                final = size - max(MARGIN, self.longest_entry)
                if size >= len(texts[i]) or _count_final(start, final) >= enough:
                    found[i] = start.ids[:enough]
            size = min(4 * size, longest)
        ids = [found[i] for i in range(len(texts))]
        flat = np.fromiter(itertools.chain.from_iterable(ids), dtype=np.int32)
        return TokenizedTable(flat, offsets_of(np.fromiter(map(len, ids), dtype=np.int64)))

    def _encode_whole(self, texts: Sequence[str]) -> TokenizedTable:
        pieces, lengths = [np.empty(0, dtype=np.int32)], [np.zeros(1, dtype=np.int64)]
        for start in range(0, len(texts), CHUNK):
            chunk = list(texts[start : start + CHUNK])
            with _errors_named():
                encoded = self.tokenizer.encode_batch_fast(chunk, add_special_tokens=False)
            ids = [encoding.ids for encoding in encoded]
            lengths.append(np.fromiter(map(len, ids), dtype=np.int64, count=len(ids)))
            flat = itertools.chain.from_iterable(ids)
            pieces.append(np.fromiter(flat, dtype=np.int32, count=int(lengths[-1].sum())))
        return TokenizedTable(np.concatenate(pieces), np.cumsum(np.concatenate(lengths)))

    @cached_property
    def longest_entry(self) -> int:
        """Letters of the longest entry that is found in a text as it stands, blanks included."""
        added = self.tokenizer.get_added_tokens_decoder().values()
        return max((len(token.content) for token in added), default=0)

    def encode_cells(
        self, columns: Sequence[DictionaryColumn], enough: int | None = None
    ) -> tuple[TokenizedTable, np.ndarray]:
        """Ids of the distinct cells of all columns, and which of them each row has: [columns, R].

        Args:
            columns: of R rows each.
            enough: see `encode_texts`.
        """
        starts = offsets_of(np.array([len(column.values) for column in columns]))
        texts = dictionary_encode(pl.concat([column.values.rename("cells") for column in columns]))
        distinct = self.encode_texts(
            texts.values.to_list(), enough
        )  # at once: its threads wake once
        codes = np.stack([column.indices for column in columns]) + starts[:-1, None]
        return distinct, texts.indices[codes]

    def encode_rows(
        self,
        columns: Sequence[DictionaryColumn],
        max_length: int,
        *,
        separated: bool = False,
        places: np.ndarray | None = None,
    ) -> TokenizedTable:
        """Ids of rows given in pieces, with prefix and suffix, cut to `max_length`.

        Each distinct piece is tokenised once. That gives the ids of the whole text wherever pieces meet between
        words; a sample of rows is compared, and when one differs all rows are tokenised whole.

        Args:
            columns: the pieces of each row.
            max_length: most tokens of a row; what is beyond goes, the last pieces first, and it is said.
            separated: the suffix (a [SEP]) stands between the pieces too.
            places: [columns, R] where each piece stands in its row, from 0 on; None: in the order given.

        Raises:
            ValueError: `max_length` leaves no room.
        """
        room = self._find_room(max_length)
        enough = room + 1  # one more tells that a row is cut
        distinct, numbers = self.encode_cells(columns, enough)
        lengths = distinct.lengths[numbers]  # [columns, R]
        if places is not None:
            numbers = np.take_along_axis(numbers, places.argsort(axis=0), axis=0)
        if separated:
            distinct, numbers = self._separate(distinct, numbers)
            is_first = np.arange(len(columns))[:, None] == 0 if places is None else places == 0
            lengths = np.where(is_first, lengths, lengths + len(self.suffix))
        is_sure = separated or len(columns) == 1
        if not is_sure and not self._agrees(columns, distinct, numbers, places, enough):
            logger.debug("pieces do not meet between words for this tokenizer: rows are read whole")
            rows = self.encode_texts(join_cells(columns, places).to_list(), enough)
            return self._finish(rows, max_length, {})
        if (lengths.sum(axis=0) <= room).all():
            return self._join_whole(distinct, numbers)
        names = [column.values.name for column in columns]
        rows = join_numbered(distinct, numbers)
        return self._finish(rows, max_length, dict(zip(names, lengths, strict=True)))

    def _join_whole(self, distinct: TokenizedTable, numbers: np.ndarray) -> TokenizedTable:
        """Rows of numbered pieces, prefix and suffix, at one go as nothing is cut."""
        start = np.full((1, numbers.shape[1]), distinct.num_rows)
        ends = [repeat_ids(ids, 1) for ids in (self.prefix, self.suffix)]
        numbers = np.concatenate([start, numbers, start + 1])
        return join_numbered(concat_tables([distinct, *ends]), numbers)

    def _separate(
        self, distinct: TokenizedTable, numbers: np.ndarray
    ) -> tuple[TokenizedTable, np.ndarray]:
        """The suffix as one more text, and between all pieces of a row."""
        between = np.full_like(numbers, distinct.num_rows)
        numbers = np.stack([between, numbers], axis=1).reshape(-1, numbers.shape[1])[1:]
        return concat_tables([distinct, repeat_ids(self.suffix, 1)]), numbers

    def _agrees(
        self,
        columns: Sequence[DictionaryColumn],
        distinct: TokenizedTable,
        numbers: np.ndarray,
        places: np.ndarray | None,
        enough: int,
    ) -> bool:
        """Whether some rows, evenly drawn, have the ids of their whole texts as far as they are kept."""
        num_rows = numbers.shape[1]
        sample_size = min(200, max(32, num_rows // 32), num_rows)
        sample = np.unique(np.linspace(0, num_rows - 1, sample_size).astype(np.int64))
        texts = join_cells(
            pick_rows(columns, sample),
            None if places is None else places[:, sample],
        )
        tables = (
            self.encode_texts(texts.to_list(), enough),
            join_numbered(distinct, numbers[:, sample]),
        )
        whole, joined = (cut_rows(each, np.minimum(each.lengths, enough)) for each in tables)
        return np.array_equal(whole.ids, joined.ids) and np.array_equal(
            whole.offsets, joined.offsets
        )

    def _find_room(self, max_length: int) -> int:
        room = max_length - len(self.prefix) - len(self.suffix)
        if room < 1:
            raise ValueError(
                f"max_length {max_length} leaves no room beside {len(self.prefix) + len(self.suffix)} special tokens"
            )
        return room

    def _finish(
        self, rows: TokenizedTable, max_length: int, lengths: Mapping[str, np.ndarray]
    ) -> TokenizedTable:
        """Cut the rows and put prefix and suffix around them; `lengths` are those of each row's pieces, by name."""
        room = self._find_room(max_length)
        if (rows.lengths > room).any() and makes_remarks():
            logger.info(_describe_cut(rows.lengths, max_length, room, lengths))
        kept = np.minimum(rows.lengths, room)
        body = cut_rows(rows, kept)
        return join_segments(
            [repeat_ids(self.prefix, len(kept)), body, repeat_ids(self.suffix, len(kept))]
        )


def _count_final(start: Encoding, size: int) -> int:
    """Ids of a text's beginning that more text cannot change: they lie before `size` letters and the last two words."""
    words = np.array(start.word_ids, dtype=np.float64)  # None, of an entry that is no word, as NaN
    ends = np.array([end for _, end in start.offsets])
    is_final = (words < np.nanmax(words, initial=-1) - 1) & (ends <= size)
    return len(is_final) if is_final.all() else int(is_final.argmin())


@contextmanager
def _errors_named() -> Iterator[None]:
    """A ValueError for what the Rust library raises as a bare Exception, such as an unknown word without an entry for such."""
    try:
        yield
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise ValueError(
            f"the tokenizer cannot read a text: {error}; its tokenizer.json was changed or damaged, copy the checkpoint again"
        ) from error


@contextmanager
def without_remarks() -> Iterator[None]:
    """Inside the block nothing is said of columns and rows: for chunks, whose table was looked at before."""
    token = _is_quiet.set(True)
    try:
        yield
    finally:
        _is_quiet.reset(token)


def makes_remarks() -> bool:
    """Whether what is done to a table, such as cutting its rows, is to be said."""
    return not _is_quiet.get()


def _describe_cut(
    totals: np.ndarray, max_length: int, room: int, lengths: Mapping[str, np.ndarray]
) -> str:
    """How many rows are cut, and what they lose: the last pieces go first."""
    cuts, end = [], np.zeros_like(totals)
    for name, length in lengths.items():
        start, end = end, end + length
        cut, gone = (
            int(((start < room) & (end > room)).sum()),
            int(((start >= room) & (length > 0)).sum()),
        )
        cuts += [f"{name} cut on {cut}"] if cut else []
        cuts += [f"{name} dropped on {gone}"] if gone else []
    lost = f": {shorten(cuts, 6)}" if cuts else ""
    return (
        f"{int((totals > room).sum())} of {len(totals)} rows are longer than {max_length} tokens{lost}; raise "
        "data.max_length to keep more"
    )


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, cells: Sequence[str] = ()
) -> TextTokenizer:
    """A tokenizer with a vocabulary of these texts; see `train_wordpiece`."""
    return TextTokenizer.wrap(train_wordpiece(texts, vocab_size, cells))
