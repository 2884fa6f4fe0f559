"""Split rows: stratified, in groups that stay on one side, by time; once, or into folds."""

import numpy as np
import polars as pl

from bert_playground.data.columns.kinds import clean, infer_all


def find_groups(frame: pl.DataFrame) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """Rows that belong together: they share a code (a ticket, a cabin) or the very same free text.

    A column whose largest group holds more than a tenth of the rows says too little to group by.

    Returns:
        [R] group numbers and the columns they come from, or None when no rows share anything.
    """
    links, columns = [], []
    for name, kind in infer_all(frame).items():
        if kind.name not in ("code", "text") or kind.num_distinct == kind.num_values:
            continue
        numbers = number_groups(frame[name])
        if np.bincount(numbers).max() <= max(2, frame.height / 10):
            links.append(numbers)
            columns.append(name)
    if not links:
        return None
    return _connect(links), tuple(columns)


def _connect(links: list[np.ndarray]) -> np.ndarray:
    """Rows linked by any of the columns, through any number of other rows, get the same number: the lowest row's."""
    groups = links[0]
    while True:
        before = groups
        for numbers in links:
            lowest = np.full(len(numbers), len(numbers))
            np.minimum.at(lowest, numbers, groups)
            groups = lowest[numbers]
        if np.array_equal(groups, before):
            return groups


def number_groups(column: pl.Series) -> np.ndarray:
    """For each row, the first row with the same value; rows without a value are groups of their own."""
    values = clean(column)
    table = pl.DataFrame({"value": values}).with_row_index("row")
    first = table.select(pl.col("row").first().over("value")).to_series().to_numpy()
    return np.where(values.is_null().to_numpy(), np.arange(len(values)), first)


def make_strata(labels: np.ndarray, *, is_classification: bool) -> np.ndarray:
    """What a split keeps the shares of: the classes, or ten quantiles of a regression target.

    Of several labels it is their combinations, of several steps the quantiles of their mean.

    Args:
        labels: [R], or [R, L].
        is_classification: whether they are class numbers.
    """
    if labels.ndim == 2:
        combined = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
        labels = combined if is_classification else labels.mean(axis=1)
    if is_classification:
        return labels.astype(np.int64)
    edges = np.quantile(labels, np.linspace(0.1, 0.9, 9))
    return np.searchsorted(edges, labels)


def split_rows(
    strata: np.ndarray, groups: np.ndarray | None, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose validation rows: every group is drawn whole, with equal probability, evenly over strata and group sizes.

    Groups are sorted by size, mean stratum and chance, and every (1 / fraction)-th is taken (systematic sampling).

    Args:
        strata: [R] integers.
        groups: [R] integers, or None when each row stands alone.
        fraction: of the groups that are drawn.
        seed: the same one gives the same rows.

    Returns:
        The row numbers of both sides, ascending; each stratum has a row on the training side.

    Raises:
        ValueError: there are too few rows or groups to have some on both sides.
    """
    generator = np.random.default_rng(seed)
    groups, order = _order_groups(strata, groups, generator)
    sizes = np.bincount(groups)
    marks = np.floor(np.arange(len(order) + 1) * fraction + generator.random())
    is_drawn = np.zeros(len(order), dtype=bool)
    is_drawn[order] = np.diff(marks) > 0
    in_val = is_drawn[groups]
    lonely = np.setdiff1d(strata[in_val], strata[~in_val])
    in_val &= ~np.isin(groups, groups[np.isin(strata, lonely)])
    if not in_val.any() or in_val.all():
        raise ValueError(
            f"{len(strata)} rows in {len(sizes)} groups cannot be split into training and validation with "
            f"val_fraction {fraction}; give a validation table with --val, or more rows"
        )
    return np.flatnonzero(~in_val), np.flatnonzero(in_val)


def _order_groups(
    strata: np.ndarray, groups: np.ndarray | None, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The groups numbered from 0, [R], and their order by size, mean stratum and chance."""
    groups = np.arange(len(strata)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(groups)
    means = np.bincount(groups, weights=strata) / sizes
    return groups, np.lexsort((generator.random(len(sizes)), means, sizes))


def draw_folds(
    strata: np.ndarray, groups: np.ndarray | None, num_folds: int, seed: int
) -> np.ndarray:
    """Deal every group to one of the folds, evenly over strata and group sizes.

    Groups are sorted by size, mean stratum and chance, and each run of `num_folds` of them is dealt in a random order.

    Args:
        strata: [R] integers.
        groups: [R] integers, or None when each row stands alone.
        num_folds: K.
        seed: the same one gives the same folds.

    Returns:
        [R] folds 0..K-1; -1 is a row that every fold trains on, as it has the only examples of its stratum.

    Raises:
        ValueError: there are fewer groups than folds.
    """
    generator = np.random.default_rng(seed)
    groups, order = _order_groups(strata, groups, generator)
    if len(order) < num_folds:
        raise ValueError(
            f"{len(strata)} rows in {len(order)} groups cannot be dealt to {num_folds} folds; ask for fewer folds"
        )
    runs = -(-len(order) // num_folds)
    deal = generator.permuted(np.tile(np.arange(num_folds), (runs, 1)), axis=1).reshape(-1)
    fold_of_group = np.empty(len(order), dtype=np.int64)
    fold_of_group[order] = deal[: len(order)]
    folds = fold_of_group[groups]
    numbers = np.unique(strata, return_inverse=True)[1]
    is_met = np.zeros((numbers.max() + 1, num_folds), dtype=bool)
    is_met[numbers, folds] = True
    lonely = is_met.sum(axis=1)[numbers] < 2
    return np.where(np.isin(groups, groups[lonely]), -1, folds)


def split_by_time(timestamps: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """The rows before a moment, and those from it on: about `fraction` of all; rows of one moment stay together.

    Raises:
        ValueError: all rows have the same time.
    """
    start = np.quantile(timestamps, 1 - fraction, method="closest_observation")
    if start == timestamps.min():
        later = timestamps[timestamps > start]
        if not len(later):
            raise ValueError(
                f"all {len(timestamps)} rows have the same time, so none are later; choose another split"
            )
        start = later.min()
    return np.flatnonzero(timestamps < start), np.flatnonzero(timestamps >= start)


def draw_time_folds(timestamps: np.ndarray, num_folds: int) -> np.ndarray:
    """Cut time into K + 1 parts of about equally many rows: the first one is -1, and fold k is judged by what precedes.

    Args:
        timestamps: [R].
        num_folds: K.

    Returns:
        [R] from -1 (always trained on) to K-1; a fold's training rows are those with a lower number.

    Raises:
        ValueError: there are too few different timestamps.
    """
    shares = np.arange(1, num_folds + 1) / (num_folds + 1)
    starts = np.quantile(timestamps, shares, method="closest_observation")
    folds = np.searchsorted(starts, timestamps, side="right") - 1
    if len(np.unique(folds)) < num_folds + 1:
        raise ValueError(
            f"{len(np.unique(timestamps))} different times of {len(timestamps)} rows cannot be cut into {num_folds} folds and a "
            "start; ask for fewer folds"
        )
    return folds
