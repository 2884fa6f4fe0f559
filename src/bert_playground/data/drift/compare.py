"""TableDrift: a later table beside the training table, chunk by chunk: other spellings are repaired, the rest is counted."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
from loguru import logger

from bert_playground.data.columns.kinds import clean
from bert_playground.data.columns.parsing import PLAIN
from bert_playground.data.drift.cells import (
    cumulate,
    every_nth,
    extract_rest,
    is_missing,
    read_strictly,
)
from bert_playground.data.drift.finding import Finding, is_shifted, is_surprising
from bert_playground.data.drift.profile import ColumnProfile
from bert_playground.data.drift.repair import Respelling, respell
from bert_playground.data.reading.table import as_text

SAMPLE_ROWS = 4_000  # of a frame, whose distribution is compared; cells are checked on all rows
KINDS = {"number": "number", "date": "date", "category": "value", "list": "value"}


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
        self._columns = [_ColumnDrift(profile) for profile in profiles]
        self._labels = [_ColumnDrift(profile) for profile in labels]

    def read(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows as training would have written them; what differs is counted. Columns that are not there are left to others."""
        there = [
            each for each in (*self._columns, *self._labels) if each.profile.column in frame.columns
        ]
        if not there or not frame.height:
            return frame
        cells = as_text(frame.select(each.profile.column for each in there))
        checks = cells.select(each.check().alias(each.profile.column) for each in there)
        sample = every_nth(cells, SAMPLE_ROWS)
        changed = []
        for each in there:
            name = each.profile.column
            new = each.read(cells[name], checks[name])
            if new is not None:
                changed.append(new)
                sample = sample.with_columns(every_nth(new.to_frame(), SAMPLE_ROWS))
            if each not in self._labels:
                each.measure(sample[name])
        return frame.with_columns(changed) if changed else frame

    def findings(self) -> list[Finding]:
        """What differs, the most harmful first; behind them the other spellings that were repaired."""
        found = [finding for each in self._columns for finding in each.findings()]
        found.sort(key=lambda finding: (-finding.harm, finding.column))
        return found + [
            finding for each in (*self._columns, *self._labels) for finding in each.repairs()
        ]

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


class _ColumnDrift:
    """The counts of one column."""

    def __init__(self, profile: ColumnProfile) -> None:
        self.profile = profile
        self.num_rows = self.num_missing = self.num_strange = self.num_units = 0
        self.strange: Counter[str] = Counter()
        self.units: Counter[str] = Counter()
        self.respelled: Counter[tuple[str, str]] = Counter()
        self.num_sampled = self.num_low = 0  # of these, less than the least of training
        self.below = np.zeros(len(profile.edges) + 1, dtype=np.int64)
        self.seen: Counter[str] = Counter()
        self.common: Counter[str] = Counter()
        self.beyond: Counter[str] = Counter()

    def check(self) -> pl.Expr:
        """Whether a cell needs a closer look: quick, and true of all where there is no quick way."""
        profile, cell = self.profile, pl.col(self.profile.column)
        if profile.form == "number" and profile.spelling == PLAIN:
            return cell.is_not_null() & ~cell.cast(pl.Float64, strict=False).is_finite().fill_null(
                False
            )
        if profile.form == "category" and profile.knows_values:
            return cell.is_not_null() & ~cell.is_in(pl.lit(pl.Series(profile.values)).implode())
        if profile.form in ("number", "date", "list"):
            return cell.is_not_null()
        return cell.is_not_null() & is_missing(cell, also_none=False)

    def read(self, column: pl.Series, is_doubtful: pl.Series) -> pl.Series | None:
        """Count the cells of a chunk; the column written as in training, or None where nothing changes."""
        self.num_rows += len(column)
        self.num_missing += column.null_count()
        doubtful = column.filter(is_doubtful)
        if not len(doubtful):
            return None
        raw = doubtful.alias("cell").value_counts().sort("cell")
        stripped = clean(raw["cell"])
        if self.profile.is_numeric:
            none = is_missing(pl.col("cell"), also_none=True)
            stripped = stripped.to_frame().select(pl.when(~none).then(pl.col("cell"))).to_series()
        table = raw.with_columns(stripped=stripped)
        self.num_missing += int(table.filter(pl.col("stripped").is_null())["count"].sum())
        table = table.drop_nulls("stripped")
        if not table.height or self.profile.form not in ("number", "date", "category", "list"):
            return None
        is_known = self._is_known(table["stripped"])
        if not is_known.all():
            found = self._find_respelling(
                column, table["stripped"].filter(~is_known).unique().sort()
            )
            if len(found.old):
                return self._rewrite(column, found)
        self._count(table, is_known)
        return None
        return self._rewrite(column, found)

    def _is_known(self, cells: pl.Series) -> pl.Series:
        profile = self.profile
        if profile.is_numeric:
            return read_strictly(cells, profile.form, profile.spelling).is_not_null()
        if not profile.knows_values:
            return pl.repeat(True, len(cells), eager=True)
        named = profile.name_values(cells)
        known = pl.Series(profile.values, dtype=pl.String)
        if profile.form == "category":
            return named.is_in(known.implode())
        strange = named.list.eval(~pl.element().is_in(known.implode())).list.any()
        return ~strange

    def _find_respelling(self, column: pl.Series, unknown: pl.Series) -> Respelling:
        if self.profile.form == "category":
            return respell(self.profile, unknown, unknown)
        cells = clean(column.unique()).drop_nulls().unique().sort()
        is_none = is_missing(pl.col(cells.name), also_none=self.profile.is_numeric)
        cells = cells.to_frame().filter(~is_none).to_series()
        return respell(self.profile, cells, cells.filter(~self._is_known(cells)))

    def _rewrite(self, column: pl.Series, found: Respelling) -> pl.Series:
        stripped = column.str.strip_chars()
        new = stripped.replace_strict(found.old, found.new, default=None, return_dtype=pl.String)
        pairs = pl.DataFrame({"old": column, "new": new}).drop_nulls("new")
        for old, changed, count in pairs.group_by("old", "new").len().sort("old").rows():
            self.respelled[old, changed] += count
        column = column.zip_with(new.is_null(), new)
        values = column.drop_nulls().alias("cell").value_counts().sort("cell")
        table = values.with_columns(stripped=clean(values["cell"])).drop_nulls("stripped")
        self._count(table, self._is_known(table["stripped"]))
        return column

    def _count(self, table: pl.DataFrame, is_known: pl.Series) -> None:
        """Cells with their counts: those that training did not know."""
        strange = table.filter(~is_known)
        if self.profile.is_numeric:
            strange = strange.filter(~is_missing(pl.col("stripped"), also_none=True))
        self.num_strange += int(strange["count"].sum())
        top = strange.sort(["count", "cell"], descending=[True, False])[:20]
        self.strange.update(dict(top.select("cell", "count").rows()))
        if self.profile.units:
            units = extract_rest(table["stripped"], self.profile.spelling)
            other = table.filter(is_known & ~units.is_in([*self.profile.units, ""]))
            self.num_units += int(other["count"].sum())
            self.units.update(dict(other.select("cell", "count").rows()[:20]))

    def measure(self, sample: pl.Series) -> None:
        """Count where the cells of a sample lie in the distribution of training."""
        profile, cells = self.profile, clean(sample)
        values = cells.drop_nulls()
        if len(values):
            counts = (
                values.alias("cell")
                .value_counts()
                .sort(["count", "cell"], descending=[True, False])
            )
            self.common.update(dict(counts[:20].rows()))
        if profile.edges:
            numbers = profile.measure(values)
            numbers = numbers[np.isfinite(numbers)]
            self.num_sampled += len(numbers)
            self.below += cumulate(numbers, np.array(profile.edges))
            self.num_low += int((numbers < profile.edges[0]).sum())
            if profile.is_numeric and not self.beyond:
                read = read_strictly(values, profile.form, profile.spelling)
                is_beyond = (read < profile.edges[0]) | (read > profile.edges[-1])
                self.beyond.update(values.filter(is_beyond.fill_null(False))[:20].to_list())
        elif profile.values:
            named = profile.name_values(values)
            named = named.explode().drop_nulls() if profile.form == "list" else named
            self.num_sampled += len(named)
            self.seen.update(dict(named.alias("v").value_counts().rows()))

    def repairs(self) -> list[Finding]:
        """The other spellings that were read as training's."""
        if not self.respelled:
            return []
        (old, new), _ = self.respelled.most_common(1)[0]
        rows = sum(self.respelled.values())
        kind = KINDS.get(self.profile.form, "text")
        share = rows / self.num_rows
        return [
            Finding(
                self.profile.column,
                "respelled",
                kind,
                rows,
                share,
                0.0,
                old,
                self.profile.example,
                new,
            )
        ]

    def findings(self) -> list[Finding]:
        """What differs from training beyond chance."""
        profile = self.profile
        known = profile.num_rows - profile.num_missing
        now = self.num_rows - self.num_missing
        found = []
        if profile.is_numeric and is_surprising(
            self.num_strange, self.num_rows, profile.num_unreadable, profile.num_rows
        ):
            found.append(
                self._of(
                    "unreadable",
                    self.num_strange,
                    profile.num_unreadable,
                    self.strange,
                    "missing there",
                )
            )
        if (
            profile.knows_values
            and now
            and is_surprising(self.num_strange, now, profile.num_rare, known)
        ):
            read = "the words as they stand" if profile.form == "category" else "'other' there"
            found.append(self._of("unseen", self.num_strange, 0, self.strange, read))
        if is_surprising(self.num_units, self.num_rows, 0, profile.num_rows):
            found.append(self._of("unit", self.num_units, 0, self.units, "the digits alone"))
        if is_surprising(self.num_missing, self.num_rows, profile.num_missing, profile.num_rows):
            found.append(
                self._of("missing", self.num_missing, profile.num_missing, Counter(), None)
            )
        shift = (
            None if any(each.what in ("unreadable", "unseen") for each in found) else self._shift()
        )
        return found if shift is None else [*found, shift]

    def _shift(self) -> Finding | None:
        profile, sampled = self.profile, self.num_sampled
        then = profile.num_rows - profile.num_missing - profile.num_unreadable
        if not sampled or not then:
            return None
        if profile.edges:
            return self._shift_of_numbers(sampled, then)
        total = sum(profile.counts)
        before = {
            value: count / total
            for value, count in zip(profile.values, profile.counts, strict=True)
        }
        after = {value: count / sampled for value, count in self.seen.items()}
        # Values beyond those kept count as if they were spread as in training.
        distance = sum(max(0.0, after.get(value, 0.0) - share) for value, share in before.items())
        if profile.is_complete:
            distance += sum(share for value, share in after.items() if value not in before)
        if not is_shifted(distance, sampled, total, len(before)):
            return None
        return self._moved(distance)

    def _shift_of_numbers(self, sampled: int, then: int) -> Finding | None:
        profile = self.profile
        outside = int(sampled - self.below[-2]) + self.num_low
        if profile.is_numeric and is_surprising(outside, sampled, 0, then):
            rows = round(outside / sampled * (self.num_rows - self.num_missing))
            return self._of("outside", rows, 0, self.beyond, None)
        shares = self.below[:-1] / sampled
        distance = float(np.abs(shares - np.array(profile.shares)).max())
        return self._moved(distance) if is_shifted(distance, sampled, then) else None

    def _moved(self, distance: float) -> Finding:
        kind = KINDS.get(self.profile.form, "text")
        if self.profile.edges and not self.profile.is_numeric:
            kind = "length"
        rows = round(distance * self.num_rows)
        example = self.common.most_common(1)[0][0] if self.common else None
        return Finding(
            self.profile.column, "shifted", kind, rows, distance, 0.0, example, self.profile.example
        )

    def _of(
        self, what: str, rows: int, rows_then: int, cells: Counter[str], read_as: str | None
    ) -> Finding:
        profile = self.profile
        example = cells.most_common(1)[0][0] if cells else None
        return Finding(
            profile.column,
            what,
            KINDS.get(profile.form, "text"),
            rows,
            rows / max(1, self.num_rows),
            rows_then / max(1, profile.num_rows),
            example,
            profile.example,
            read_as,
        )
