"""ColumnDrift: the cells of a later column: those of another spelling are repaired, missing and strange ones counted."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from bert_playground.data.drift.cells import extract_rest, is_missing, read_strictly
from bert_playground.data.drift.finding import KINDS, MISSED_ROWS, Finding, is_surprising
from bert_playground.data.drift.profile import ColumnProfile
from bert_playground.data.drift.quick_check import passes_as_written
from bert_playground.data.drift.repair import Respelling, respell
from bert_playground.data.drift.shift import find_shift, may_be_shifted

TALLIES = ("strange", "units", "respelled")


class ColumnDrift:
    """The counts of one column, chunk by chunk.

    Args:
        profile: what training saw of it.
    """

    def __init__(self, profile: ColumnProfile) -> None:
        """Nothing has been seen yet."""
        self.profile = profile
        self.num_rows = self.num_missing = 0
        self.strange, self.units, self.respelled = _Tally(), _Tally(), _Tally()
        self.written_as = ""  # the example of `respelled`, as training writes it
        self._is_clean = True  # no cell but null is missing or written otherwise

    def read(self, column: pl.Series, doubtful: pl.Series | None) -> pl.Series | None:
        """Count the cells of a chunk; the column written as in training, or None where nothing changes.

        Args:
            column: its cells.
            doubtful: those that need a closer look, see `QuickCheck`; None: none does.
        """
        self.num_rows += len(column)
        self.num_missing += column.null_count()
        if doubtful is None:
            return None
        if not (self.profile.is_numeric or self.profile.knows_values):
            num_missing = self._strip(doubtful).null_count()
            self._is_clean &= num_missing == 0
            self.num_missing += num_missing
            return None
        self._is_clean = False
        table = self._tabulate(doubtful)
        self.num_missing += int(table.filter(pl.col("stripped").is_null())["count"].sum())
        table = table.drop_nulls("stripped")
        if not table.height:
            return None
        is_known = self._is_known(table["stripped"])
        if not is_known.all():
            found = self._find_respelling(column, table["stripped"].filter(~is_known).unique())
            if len(found.old):
                return self._rewrite(column, found)
        self._count(table, is_known)
        return None

    def to_dict(self) -> dict[str, Any]:
        """What was seen, for `add`."""
        tallies = {name: vars(getattr(self, name)) for name in TALLIES}
        return {
            "num_rows": self.num_rows,
            "num_missing": self.num_missing,
            "is_clean": self._is_clean,
            "written_as": self.written_as,
            **{name: dict(values) for name, values in tallies.items()},
        }

    def add(self, seen: Mapping[str, Any]) -> None:
        """Count what another one has seen of later rows."""
        self.num_rows += seen["num_rows"]
        self.num_missing += seen["num_missing"]
        self._is_clean &= seen["is_clean"]
        for name in TALLIES:
            is_example = getattr(self, name).join(seen[name])
            if is_example and name == "respelled":
                self.written_as = seen["written_as"]

    def _tabulate(self, cells: pl.Series) -> pl.DataFrame:
        """The distinct cells, how many there are, and the same without blanks around them, null where they are missing."""
        raw = cells.alias("cell").value_counts()
        return raw.with_columns(self._strip(raw["cell"]).alias("stripped"))

    def _strip(self, cells: pl.Series) -> pl.Series:
        cell = pl.col(cells.name)
        is_known = ~is_missing(cell, also_none=self.profile.is_numeric)
        return cells.to_frame().select(pl.when(is_known).then(cell.str.strip_chars())).to_series()

    def _strip_sample(self, cells: pl.Series) -> pl.Series:
        if not self._is_clean:
            return self._strip(cells)
        return cells if passes_as_written(self.profile) else cells.str.strip_chars()

    def _is_known(self, cells: pl.Series) -> pl.Series:
        profile = self.profile
        if profile.is_numeric:
            return read_strictly(cells, profile.form, profile.spelling).is_not_null()
        named = profile.name_values(cells)
        known = pl.Series(profile.values, dtype=pl.String).implode()
        if profile.form == "category":
            return named.is_in(known)
        return ~named.list.eval(~pl.element().is_in(profile.values)).list.any()

    def _find_respelling(self, column: pl.Series, unknown: pl.Series) -> Respelling:
        if self.profile.form == "category":
            return respell(self.profile, unknown, unknown)
        cells = self._strip(column.unique()).drop_nulls().unique()
        return respell(self.profile, cells, cells.filter(~self._is_known(cells)))

    def _rewrite(self, column: pl.Series, found: Respelling) -> pl.Series:
        stripped = column.str.strip_chars()
        new = stripped.replace_strict(found.old, found.new, default=None, return_dtype=pl.String)
        pairs = pl.DataFrame({"cell": column, "new": new}).drop_nulls("new")
        counts = pairs.group_by("cell", "new").len("count")
        if self.respelled.add(counts):
            mine = counts.filter(pl.col("cell") == self.respelled.example)
            self.written_as = str(mine["new"][0])
        column = column.zip_with(new.is_null(), new)
        table = self._tabulate(column.drop_nulls()).drop_nulls("stripped")
        self._count(table, self._is_known(table["stripped"]))
        return column

    def _count(self, table: pl.DataFrame, is_known: pl.Series) -> None:
        """Cells that training did not know, or with units that it did not."""
        self.strange.add(table.filter(~is_known))
        if self.profile.units:
            units = extract_rest(table["stripped"], self.profile.spelling)
            self.units.add(table.filter(is_known & ~units.is_in([*self.profile.units, ""])))

    def repaired(self) -> Finding | None:
        """The other spellings that were read as training's."""
        if not self.respelled.rows:
            return None
        return self._of("respelled", self.respelled, 0, self.written_as)

    def findings(self, sample: pl.Series) -> list[Finding]:
        """What differs from training beyond chance.

        Args:
            sample: some cells, as training would have written them.
        """
        profile = self.profile
        rows, rows_then = self.num_rows, profile.num_rows
        found = []
        if profile.is_numeric and is_surprising(
            self.strange.rows, rows, profile.num_unreadable, rows_then
        ):
            read_as = "them as missing"
            found.append(self._of("unreadable", self.strange, profile.num_unreadable, read_as))
        if profile.knows_values and is_surprising(
            self.strange.rows,
            rows - self.num_missing,
            profile.num_rare + MISSED_ROWS,
            rows_then - profile.num_missing,
        ):
            read_as = "them as they stand" if profile.form == "category" else "them as other"
            found.append(self._of("unseen", self.strange, 0, read_as))
        if is_surprising(self.units.rows, rows, 0, rows_then):
            found.append(self._of("unit", self.units, 0, "the digits alone"))
        if is_surprising(self.num_missing, rows, profile.num_missing, rows_then):
            found.append(self._of("missing", _Tally(self.num_missing), profile.num_missing, None))
        is_known = not any(each.what in ("unreadable", "unseen") for each in found)
        if is_known and may_be_shifted(profile, len(sample)):
            cells = self._strip_sample(sample).drop_nulls()
            shift = find_shift(profile, cells, rows, self.num_missing)
            found += [] if shift is None else [shift]
        return found

    def _of(self, what: str, cells: "_Tally", rows_then: int, read_as: str | None) -> Finding:
        profile = self.profile
        return Finding(
            profile.column,
            what,
            KINDS.get(profile.form, "text"),
            cells.rows,
            cells.rows / self.num_rows,
            rows_then / max(1, profile.num_rows),
            cells.example,
            profile.example,
            read_as,
            profile.importance,
        )


class _Tally:
    """Rows, and the most frequent cell of the chunk that had the most of one."""

    def __init__(self, rows: int = 0) -> None:
        self.rows = rows
        self.example: str | None = None
        self.most = 0

    def add(self, counts: pl.DataFrame) -> bool:
        """Add cells with their counts; whether one of them is the example now."""
        if not counts.height:
            return False
        self.rows += int(counts["count"].sum())
        top = counts.filter(pl.col("count") == pl.col("count").max())
        most, example = int(top["count"][0]), top["cell"].min()
        if most <= self.most:
            return False
        self.example, self.most = str(example), most
        return True

    def join(self, later: Mapping[str, Any]) -> bool:
        """Add another tally, of later chunks; whether its example is the example now."""
        self.rows += later["rows"]
        if later["most"] <= self.most:
            return False
        self.example, self.most = later["example"], later["most"]
        return True
