"""Finding: one way in which a column of a later table differs from that of training, in a sentence; when that is worth one."""

from dataclasses import asdict, dataclass
from math import log, sqrt
from typing import Any

from bert_playground.lookup import count_of

# How unlikely a difference must be if both tables were drawn alike, as a log: one in 1,100 for a column; for a share of
# all rows, of however few, one in 55. Twenty columns with three checks each then rarely give a false alarm.
SURPRISE, SURPRISE_OF_ALL = 7.0, 4.0
# Of the rows, that must be stricken beyond what training had: fewer change no score that anyone reads. What training has
# seen often enough to learn (missing cells) may vary more.
LEAST, LEAST_LEARNED = 0.01, 0.05
LEARNED = 0.01
# A value on this many training rows in the mean is on none of them by chance once in 20 times.
MISSED_ROWS = 3
# Of the rows, that would have to move to make the distributions equal.
LEAST_SHIFT = 0.1
# Smirnov's distance is beyond this / sqrt(rows) for one pair of equal samples in a thousand.
SMIRNOV = 1.95

FEW_ROWS = 20  # of a table, whose shares are counts
KINDS = {"number": "number", "date": "date", "category": "value", "list": "value"}
WORDS = {
    "unreadable": "are no {kind} as training writes it",
    "unseen": "hold values that no training row has",
    "unit": "have a unit or sign that no training row has",
    "missing": "are missing",
    "outside": "are beyond the {kind}s of training",
}


WORDS_OF_ONE = {
    "unreadable": "is no {kind} as training writes it",
    "unseen": "holds a value that no training row has",
    "unit": "has a unit or sign that no training row has",
    "missing": "is missing",
    "outside": "is beyond the {kind}s of training",
}


@dataclass(frozen=True)
class Finding:
    """How a column differs.

    Attributes:
        column: its name.
        what: "respelled", "unreadable", "unseen", "unit", "missing", "outside" or "shifted".
        kind: what the column holds: "number", "date", "value", "text", or "length" of texts.
        rows: of the later table, that are stricken; of "shifted" as many as would have to change.
        share: the same as a share of the rows.
        share_in_training: of the training rows.
        example: a cell now; of "shifted" the median, or the value that has become more frequent.
        example_in_training: a cell then; of "shifted" the median, or the value that has become less frequent.
        read_as: what the model reads instead, where that is not the cell itself.
        importance: how much the column, alone, told of the target in training, 0 to 1; None: not measured.
    """

    column: str
    what: str
    kind: str
    rows: int
    share: float
    share_in_training: float
    example: str | None
    example_in_training: str
    read_as: str | None = None
    importance: float | None = None

    @property
    def is_repaired(self) -> bool:
        """Whether the model reads what is meant."""
        return self.what == "respelled"

    @property
    def harm(self) -> tuple[float, float]:
        """The share of rows that it strikes beyond those of training: by importance, and as it is.

        A column whose importance is not known counts as one that tells all.
        """
        share = self.share - self.share_in_training
        return (1.0 if self.importance is None else self.importance) * share, share

    def say(self, *, is_repaired: bool = True) -> str:
        """One sentence; `is_repaired`: other spellings are read as training's, not as they stand."""
        now = "nothing" if self.example is None else _quote(self.example)
        if self.is_repaired:
            then = _quote(self.read_as or "")
            said = (
                f"is read as {then}, as in training" if is_repaired else f"was {then} in training"
            )
            return f"{self.column}: {now} {said} ({count_of(self.rows, 'row')})"
        if self.what == "shifted":
            word = "more often" if self.kind in ("value", "text") else "in the middle"
            return (
                f"{self.column}: the {self.kind}s are distributed otherwise than in training: {_percent(self.share)} of "
                f"the rows would have to change ({word} now {now}, then {_quote(self.example_in_training)})"
            )
        who = self._who
        words = (WORDS_OF_ONE if who.startswith("the cell") else WORDS)[self.what]
        said = f"{who} {words.format(kind=self.kind)}"
        said += f", {_percent(self.share_in_training)} in training"
        then = _quote(self.example_in_training)
        shown = (
            f" (then such as {then})" if self.what == "missing" else f" (now {now}, then {then})"
        )
        is_read_so = self.read_as is None or not is_repaired
        ending = "" if is_read_so else f"; the model reads {self.read_as}"
        return f"{self.column}: {said}{shown}{ending}"

    @property
    def _who(self) -> str:
        """Whom it strikes: a share of the rows, or of few rows their number."""
        num_rows = round(self.rows / self.share) if self.share else 0
        if not 0 < num_rows <= FEW_ROWS:
            return f"{_percent(self.share)} of the rows"
        if num_rows == 1:
            return "the cell of the only row"
        return (
            f"the cell of 1 of {num_rows} rows"
            if self.rows == 1
            else f"{self.rows} of {num_rows} rows"
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)


def is_surprising(hits: int, rows: int, hits_then: int, rows_then: int) -> bool:
    """Whether a share of rows is larger than in training beyond chance and beyond what matters.

    Chernoff's bound on two samples: the chance is at most exp(-m KL(share now, share then)), with 1/m = 1/rows + 1/rows_then.
    """
    if not hits:
        return False
    share, before = hits / rows, (hits_then + 1) / (rows_then + 2)
    has_learned = hits_then / max(1, rows_then) >= LEARNED
    if share - hits_then / max(1, rows_then) < (LEAST_LEARNED if has_learned else LEAST):
        return False
    if share <= before:
        return False
    divergence = share * log(share / before)
    if share < 1:
        divergence += (1 - share) * log((1 - share) / (1 - before))
    evidence = rows * rows_then / (rows + rows_then) * divergence
    return evidence >= (SURPRISE_OF_ALL if hits == rows else SURPRISE)


def is_shifted(distance: float, rows: int, rows_then: int, num_values: int = 1) -> bool:
    """Whether distributions are further apart than samples of one are, and far enough to matter.

    Args:
        distance: Kolmogorov's of numbers, or the total variation of categories.
        rows: in the later sample.
        rows_then: in training.
        num_values: of a category: each adds to the total variation by chance; 1: numbers.
    """
    if not rows or not rows_then:
        return False
    spread = sqrt(1 / rows + 1 / rows_then)
    by_chance = 0.4 * sqrt(num_values - 1) * spread + SMIRNOV * spread
    return distance >= LEAST_SHIFT + by_chance


def _percent(share: float) -> str:
    text = f"{100 * share:.1f}".removesuffix(".0")
    return f"{text} %" if share in (0, 1) or 0.001 <= share < 0.9995 else f"{100 * share:.2g} %"


def _quote(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else f"{cell[:39]}…")
