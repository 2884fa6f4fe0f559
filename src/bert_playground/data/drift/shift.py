"""find_shift: whether the numbers, lengths or categories of a later column are distributed otherwise than in training."""

from collections import Counter

import numpy as np
import polars as pl

from bert_playground.data.columns.parsing import CLOCK
from bert_playground.data.drift.cells import cumulate, most_frequent, spell_days
from bert_playground.data.drift.finding import KINDS, Finding, is_shifted, is_surprising
from bert_playground.data.drift.profile import ColumnProfile


def find_shift(
    profile: ColumnProfile, cells: pl.Series, num_rows: int, num_missing: int
) -> Finding | None:
    """Numbers beyond those of training, else another distribution; None: neither, beyond chance.

    Args:
        profile: of the column.
        cells: of a sample, without blanks around them and missing ones.
        num_rows: of the whole later table.
        num_missing: of these without a value.
    """
    share = 1 - num_missing / max(1, num_rows)
    if not len(cells) or not profile.num_rows:
        return None
    if profile.edges:
        found = _shift_of_numbers(profile, cells)
    elif profile.values:
        found = _shift_of_values(profile, cells)
    else:
        return None
    if found is None:
        return None
    what, distance, example, example_then = found
    kind = KINDS.get(profile.form, "text")
    if profile.edges and not profile.is_numeric:
        kind = "length"
    return Finding(
        profile.column,
        what,
        kind,
        round(distance * share * num_rows),
        distance * share,
        0.0,
        example,
        example_then,
        importance=profile.importance,
    )


def may_be_shifted(profile: ColumnProfile, num_cells: int) -> bool:
    """Whether any cells at all, so many of them, would be a finding: of a few rows no lengths and no categories are."""
    # A single number may be beyond those of training, and a cell of a list may hold many items.
    if profile.is_numeric or profile.form == "list":
        return True
    if profile.edges:
        return is_shifted(1.0, num_cells, num_numbers(profile))
    return is_shifted(1.0, num_cells, sum(profile.counts), len(profile.values))


def num_numbers(profile: ColumnProfile) -> int:
    """How many cells of the training table the distribution is of."""
    return profile.num_rows - profile.num_missing - profile.num_unreadable


Shift = tuple[str, float, str | None, str]  # what, share of the rows, an example now, and one then


def _shift_of_numbers(profile: ColumnProfile, cells: pl.Series) -> Shift | None:
    then = num_numbers(profile)
    read = profile.measure(cells)
    numbers = read.drop_nulls().to_numpy()
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return None
    low, high = profile.edges[0], profile.edges[-1]
    outside = int(((numbers < low) | (numbers > high)).sum())
    # Of a sample, one in `then` rows lies below the least of training by chance, and one above the greatest.
    if profile.is_numeric and is_surprising(outside, len(numbers), 1, then):
        beyond = cells.filter(((read < low) | (read > high)).fill_null(False))
        return "outside", outside / len(numbers), most_frequent(beyond), profile.example
    shares = cumulate(numbers, np.array(profile.edges))[:-1] / len(numbers)
    distance = float(np.abs(shares - np.array(profile.shares)).max())
    if not is_shifted(distance, len(numbers), then):
        return None
    middle = profile.edges[int(np.searchsorted(profile.shares, 0.5))]
    return "shifted", distance, _spell(profile, np.median(numbers)), _spell(profile, middle)


def _spell(profile: ColumnProfile, number: float) -> str:
    if profile.form == "date" and profile.spelling != CLOCK:
        return str(spell_days(pl.Series([round(number)]), "")[0])
    return f"{number:.6g}"


def _shift_of_values(profile: ColumnProfile, cells: pl.Series) -> Shift | None:
    named = profile.name_values(cells)
    named = named.explode().drop_nulls() if profile.form == "list" else named
    if not len(named):
        return None
    counts = named.alias("value").value_counts()
    now = dict(counts.with_columns(pl.col("count") / len(named)).rows())
    total = sum(profile.counts)
    then = Counter(dict(zip(profile.values, profile.counts, strict=True)))
    # What is beyond the values kept counts as if it were spread as in training.
    grown = {
        value: share - then[value] / total
        for value, share in now.items()
        if value in then or profile.is_complete
    }
    distance = sum(excess for excess in grown.values() if excess > 0)
    if not is_shifted(distance, len(named), total, len(then)):
        return None
    shrunk = {value: count / total - now.get(value, 0.0) for value, count in then.items()}
    most, least = (max(each, key=lambda value: (each[value], value)) for each in (grown, shrunk))
    return "shifted", distance, most, least
