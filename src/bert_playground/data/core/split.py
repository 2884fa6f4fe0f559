"""Split rows with a seed: stratified, and rows that share a group stay on one side."""

import numpy as np
import polars as pl

from bert_playground.data.core.kinds import clean, infer_kind


def find_groups(frame: pl.DataFrame) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """Rows that belong together: they share a code (a ticket, a cabin) or the very same free text.

    A column whose largest group holds more than a tenth of the rows says too little to group by.

    Returns:
        [R] group numbers and the columns they come from, or None when no rows share anything.
    """
    links, columns = [], []
    for name in frame.columns:
        kind = infer_kind(frame[name])
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
    """What a split keeps the shares of: the classes, or ten quantiles of a regression target."""
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
    groups = np.arange(len(strata)) if groups is None else np.unique(groups, return_inverse=True)[1]
    generator = np.random.default_rng(seed)
    sizes = np.bincount(groups)
    means = np.bincount(groups, weights=strata) / sizes
    order = np.lexsort((generator.random(len(sizes)), means, sizes))
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
