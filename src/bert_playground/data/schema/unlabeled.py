"""read_unlabeled: the rows of several tables together, without their target, to learn the language of the columns from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from bert_playground.config.datasets import DatasetEntry, load_datasets
from bert_playground.config.schema import DataSection
from bert_playground.data.reading.table import require_columns
from bert_playground.data.schema.columns_asked import (
    columns_in_use,
    refuse_conflicts,
    resolve_columns,
)
from bert_playground.data.schema.roles import (
    NO_ID,
    infer_id_name,
    infer_target_name,
    read_test_columns,
    recognise,
)
from bert_playground.data.schema.sampling import READ_ALL, read_within
from bert_playground.data.targets.fit import split_target
from bert_playground.lookup import nearest, shorten


class Unlabeled(NamedTuple):
    """Rows without labels."""

    frame: pl.DataFrame  # all tables, one below the other; the target is not among the columns
    targets: tuple[str, ...]  # the columns that were taken away
    id_column: str | None
    template: str  # that suits a known data set, or the one asked for
    notes: tuple[str, ...]


def read_unlabeled(
    options: DataSection, more: Sequence[Path] = (), *, has_target: bool = True, seed: int = 0
) -> Unlabeled:
    """Read the training table and further ones, such as the table to predict, and take the target away.

    The target is found as `bert train` finds it, from the training table and the columns that further tables lack.

    Args:
        options: of the user; the training table, and target and id column where they are given.
        more: further tables with the same columns; the target may be missing there, and so may what every one lacks.
        has_target: false: the tables have no target column, and every column may be read.
        seed: draws rows of a table that is too large for memory; `options.streaming` says whether one is.

    Raises:
        FileNotFoundError: a table is not there.
        ValueError: a table is faulty, or has other columns than the first.
    """
    if options.train is None:
        raise ValueError("no table to learn from; give one with --train train.csv")
    sources = (options.train, *more)
    read = [read_within(path, seed, is_drawn=options.streaming, hint=READ_ALL) for path in sources]
    first, *others = [frame for frame, _ in read]
    # Alone, the table is read as `bert train` will read it: without what the test table beside it lacks.
    beside = [] if others else [read_test_columns(options.train, first.columns) or first.columns]
    known = [table.columns for table in others] + beside
    options = resolve_columns(options, first.columns)
    shared = [name for name in first.columns if all(name in columns for columns in known)]
    datasets = load_datasets(options.registry)
    known_as = recognise(first.columns, datasets)
    targets, message = _find_targets(first, shared, options, datasets, has_target=has_target)
    _require_same_columns(first, dict(zip(more, others, strict=True)), targets)
    is_absent = bool(targets) and not set(targets) & set(shared)
    kept = [n for n in (shared if others or is_absent else first.columns) if n not in targets]
    id_column = options.id_column
    if id_column is None:
        id_column = infer_id_name(first.select(kept), datasets)
    elif id_column == NO_ID and NO_ID not in first.columns:
        id_column = None
    else:
        require_columns(first, [id_column], "the training table")
    tables = [first, *others]
    statements = [f"{path}: {message}" for path, (_, message) in zip(sources, read, strict=True)]
    dropped = [name for name in first.columns if name not in (*kept, *targets)]
    if dropped:
        statements.append(f"left out: {', '.join(dropped)} (the test table has no such column)")
    if id_column is not None:
        statements.append(f"id: {id_column}, not read; override with --id-column")
    frame = pl.concat([table.select(kept) for table in tables])
    is_asked = known_as is not None and targets == split_target(known_as.target, first.columns)
    template = options.template
    if known_as is not None and is_asked and template == "auto":
        template = known_as.template
    notes = (*statements[: len(tables)], message, *statements[len(tables) :])
    return Unlabeled(frame, targets, id_column, template, notes)


def _find_targets(
    first: pl.DataFrame,
    shared: list[str],
    options: DataSection,
    datasets: Mapping[str, DatasetEntry],
    *,
    has_target: bool,
) -> tuple[tuple[str, ...], str]:
    if not has_target:
        if options.target is not None:
            raise ValueError(
                f"--unlabeled says that there is no target, --target says that it is {options.target}; leave one out"
            )
        return (), "target: none (--unlabeled), every column may be read"
    if options.target is not None:
        target, reason = options.target, "as given"
    else:
        # Without a further table there is nothing to compare with.
        test_columns = shared if len(shared) < first.width else None
        target, reason = infer_target_name(first, test_columns, datasets, columns_in_use(options))
    targets = split_target(target, first.columns)
    require_columns(first, list(targets), "the training table")
    refuse_conflicts(options, targets)
    return targets, (
        f"target: {', '.join(targets)}, not read ({reason}); override with --target, or --unlabeled if there is none"
    )


def _require_same_columns(
    first: pl.DataFrame, others: dict[Path, pl.DataFrame], targets: tuple[str, ...]
) -> None:
    """What every further table lacks may be left out, as long as none has anything in its place."""
    lacking = {
        path: [name for name in first.columns if name not in (*table.columns, *targets)]
        for path, table in others.items()
    }
    strange = {
        path: [name for name in table.columns if name not in first.columns]
        for path, table in others.items()
    }
    is_alike = len({tuple(names) for names in lacking.values()}) <= 1
    wrong = []
    for path, names in lacking.items():
        if not names or (is_alike and not strange[path] and len(names) < first.width / 2):
            continue
        spelled = [f"{name!r}{nearest(name, strange[path])}" for name in names]
        own = f"; it has {shorten(strange[path])} instead" if strange[path] else ""
        wrong.append(f"{path} lacks {shorten(spelled)}{own}")
    if wrong:
        raise ValueError(
            f"the tables have different columns: {'. '.join(wrong)}. "
            "Give tables with the columns of the first, or rename what is meant"
        )
