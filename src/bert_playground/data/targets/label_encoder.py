"""LabelEncoder: raw labels of one column ↔ numbers, per task."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground.data.columns.parsing import PLAIN, infer_number, read_number
from bert_playground.data.reading.table import as_text
from bert_playground.lookup import look_up, nearest, shorten
from bert_playground.tasks import TASKS

DTYPES = {"int": pl.Int64, "float": pl.Float64, "bool": pl.Boolean, "str": pl.String}


@dataclass(frozen=True)
class LabelEncoder:
    """What was learned of the labels of the training rows.

    Classes are numbered in sorted order (0 < 1, False < True, "no" < "yes"); the last of two is the positive one. Ordinal
    classes are numbered in the order that was given, or by size when they are numbers. Regression targets are standardised, after log1p where `uses_log`.

    Attributes:
        dtype: "int", "float", "bool" or "str": what `decode` gives back.
        classes: of a classification task, in the order of their numbers.
        mean: of the (log) training targets.
        scale: their standard deviation.
        spelling: of numbers such as "$1,250"; see parsing.py.
    """

    task: str
    dtype: str
    classes: tuple[Any, ...] = ()
    uses_log: bool = False
    mean: float = 0.0
    scale: float = 1.0
    spelling: str = PLAIN

    def __post_init__(self) -> None:
        look_up(TASKS, self.task, "task")
        look_up(DTYPES, self.dtype, "type of labels")
        if any(not isinstance(each, str | int | float) for each in self.classes):
            raise ValueError(f"classes are {list(self.classes)!r:.60}, expected words or numbers")
        if self.scale <= 0:
            raise ValueError(f"the scale of the labels is {self.scale}, expected more than 0")
        if TASKS[self.task].is_classification and len(self.classes) < 2:
            raise ValueError(
                f"a {self.task} task has {len(self.classes)} classes, expected 2 or more"
            )

    @classmethod
    def fit(cls, labels: pl.Series, task: str, order: Sequence[str] | None = None) -> Self:
        """Learn from the labels of the training rows.

        Args:
            labels: of the training rows, as text or typed.
            task: binary, multiclass, ordinal or regression.
            order: of ordinal classes, lowest first; None: numbers order themselves.

        Raises:
            ValueError: missing labels, a single class, an order that does not cover them, or a regression target that is
                no number.
        """
        require_labels(labels)
        text = clean_labels(labels)
        dtype = label_dtype(text)
        if not TASKS[task].is_classification:
            spelling = infer_number(text.drop_nulls()) or PLAIN
            values = read_numbers(text, spelling)
            uses_log = is_better_logged(values)
            values = np.log1p(values) if uses_log else values
            scale = float(values.std())
            if scale == 0:
                raise ValueError(
                    f"target {labels.name!r} has the single value {labels[0]}: nothing to learn; check the column"
                )
            return cls(task, "float", (), uses_log, float(values.mean()), scale, spelling)
        if task == "ordinal" and (order is not None or dtype == "str"):
            return cls(task, dtype, _ordered(text, dtype, order))
        classes = _typed(text, dtype).unique().sort().to_list()
        if len(classes) < 2:
            raise ValueError(
                f"target {labels.name!r} has the single class {classes[0]!r} in {len(labels)} rows, expected at "
                "least two; check the column, or give another with --target"
            )
        if task == "binary" and len(classes) != 2:
            raise ValueError(
                f"task binary needs 2 classes, but target {labels.name!r} has {len(classes)}: "
                f"{shorten(map(str, classes))}; use --task multiclass"
            )
        return cls(task, dtype, tuple(classes))

    @property
    def num_labels(self) -> int:
        """Outputs of the head: 1 for two classes and for numbers, else the number of classes."""
        return 1 if self.task == "binary" else max(1, len(self.classes))

    def encode(self, labels: pl.Series) -> np.ndarray:
        """Labels of any table as numbers: [R], int32 class numbers or float32 standardised targets.

        Raises:
            ValueError: missing labels, or ones that the training rows did not have.
        """
        require_labels(labels)
        text = clean_labels(labels)
        if not TASKS[self.task].is_classification:
            values = read_numbers(text, self.spelling)
            if self.uses_log:
                if (values <= -1).any():
                    raise ValueError(
                        f"target {labels.name!r} has {values.min():g}, but all training targets were positive"
                    )
                values = np.log1p(values)
            return ((values - self.mean) / self.scale).astype(np.float32)
        typed = _typed(text, self.dtype)
        known = pl.Series(self.classes, dtype=DTYPES[self.dtype])
        numbers = typed.replace_strict(
            known, pl.Series(range(len(known)), dtype=pl.Int32), default=None, return_dtype=pl.Int32
        )
        if numbers.has_nulls():
            unseen = text.filter(numbers.is_null()).unique().sort().to_list()
            raise ValueError(
                f"target {labels.name!r} has {len(unseen)} label(s) that no training row has: {shorten(unseen)} "
                f"(known: {shorten(map(str, self.classes))}){nearest(unseen[0], map(str, self.classes))}; correct them, or "
                "train on rows that have them"
            )
        return numbers.to_numpy()

    def decode(self, scores: np.ndarray) -> pl.Series:
        """The answers in the words of the training table.

        Args:
            scores: what the head predicts: P(last class) [R], class probabilities [R, L], standardised values [R], or
                their means and deviations [R, 2].

        Returns:
            [R] in the type of the training labels; regression in original units as floats.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if not TASKS[self.task].is_classification:
            return pl.Series(self.in_units(scores))
        if self.task == "ordinal":
            numbers = choose_median(scores)
        else:
            numbers = (
                (scores.reshape(-1) >= 0.5) if self.task == "binary" else scores.argmax(axis=-1)
            )
        return pl.Series(self.classes, dtype=DTYPES[self.dtype])[numbers.astype(np.int64)]

    def in_units(self, scores: np.ndarray) -> np.ndarray:
        """Standardised values [R], or the means of [R, 2], in the units of the target: [R]."""
        values = np.asarray(scores, dtype=np.float64)
        values = (values[:, 0] if values.ndim == 2 else values) * self.scale + self.mean
        return np.expm1(values) if self.uses_log else values

    def deviations_in_units(self, scores: np.ndarray) -> np.ndarray:
        """The standard deviations of [R, 2] in the units of the target: [R].

        A target that was learned as log1p is log-normal: its deviation is e^(m + s^2 / 2) sqrt(e^(s^2) - 1).
        """
        scores = np.asarray(scores, dtype=np.float64)
        means, deviations = scores[:, 0] * self.scale + self.mean, scores[:, 1] * self.scale
        if not self.uses_log:
            return deviations
        variances = np.square(deviations)
        return np.asarray(np.exp(means + variances / 2) * np.sqrt(np.expm1(variances)))

    def probabilities(self, scores: np.ndarray) -> pl.DataFrame:
        """One column of probabilities per class, named by the class.

        Raises:
            ValueError: the task has no classes.
        """
        if not TASKS[self.task].is_classification:
            raise ValueError(
                "probabilities need classes, but the task is regression; leave out --proba"
            )
        scores = np.asarray(scores, dtype=np.float64)
        if self.task == "binary":
            scores = np.stack([1 - scores.reshape(-1), scores.reshape(-1)], axis=1)
        return pl.DataFrame({str(label): scores[:, i] for i, label in enumerate(self.classes)})

    def describe(self) -> str:
        """One phrase: the classes, or how the target was scaled."""
        if self.task == "ordinal":
            return f"classes in order {shorten(map(str, self.classes))}"
        if self.classes:
            return f"classes {shorten(map(str, self.classes))}"
        form = "log1p, as it is positive and skewed, then " if self.uses_log else ""
        return f"learned as {form}standardised (mean {self.mean:.4g}, deviation {self.scale:.4g})"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        return cls(**{**state, "classes": tuple(state["classes"])})


def choose_median(probabilities: np.ndarray) -> np.ndarray:
    """The class in the middle of each row's distribution over ordered classes, which errs by the fewest classes.

    Args:
        probabilities: [R, K].

    Returns:
        [R], the first class with P(y <= k) of at least one half.
    """
    cumulated = np.cumsum(np.asarray(probabilities, dtype=np.float64), axis=1)
    return np.asarray((cumulated >= cumulated[:, -1:] / 2).argmax(axis=1))


def require_labels(labels: pl.Series) -> None:
    """Check that every row has a label.

    Raises:
        ValueError: some have none; the message has their count and the first row numbers (from 1, header apart).
    """
    missing = clean_labels(labels).is_null().arg_true() + 1
    if len(missing):
        raise ValueError(
            f"target {labels.name!r} is missing in {len(missing)} of {len(labels)} rows (rows "
            f"{shorten(map(str, missing))}, counted from 1 below the header); "
            "remove these rows or fill in their labels"
        )


def label_dtype(text: pl.Series) -> str:
    """The narrowest of "bool", "int", "float", "str" that gives each label back as it was written."""
    values = text.unique()
    if values.is_in(["True", "False"]).all():
        return "bool"
    if values.str.contains(r"^(0|-?[1-9]\d{0,17})$").all():
        return "int"
    is_float = values.str.contains(r"^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$").all()
    return "float" if is_float else "str"


def clean_labels(labels: pl.Series) -> pl.Series:
    """Labels as text without surrounding blanks, null where the cell is missing."""
    label = pl.col("label").str.strip_chars()
    missing = label.str.to_lowercase().is_in(["", "?", "nan", "na", "n/a", "#n/a", "null"])
    kept = pl.when(missing).then(None).otherwise(label)
    text = as_text(labels.to_frame()).to_series()
    return text.to_frame("label").select(label=kept).to_series().alias(text.name)


def _typed(text: pl.Series, dtype: str) -> pl.Series:
    if dtype == "bool":
        return text.replace_strict(
            ["True", "False"], [True, False], default=None, return_dtype=pl.Boolean
        )
    if dtype == "int":  # through float, so that a validation table may write 1.0 for 1
        values = text.cast(pl.Float64, strict=False)
        return values.set((values != values.round()).fill_null(False), None).cast(
            pl.Int64, strict=False
        )
    return text.cast(DTYPES[dtype], strict=False)


def _ordered(text: pl.Series, dtype: str, order: Sequence[str] | None) -> tuple[Any, ...]:
    """The given order of the classes in their type.

    Raises:
        ValueError: no order for words, one that is no order, or that lacks classes of the table.
    """
    found = text.unique().sort().to_list()
    example = f"data.class_order: [{', '.join(found)}], or --class-order {','.join(found)}"
    if order is None:
        raise ValueError(
            f"task ordinal needs to know the order of the words in target {text.name!r}: give it lowest first as "
            f"{example} (here in alphabetical order)"
        )
    typed = _typed(pl.Series([str(name).strip() for name in order], dtype=pl.String), dtype)
    classes = typed.to_list()
    faults = []
    if None in classes or len(set(classes)) < len(classes):
        faults.append("it names a class twice, or one of another kind")
    if len(classes) < 2:
        faults.append("it has fewer than two classes")
    missing = sorted(set(_typed(text, dtype).to_list()) - set(classes), key=str)
    if missing:
        faults.append(f"it lacks {shorten(map(str, missing))}")
    if faults:
        raise ValueError(
            f"class order {', '.join(map(str, order))} does not fit target {text.name!r}: {'; '.join(faults)}; "
            f"give all classes once, lowest first, such as {example}"
        )
    return tuple(classes)


def read_numbers(text: pl.Series, spelling: str = PLAIN) -> np.ndarray:
    """Labels as finite numbers, [R] in f64; `spelling` is from `infer_number`."""
    values = text.to_frame("label").select(read_number(pl.col("label"), spelling)).to_series()
    wrong = (values.is_null() | ~values.is_finite().fill_null(False)).arg_true()
    if len(wrong):
        raise ValueError(
            f"target {text.name!r} is no finite number in {len(wrong)} rows, such as row {wrong[0] + 1}: "
            f"{text[int(wrong[0])]!r}; correct them, or use --task multiclass"
        )
    return values.to_numpy().astype(np.float64)


def is_better_logged(values: np.ndarray) -> bool:
    """Whether the targets are positive and their right skew is strong and shrinks under log1p."""
    if values.min() <= 0:
        return False
    skew = _skew(values)
    return skew > 1 and abs(_skew(np.log1p(values))) < skew


def _skew(values: np.ndarray) -> float:
    centred = values - values.mean()
    deviation = centred.std()
    return float((centred**3).mean() / deviation**3) if deviation > 0 else 0.0
