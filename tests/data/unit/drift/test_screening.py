"""screen_tables: passes no table that has findings, and of numbers and lengths holds back none that has not."""

from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.drift.finding import Finding
from bert_playground.data.drift.profile import ColumnProfile, fit_profiles
from bert_playground.data.drift.quick_check import doubt
from bert_playground.data.drift.screening import screen_tables
from bert_playground.data.templates.features import Feature

FORMS = {"count": "number", "grade": "category", "note": "text", "empty": "text"}
TABLES = st.lists(
    st.tuples(
        st.integers(1, 40),  # rows
        st.integers(0, 2**16),  # seed
        st.sampled_from([1, 1, 1, 3]),  # how much larger numbers and texts are than in training
        st.sampled_from([0.0, 0.0, 0.1, 0.9]),  # share of missing cells
    ),
    min_size=1,
    max_size=6,
)


def _table(rows: int, seed: int, scale: int = 1, missing: float = 0.1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "count": rng.integers(0, 200 * scale, rows).astype(str),
            "grade": rng.choice(["good", "fair", "poor"], rows, p=[0.8, 0.1, 0.1]),
            "note": ["word " * n for n in rng.integers(3, 30 * scale, rows)],
            "empty": pl.Series([None] * rows, dtype=pl.String),
        }
    )
    gone = pl.Series(rng.random(rows) < missing)
    return frame.with_columns(pl.when(~gone).then(pl.all()))


def _profiles() -> tuple[ColumnProfile, ...]:
    return fit_profiles(
        _table(2000, 0), list(FORMS), [Feature(n, n, form) for n, form in FORMS.items()]
    )


def _find(profiles: tuple[ColumnProfile, ...], frame: pl.DataFrame) -> list[Finding]:
    drift = TableDrift(profiles)
    drift.read(frame, is_plain=True)
    return drift.findings()


@given(TABLES)
def test_who_is_passed_has_no_finding(drawn: list[tuple[int, int, int, float]]) -> None:
    profiles = _profiles()
    frames = [_table(*each) for each in drawn]
    ends = [0, *np.cumsum([frame.height for frame in frames]).tolist()]
    whole = pl.concat(frames)
    assert not whole.select(pl.any_horizontal(*map(doubt, profiles)).any()).item()
    screened = screen_tables(profiles, whole, ends)
    assert len(screened) == len(frames)
    for frame, may_differ in zip(frames, screened, strict=True):
        assert may_differ or not _find(profiles, frame)
    exact = [profile for profile in profiles if not profile.values]
    for (start, end), may_differ in zip(
        pairwise(ends), screen_tables(exact, whole, ends), strict=True
    ):
        assert may_differ == bool(_find(tuple(exact), whole[start:end]))


def test_each_kind_of_finding_is_seen() -> None:
    profiles = _profiles()
    usual, large, lost = _table(30, 1), _table(30, 2, scale=3), _table(30, 3, missing=1.0)
    found = [{each.what for each in _find(profiles, frame)} for frame in (usual, large, lost)]
    assert found == [set(), {"outside", "shifted"}, {"missing"}]
    exact = [profile for profile in profiles if not profile.values]
    whole = pl.concat([usual, large, lost])
    assert screen_tables(exact, whole, [0, 30, 60, 90]) == [False, True, True]
