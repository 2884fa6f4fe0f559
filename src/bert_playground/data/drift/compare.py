"""TableDrift: a later table beside the training table, chunk by chunk: other spellings are repaired, the rest is counted."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from bert_playground.data.drift.column_drift import ColumnDrift
from bert_playground.data.drift.finding import Finding
from bert_playground.data.drift.profile import ColumnProfile
from bert_playground.data.drift.quick_check import QuickCheck
from bert_playground.data.reading.table import as_text, own_text
from bert_playground.logger import logger

SAMPLE_ROWS = 4_000  # of a frame, whose distribution is compared; other facts are of all rows
MAX_SAMPLE_ROWS = 16_000  # of all frames together


def plan_sample(heights: Sequence[int]) -> list[np.ndarray]:
    """Which rows of each frame `TableDrift` would still keep after it had read frames of these heights one after another."""
    step, kept = 0, np.empty((0, 2), dtype=np.int64)  # number of the frame, row in it
    for number, height in enumerate(heights):
        step = step or max(1, height // SAMPLE_ROWS)
        rows = np.arange(0, height, step)
        kept = np.concatenate([kept, np.stack([np.full_like(rows, number), rows], axis=1)])
        while len(kept) > MAX_SAMPLE_ROWS:
            kept, step = kept[::2], step * 2
    bounds = np.searchsorted(kept[:, 0], np.arange(len(heights) + 1))
    return [kept[start:end, 1] for start, end in pairwise(bounds.tolist())]


class TableDrift:
    """What a later table has shown so far.

    Args:
        profiles: of the columns that are read.
        labels: of the columns with the answers: they are respelled, and not compared.
    """

    def __init__(
        self, profiles: Sequence[ColumnProfile], labels: Sequence[ColumnProfile] = ()
    ) -> None:
        """Nothing has been seen yet."""
        self._columns = {profile.column: ColumnDrift(profile) for profile in profiles}
        self._labels = {profile.column: ColumnDrift(profile) for profile in labels}
        both = {profile.column: profile for profile in (*labels, *profiles)}
        self._quick = QuickCheck(both.values())
        self._sample: list[pl.DataFrame] = []
        self._step = 0  # of the rows that are kept as a sample
        # The rows that are kept, where the frame is a part of a table.
        self._chosen: np.ndarray | None = None

    def read(self, frame: pl.DataFrame, *, is_plain: bool = False) -> pl.DataFrame:
        """The rows as training would have written them; what differs is counted. Columns that are not there are left to others.

        Args:
            frame: some rows.
            is_plain: no cell needs a closer look, as `doubt` has told of all columns with a profile.
        """
        both = {**self._labels, **self._columns}
        names = [name for name in both if name in frame.columns]
        if not names or not frame.height:
            return frame
        cells = as_text(frame.select(names))
        self._step = self._step or max(1, cells.height // SAMPLE_ROWS)
        rows = np.arange(0, cells.height, self._step)
        sample = cells if self._step == 1 else cells[rows]
        doubtful = {} if is_plain else self._quick.find(cells, sample)
        changed = []
        for name in names:
            new = both[name].read(cells[name], doubtful.get(name))
            if new is not None:
                changed.append(new)
        if self._chosen is not None:
            rows, sample = self._chosen, cells[self._chosen]
        sample = sample.with_columns(new.gather(rows) for new in changed)
        self._keep(sample.select(name for name in names if name in self._columns))
        return frame.with_columns(changed) if changed else frame

    def keep_only(self, rows: np.ndarray) -> None:
        """The one frame that will be read is a part of a table, of which these of its rows are the sample; see `plan_sample`."""
        self._chosen = rows

    def to_dict(self) -> dict[str, Any]:
        """What was seen of a part, for `add`; ready for JSON."""
        both = {"labels": self._labels, "columns": self._columns}
        counts = {
            kind: {name: each.to_dict() for name, each in columns.items() if each.num_rows}
            for kind, columns in both.items()
        }
        sample = pl.concat(self._sample) if self._sample else pl.DataFrame()
        return {**counts, "sample": sample.to_dict(as_series=False)}

    def add(self, seen: Mapping[str, Any]) -> None:
        """Count what `to_dict` gave of the next part of the table, as if its rows had been read here."""
        for kind, columns in (("labels", self._labels), ("columns", self._columns)):
            for name, counts in seen[kind].items():
                columns[name].add(counts)
        if seen["sample"]:
            schema = dict.fromkeys(seen["sample"], pl.String)
            self._sample.append(pl.DataFrame(seen["sample"], schema=schema))

    def _keep(self, sample: pl.DataFrame) -> None:
        self._sample.append(own_text(sample))
        while sum(part.height for part in self._sample) > MAX_SAMPLE_ROWS:
            self._sample = [own_text(pl.concat(self._sample).gather_every(2))]
            self._step *= 2

    def findings(self) -> list[Finding]:
        """What differs, the most harmful first; behind them the other spellings that were repaired."""
        sample = pl.concat(self._sample) if self._sample else pl.DataFrame()
        found = [
            finding
            for name, column in self._columns.items()
            if name in sample.columns
            for finding in column.findings(sample[name])
        ]
        found.sort(key=lambda finding: ([-harm for harm in finding.harm], finding.column))
        repaired = [
            column.repaired() for column in (*self._columns.values(), *self._labels.values())
        ]
        return found + [finding for finding in repaired if finding is not None]

    def conclude(self, where: str, *, strict: bool = False) -> list[Finding]:
        """Say what differs, and give it.

        Args:
            where: what the table is called.
            strict: whether differences that were not repaired are an error.

        Raises:
            ValueError: there are some, and `strict`.
        """
        findings = self.findings()
        faults = [finding.say() for finding in findings if not finding.is_repaired]
        for finding in findings:
            if finding.is_repaired:
                logger.info(finding.say())
            elif not strict:
                logger.warning(finding.say())
        if strict and faults:
            listed = "".join(f"\n- {fault}" for fault in faults)
            raise ValueError(
                f"{where} differs from the training table, and --strict makes that an error:{listed}\ncorrect the table, or "
                "train on rows like these"
            )
        return findings
