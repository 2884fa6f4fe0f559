"""Augmentation: training rows changed anew in each epoch (order, missing cells, masks, wording, numbers, swaps)."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground.data.augmentation.counter_rng import permutation, row_state, uniform
from bert_playground.data.augmentation.donors import (
    Donors,
    drop_cells,
    fit_donors,
    jitter_numbers,
    swap_noise,
)
from bert_playground.data.reading.table import as_text, require_columns
from bert_playground.data.templates.row_text import RowText
from bert_playground.data.templates.templates import TEMPLATES
from bert_playground.data.templates.wordings import reword
from bert_playground.data.tokens.masking import Masking
from bert_playground.data.tokens.token_table import TokenizedTable, concat_tables, take_rows
from bert_playground.data.tokens.tokenizer import without_remarks
from bert_playground.lookup import look_up

# Share → the most of it that may be asked for.
SHARES = {
    "column_shuffle": 1.0,
    "column_dropout": 0.9,
    "token_masking": 0.9,
    "number_jitter": 1.0,
    "value_swap": 1.0,
}


@dataclass(frozen=True)
class Augmentation:
    """How training rows are changed in each epoch; everything is off at 0, as by default.

    Attributes:
        column_shuffle: the probability that the pieces of a row come in a random order.
        column_dropout: the probability that a cell is missing; it is written as the template writes missing cells.
        token_masking: share of the words that the mask token replaces.
        number_jitter: standard deviation of the distance by which numbers move, in ranks of the training rows: 0.05
            is 5 % of them; see `jitter_numbers`.
        value_swap: the probability that a cell is that of another training row of the same class, or of a target in
            the same tenth.
        templates: names in TEMPLATES; each row is worded by the pipeline's own template or one of these.
    """

    column_shuffle: float = 0.0
    column_dropout: float = 0.0
    token_masking: float = 0.0
    number_jitter: float = 0.0
    value_swap: float = 0.0
    templates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong = [
            f"{name} is {getattr(self, name)} (expected 0 to {highest:g})"
            for name, highest in SHARES.items()
            if not 0 <= getattr(self, name) <= highest
        ]
        if wrong:
            raise ValueError(f"augmentation: {', '.join(wrong)}")

    @property
    def is_on(self) -> bool:
        """Whether anything is changed."""
        return bool(self.templates) or any(getattr(self, name) for name in SHARES)

    @property
    def needs_donors(self) -> bool:
        """Whether cells are taken from other training rows."""
        return self.value_swap > 0 or self.number_jitter > 0

    def as_variant(self) -> Self:
        """What may be done to a row that is to be answered: pieces in any order, and what needs no training rows."""
        return replace(self, column_shuffle=1.0, number_jitter=0.0, value_swap=0.0)

    def describe(self) -> str:
        """One phrase: what is on."""
        on = [f"{name} {getattr(self, name):g}" for name in SHARES if getattr(self, name)]
        return ", ".join(
            [*on, *([f"templates {', '.join(self.templates)}"] * bool(self.templates))]
        )

    def to_dict(self) -> dict[str, Any]:
        """What is on, ready for JSON."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave; keys of other versions are ignored."""
        known = {each.name for each in fields(cls)}
        values = {name: value for name, value in state.items() if name in known}
        return cls(**{**values, "templates": tuple(values.get("templates", ()))})


UNCHANGED = Augmentation()


def check_augmentation(options: Augmentation, text: RowText) -> None:
    """Check that rows of this text can be changed so.

    Raises:
        ValueError: some of it cannot apply; lists all that cannot, each with its reason.
    """
    faults = [f"{name} cannot apply: {why}" for name, why in find_faults(options, text).items()]
    if faults:
        raise ValueError(
            f"augmentation: {'; '.join(faults)}; leave it out of the configuration's section augmentation"
        )


def find_faults(options: Augmentation, text: RowText) -> dict[str, str]:
    """Option → why it cannot apply, of those that are on."""
    asked = {name for name in (*SHARES, "templates") if getattr(options, name)}
    for name in options.templates:
        look_up(TEMPLATES, name, "template")
    faults: dict[str, str] = {}
    if text.form.is_pair:
        faults |= dict.fromkeys(SHARES, "a row is a pair of texts, which has no columns to change")
        faults["templates"] = "a row is a pair of texts, which has no template"
    elif text.form.jinja:
        one_piece = "a Jinja template writes a row as one piece"
        faults = dict.fromkeys(("column_shuffle", "column_dropout", "templates"), one_piece)
    elif text.form.binned or any(TEMPLATES[name].binned for name in options.templates):
        faults["templates"] = (
            "in template 'cells' a known cell is one token, which has no synonym (--template key_value has)"
        )
    if len(text.features) < 2:
        faults.setdefault("column_shuffle", "a row is a single piece")
    if len(text.columns) < 2:
        faults.setdefault("column_dropout", "a row is a single column")
    if all(feature.form != "number" for feature in text.features):
        faults.setdefault("number_jitter", "no column holds numbers")
    faults.pop("token_masking", None)
    if options.token_masking and not _can_mask(text):
        faults["token_masking"] = "the tokenizer has no mask token"
    return {name: why for name, why in faults.items() if name in asked}


@dataclass(frozen=True)
class RowChanger:
    """Rows to token ids, changed; what happens to a row depends on seed, epoch and its number alone.

    Attributes:
        texts: the pipeline's own way to write rows, and the same with other templates.
        options: what is changed.
        seed: of the run.
        masking: tells the mask token and the words that it may replace; None: no words are masked.
        beside: rows as text → the numbers beside it, or None.
        order: where the pieces of every row stand; None: as `options` say.
    """

    texts: tuple[RowText, ...]
    options: Augmentation
    seed: int
    masking: Masking | None
    beside: Callable[[pl.DataFrame], np.ndarray | None]
    order: tuple[int, ...] | None = None

    @classmethod
    def of(
        cls,
        text: RowText,
        options: Augmentation,
        seed: int,
        beside: Callable[[pl.DataFrame], np.ndarray | None] = lambda _: None,
    ) -> Self:
        """The changer for rows of a text; see `check_augmentation`."""
        texts = (text, *(replace(text, form=reword(text.form, name)) for name in options.templates))
        masking = Masking.of(text.tokenizer) if options.token_masking else None
        return cls(texts, options, seed, masking, beside)

    def fit_donors(self, frame: pl.DataFrame, labels: np.ndarray, task: str) -> Donors | None:
        """Training rows to take cells from, where any are taken."""
        if not self.options.needs_donors:
            return None
        text = self.texts[0]
        return fit_donors(as_text(frame.select(text.columns)), labels, task, text.features)

    def encode(
        self,
        frame: pl.DataFrame,
        rows: np.ndarray,
        epoch: int,
        *,
        labels: np.ndarray | None = None,
        donors: Donors | None = None,
    ) -> TokenizedTable:
        """Token ids of changed rows, without labels.

        Args:
            frame: [R] rows with at least the columns that are read.
            rows: [R] their numbers in the table.
            epoch: every one changes rows in another way.
            labels: [R] or [R, L] as numbers, where cells are swapped.
            donors: training rows, where numbers are moved or cells swapped.
        """
        state = row_state(self.seed, epoch, rows)
        with without_remarks():
            return self._encode(self.change_cells(frame, state, labels, donors), state)

    def _encode(self, frame: pl.DataFrame, state: np.ndarray) -> TokenizedTable:
        drawn = (uniform(state, "template") * len(self.texts)).astype(np.int64)
        groups = [np.flatnonzero(drawn == i) for i in range(len(self.texts))]
        parts = [
            text.encode(frame[group], places=self.draw_places(state[group]))
            for text, group in zip(self.texts, groups, strict=True)
            if len(group)
        ]
        table = take_rows(concat_tables(parts), np.concatenate(groups).argsort())
        return self._mask(table, state)._replace(numbers=self.beside(frame))

    def change_cells(
        self,
        frame: pl.DataFrame,
        state: np.ndarray,
        labels: np.ndarray | None,
        donors: Donors | None,
    ) -> pl.DataFrame:
        """The columns that are read, with cells swapped, numbers moved and cells left out."""
        columns = self.texts[0].columns
        require_columns(frame, columns, "the table")
        frame = as_text(frame.select(columns))
        if self.options.value_swap and donors is not None and labels is not None:
            frame = swap_noise(frame, labels, donors, state, self.options.value_swap)
        if self.options.number_jitter and donors is not None:
            frame = jitter_numbers(frame, donors, state, self.options.number_jitter)
        if self.options.column_dropout:
            frame = drop_cells(frame, state, self.options.column_dropout)
        return frame

    def draw_places(self, state: np.ndarray) -> np.ndarray | None:
        """[S, R] where each piece stands in its row; None: all in their order."""
        if self.order is not None:
            return np.tile(np.array(self.order)[:, None], len(state))
        if not self.options.column_shuffle:
            return None
        size = len(self.texts[0].features)
        places = permutation(state, "order", size)
        is_shuffled = uniform(state, "is shuffled") < self.options.column_shuffle
        return np.where(is_shuffled, places, np.arange(size)[:, None])

    def _mask(self, table: TokenizedTable, state: np.ndarray) -> TokenizedTable:
        if self.masking is None:
            return table
        place = np.arange(len(table.ids)) - np.repeat(table.offsets[:-1], table.lengths)
        drawn = uniform(state, "is masked", place, repeats=table.lengths)
        is_masked = (drawn < self.options.token_masking) & self.masking.is_word(table.ids)
        mask = np.int32(self.masking.mask_token_id)
        return table._replace(ids=np.where(is_masked, mask, table.ids))


def change_rows(
    changer: RowChanger, frame: pl.DataFrame, labels: np.ndarray, task: str
) -> Callable[[np.ndarray, int], TokenizedTable]:
    """What `MLXLoader` asks for: numbers of rows, epoch → these rows changed; cells are taken from them alone.

    Args:
        changer: of rows.
        frame: the training rows.
        labels: theirs as numbers.
        task: a name in TASKS.
    """

    def augment(rows: np.ndarray, epoch: int) -> TokenizedTable:
        part, known = frame[rows], labels[rows]
        donors = changer.fit_donors(part, known, task)
        table = changer.encode(part, rows, epoch, labels=known, donors=donors)
        return table._replace(labels=known)

    return augment


def change_chunks(
    changer: RowChanger,
    encode_labels: Callable[[pl.DataFrame], np.ndarray],
    sample: pl.DataFrame,
    task: str,
) -> Callable[[pl.DataFrame, np.ndarray, int], TokenizedTable]:
    """What `StreamingLoader` asks for: chunk, numbers of its rows, epoch → these rows changed.

    Args:
        changer: of rows.
        encode_labels: rows → their labels as numbers.
        sample: the training rows that cells are taken from.
        task: a name in TASKS.
    """
    donors = changer.fit_donors(sample, encode_labels(sample), task)

    def augment(frame: pl.DataFrame, rows: np.ndarray, epoch: int) -> TokenizedTable:
        labels = encode_labels(frame)
        table = changer.encode(frame, rows, epoch, labels=labels, donors=donors)
        return table._replace(labels=labels)

    return augment


def _can_mask(text: RowText) -> bool:
    try:
        Masking.of(text.tokenizer)
    except ValueError:
        return False
    return True
