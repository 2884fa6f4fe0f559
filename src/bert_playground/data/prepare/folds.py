"""prepare_folds: a table that is read and decided upon once, and the folds of its rows that every model shares."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.prepare.tables import Prepared, choose_split_options, prepare
from bert_playground.data.reading.table import read_table
from bert_playground.data.schema.columns_asked import resolve_columns
from bert_playground.data.schema.decide import inference_named, plan_windows
from bert_playground.data.splits.folds import read_folds, rows_of_fold, write_folds
from bert_playground.data.splits.split import draw_time_folds
from bert_playground.data.splits.strategy import make_folds
from bert_playground.data.targets.fit import Encoder, encode_targets, fit_targets
from bert_playground.lookup import count_of, shorten

UNEVEN = 1.5  # times the mean size, from which on a fold is said to be large


@dataclass(frozen=True, eq=False)
class Fold:
    """One part of the rows, answered by models of the others; numbers count from 0, as in files of folds.

    Attributes:
        repeat: how often folds were drawn before.
        number: of the fold.
        train: the rows to fit on.
        val: the rows to answer.
    """

    repeat: int
    number: int
    train: np.ndarray
    val: np.ndarray


@dataclass(frozen=True)
class PreparedFolds:
    """A table, decided upon, and its folds.

    Attributes:
        prepared: what was decided; its rows are not split.
        table: all rows; of series, all windows.
        folds: those of all repeats.
        assignments: per repeat the fold of each row, -1 where every fold trains on it.
        in_time: whether a fold is answered by models of earlier ones alone.
        labels: learned from all rows: the form in which answers of all folds are compared.
    """

    prepared: Prepared
    table: pl.DataFrame
    folds: tuple[Fold, ...]
    assignments: tuple[np.ndarray, ...]
    in_time: bool
    labels: Encoder

    def of(self, fold: Fold) -> Prepared:
        """The tables of one fold, as `prepare` gives them; what was decided for all folds is not noted again."""
        note = f"fold {fold.number}: fitted on {len(fold.train)} rows, answers {count_of(len(fold.val), 'row')}"
        return replace(
            self.prepared, train=self.table[fold.train], val=self.table[fold.val], notes=(note,)
        )

    @property
    def ids(self) -> pl.Series | None:
        """What names the rows; None: their number does."""
        name = self.prepared.schema.id_column
        return self.table[name] if name in self.table.columns else None

    @cached_property
    def truth(self) -> np.ndarray:
        """The labels of all rows as numbers, [R] or [R, L]."""
        return encode_targets(self.labels, self.table, self.prepared.schema.targets)

    def write(self, path: Path, repeat: int) -> None:
        """The folds of one repeat as a file that `data.folds`, `--folds` and other tools read."""
        ids = self.ids
        if ids is not None and (ids.n_unique() != len(ids) or ids.has_nulls()):
            ids = None
        write_folds(path, self.assignments[repeat], ids, in_time=self.in_time)

    def require_same(self, path: Path, repeat: int) -> None:
        """Check that the folds are those of an earlier part of the run.

        Raises:
            ValueError: the table, or what draws the folds, has changed since.
        """
        try:
            before, _ = read_folds(path, self.table)
        except ValueError as error:
            raise ValueError(
                f"the training table is not the one that {path} was written for: {error}; start a new run"
            ) from error
        if not np.array_equal(before, self.assignments[repeat]):
            raise ValueError(
                f"the folds of the training table are no longer those of {path}: the table has changed; start a new run"
            )


def prepare_folds(config: RunConfig) -> PreparedFolds:
    """Read the table, decide what it is, and assign its rows to folds.

    Raises:
        FileNotFoundError: a table or the file of folds is not there.
        ValueError: see `prepare` and `make_folds`; or settings that speak of one split.
    """
    asked = config.cross_validation
    assert asked.folds is not None
    _refuse_single_split(config)
    prepared = prepare(config, is_whole=True)
    if prepared.stream is not None:
        raise ValueError(
            "folds need the whole table in memory, but it is streamed; set data.streaming to false, or train on one split"
        )
    request = config.data
    table, windows = prepared.table, prepared.schema.windows
    if windows is not None:
        table, parts, note = _cut_windows(request, asked.folds)
        assignments, in_time, notes = [_number_rows(table.height, parts)], True, [note]
        drawn = [[Fold(0, k, *rows) for k, rows in enumerate(parts)]]
    else:
        assert table is not None
        request = resolve_columns(request, table.columns)
        assignments, in_time, notes, drawn = _assign(table, prepared, request, config)
    labels = fit_targets(
        table, prepared.schema.target, prepared.schema.task, prepared.schema.class_order
    )
    before = prepared.notes if windows is None else prepared.notes[:-1]  # without its one split
    return PreparedFolds(
        replace(prepared, notes=(*before, *notes), train=table, val=table),
        table,
        tuple(fold for folds in drawn for fold in folds),
        tuple(assignments),
        in_time,
        labels,
    )


def _refuse_single_split(config: RunConfig) -> None:
    asked, data = config.cross_validation, config.data
    wrong = []
    if data.val is not None:
        wrong.append("data.val (--val): judge the result on it by `bert evaluate`")
    if data.folds is not None:
        wrong.append("data.folds: give the file to --folds instead")
    if isinstance(asked.folds, Path) and asked.repeats > 1:
        wrong.append(f"cross_validation.repeats: the folds of {asked.folds} are drawn already")
    if wrong:
        raise ValueError(f"folds do not go with {'; nor with '.join(wrong)}; leave it out")


def _assign(
    table: pl.DataFrame, prepared: Prepared, request: DataSection, config: RunConfig
) -> tuple[list[np.ndarray], bool, list[str], list[list[Fold]]]:
    asked = config.cross_validation
    assignments, notes, in_time = [], [], False
    if isinstance(asked.folds, Path):
        numbers, in_time = read_folds(asked.folds, table)
        assignments.append(numbers)
        notes.append(f"folds: {len(np.unique(numbers[numbers >= 0]))} of {asked.folds}")
        if len(np.unique(numbers[numbers >= 0])) < 2:
            raise ValueError(f"{asked.folds} has a single fold, expected at least two")
    else:
        assert asked.folds is not None
        options = choose_split_options(request)
        for repeat in range(asked.repeats):
            with inference_named(prepared.schema):
                numbers, in_time, how = make_folds(
                    table, prepared.schema, options, asked.folds, config.split_seed + repeat
                )
            assignments.append(numbers)
            notes.append(f"{asked.folds} folds: {how}")
        if in_time and asked.repeats > 1:
            raise ValueError(
                "folds that follow each other in time are the same each time; leave --repeats out"
            )
    notes += _describe_sizes(assignments[0], in_time=in_time)
    notes += _describe_classes(table, prepared, assignments[0])
    drawn = [
        [
            Fold(repeat, int(number), *rows_of_fold(numbers, int(number), in_time=in_time))
            for number in np.unique(numbers[numbers >= 0])
        ]
        for repeat, numbers in enumerate(assignments)
    ]
    return assignments, in_time, notes, drawn


def _describe_sizes(numbers: np.ndarray, *, in_time: bool) -> list[str]:
    """What is odd about the folds: rows that are in none, and sizes that differ much."""
    sizes = np.unique(numbers[numbers >= 0], return_counts=True)[1]
    found = []
    if not in_time and (lonely := int((numbers < 0).sum())):
        found.append(
            f"{count_of(lonely, 'row')} in no fold, as their class has rows in one fold alone: every model learns from them, "
            "none answers them"
        )
    if sizes.max() > UNEVEN * sizes.mean():
        found.append(
            f"folds of {sizes.min()} to {sizes.max()} rows, as groups stay together: scores of folds differ by that too"
        )
    return found


def _describe_classes(table: pl.DataFrame, prepared: Prepared, numbers: np.ndarray) -> list[str]:
    """Classes that some folds have no row of, because there are fewer rows of them than folds."""
    schema = prepared.schema
    if schema.task not in ("binary", "multiclass", "ordinal"):
        return []
    num_folds = len(np.unique(numbers[numbers >= 0]))
    counts = table[schema.target].filter(pl.Series(numbers >= 0)).value_counts(sort=True)
    rare = [f"{name} ({count})" for name, count in counts.iter_rows() if count < num_folds]
    if not rare:
        return []
    return [
        f"classes on fewer rows than the {num_folds} folds: {shorten(rare)}; folds without one say nothing of it, so their "
        "scores differ by that too"
    ]


def _cut_windows(
    request: DataSection, num_folds: int | Path
) -> tuple[pl.DataFrame, list[tuple[np.ndarray, np.ndarray]], str]:
    """All windows of a series; per fold those that end before it begins, and those of it."""
    if isinstance(num_folds, Path):
        raise ValueError(
            f"windows of a series have no ids that {num_folds} could name; give a number to --folds"
        )
    frame = read_table(request.train)
    request = resolve_columns(request, frame.columns)
    windows = plan_windows(frame, request)
    assert windows is not None
    table = windows.label(frame)
    numbers = draw_time_folds(table.times, num_folds)
    parts = []
    for number in range(num_folds):
        val = np.flatnonzero(numbers == number)
        is_early = (numbers < number) & (table.ends <= table.times[val].min())
        if not is_early.any():
            raise ValueError(
                f"no window of {windows.horizon} steps ends before fold {number}; ask for fewer folds or a shorter "
                "data.horizon"
            )
        parts.append((np.flatnonzero(is_early), val))
    note = f"{num_folds} folds: one after the other by {windows.time_column}, each for models of windows that end before"
    return table.frame, parts, note


def _number_rows(num_rows: int, parts: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    numbers = np.full(num_rows, -1)
    for number, (_, val) in enumerate(parts):
        numbers[val] = number
    return numbers
