"""check_submission: everything that a competition would refuse, or score by mistake, looked for before a file is sent."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bert_playground.data.kaggle.submission import compare_ids
from bert_playground.data.reading.table import read_table
from bert_playground.lookup import count_of, shorten

MOST_CLASSES = 200  # different words in a sample's column that may be its classes


@dataclass(frozen=True)
class SubmissionCheck:
    """What was found.

    Attributes:
        rows: of the file.
        columns: of the file.
        faults: for which it should not be sent.
        doubts: that a person should look at.
    """

    rows: int
    columns: tuple[str, ...]
    faults: tuple[str, ...]
    doubts: tuple[str, ...]

    def refuse_faults(self, path: Path, sample: Path) -> None:
        """Stop where there are faults.

        Raises:
            ValueError: all of them are listed.
        """
        if self.faults:
            listed = "".join(f"\n  - {fault}" for fault in self.faults)
            raise ValueError(
                f"{path} is not sent, as it does not fit the sample submission {sample}:{listed}"
            )


def check_submission(path: Path, sample: Path) -> SubmissionCheck:
    """Compare a file with the sample submission: columns, ids and their order, types, ranges, missing values, decimals.

    Raises:
        FileNotFoundError: one of them is not there.
        ValueError: one of them cannot be read.
    """
    ours, theirs = read_table(path), read_table(sample)
    faults = list(_compare_columns(ours, theirs))
    doubts: list[str] = []
    shared = [name for name in theirs.columns if name in ours.columns]
    if not shared:
        return SubmissionCheck(ours.height, tuple(ours.columns), tuple(faults), ())
    id_column = theirs.columns[0]
    if ours.height != theirs.height:
        faults.append(f"it has {count_of(ours.height, 'row')}, expected {theirs.height}")
    if id_column in ours.columns:
        faults += _check_ids(ours[id_column], theirs[id_column])
    for name in shared:
        if name != id_column or len(theirs.columns) == 1:
            found, doubted = _check_answers(ours[name], theirs[name])
            faults += found
            doubts += doubted
    return SubmissionCheck(ours.height, tuple(ours.columns), tuple(faults), tuple(doubts))


def find_sample(folder: Path, known: str | None = None) -> Path | None:
    """The sample submission among the files of a competition: the known one, or the only one whose name says so."""
    if known and (folder / known).is_file():
        return folder / known
    found = sorted(
        path
        for path in folder.glob("*")
        if "submission" in path.name.lower() and ".csv" in path.suffixes
    )
    samples = [path for path in found if "sample" in path.name.lower()] or found
    return samples[0] if len(samples) == 1 else None


def _compare_columns(ours: pl.DataFrame, theirs: pl.DataFrame) -> Iterator[str]:
    lacking = [name for name in theirs.columns if name not in ours.columns]
    extra = [name for name in ours.columns if name not in theirs.columns]
    if lacking:
        yield f"it lacks the columns {shorten(lacking)}"
    if extra:
        yield f"it has the columns {shorten(extra)}, which the sample does not have"
    if not lacking and not extra and ours.columns != theirs.columns:
        yield f"its columns stand as {shorten(ours.columns)}, expected {shorten(theirs.columns)}"


def _check_ids(ours: pl.Series, theirs: pl.Series) -> list[str]:
    empty = ours.null_count()
    if empty:
        return [f"{count_of(empty, 'row')} without an id in column {ours.name!r}"]
    again = ours.filter(ours.is_duplicated()).unique(maintain_order=True)
    if len(again) and not theirs.is_duplicated().any():
        return [f"{count_of(len(again), 'id')} on several rows, such as {again[0]!r}"]
    return compare_ids(ours, theirs)


def _check_answers(ours: pl.Series, theirs: pl.Series) -> tuple[list[str], list[str]]:
    name = ours.name
    empty = ours.null_count()
    if empty and not theirs.null_count():
        row = int(ours.is_null().arg_true()[0])
        return [f"{name!r} is missing in {count_of(empty, 'row')}, the first is row {row + 1}"], []
    known, given = _as_numbers(theirs), _as_numbers(ours)
    if known is None:
        return _check_words(ours, theirs), []
    if given is None:
        wrong = ours.drop_nulls().filter(
            ours.drop_nulls().cast(pl.Float64, strict=False).is_null()
        )[0]
        return [f"{name!r} holds {wrong!r}, expected numbers such as {theirs.drop_nulls()[0]}"], []
    is_finite = given.drop_nulls().is_finite()
    if not is_finite.all():
        row = int((~given.fill_null(0.0).is_finite()).arg_true()[0])
        return [f"{name!r} is {ours[row]} in row {row + 1}, expected a finite number"], []
    faults = _check_spelling(ours, theirs, given, known)
    return faults, [] if faults else _doubt_range(name, given, known)


def _check_words(ours: pl.Series, theirs: pl.Series) -> list[str]:
    known = set(theirs.drop_nulls().unique())
    other = sorted(set(ours.drop_nulls().unique()) - known)
    lowered = {word.lower(): word for word in known}
    respelled = [word for word in other if word.lower() in lowered]
    if respelled:
        words = ", ".join(f"{word!r} for {lowered[word.lower()]!r}" for word in respelled[:3])
        return [f"{ours.name!r} spells its classes otherwise: {words}"]
    numbers = [word for word in other if _is_number(word)]
    if numbers and not any(map(_is_number, known)) and len(known) <= MOST_CLASSES:
        return [f"{ours.name!r} holds {numbers[0]!r}, expected words such as {min(known)!r}"]
    return []


def _check_spelling(
    ours: pl.Series, theirs: pl.Series, given: pl.Series, known: pl.Series
) -> list[str]:
    """Whole numbers that are written with decimals are classes that Kaggle does not know."""
    asks_whole = not theirs.drop_nulls().str.contains(r"[.eE]").any()
    written = ours.drop_nulls().filter(ours.drop_nulls().str.contains(r"[.eE]"))
    if not asks_whole or written.is_empty():
        return []
    few = known.drop_nulls().n_unique() <= 20 and known.n_unique() < len(known)
    if _are_whole(given):
        return [
            f"{ours.name!r} is written as {written[0]}, the sample has whole numbers such as {theirs[0]}"
        ]
    if few and known.max() not in (0, None):  # a sample of nothing but zeros shows no type
        return [f"{ours.name!r} holds {written[0]}, the sample whole numbers such as {theirs[0]}"]
    return []


def _doubt_range(name: str, given: pl.Series, known: pl.Series) -> list[str]:
    doubts = []
    low, high = _ends(given)
    least, most = _ends(known)
    is_share = least >= 0 and most <= 1 and not _are_whole(known)
    if is_share and (low < 0 or high > 1):
        doubts.append(
            f"{name!r} goes from {low:.4g} to {high:.4g}, the sample looks like probabilities from 0 to 1"
        )
    elif least >= 0 and low < 0:
        doubts.append(f"{name!r} is negative ({low:.4g}), the sample never is")
    if is_share and _are_whole(given):
        doubts.append(
            f"{name!r} holds whole numbers, the sample fractions: if probabilities are judged, predict with --proba"
        )
    if given.n_unique() == 1 and len(given) > 1:
        doubts.append(f"{name!r} is {given[0]:.4g} in every row")
    return doubts


def _are_whole(numbers: pl.Series) -> bool:
    present = numbers.drop_nulls()
    return bool((present == present.round()).all())


def _ends(numbers: pl.Series) -> tuple[float, float]:
    values = numbers.drop_nulls().to_list() or [math.nan]
    return min(values), max(values)


def _as_numbers(column: pl.Series) -> pl.Series | None:
    numbers = column.cast(pl.Float64, strict=False)
    return None if numbers.null_count() > column.null_count() else numbers


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
