"""measure_importance: what tells of the target counts more, and findings are said in order of harm."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.drift.importance import associate, measure_importance
from bert_playground.data.drift.profile import ColumnProfile, fit_profiles
from bert_playground.data.templates.features import Feature

ROWS = 1200
FORMS = {"told": "category", "size": "number", "noise": "category", "note": "text"}


def _train() -> tuple[pl.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, ROWS)
    words = np.array(["no", "yes"])
    frame = pl.DataFrame(
        {
            "told": words[labels],
            "size": (labels * 10 + rng.integers(0, 20, ROWS)).astype(str),
            "noise": rng.choice(["a", "b", "c"], ROWS),
            "note": [f"text number {i}" for i in range(ROWS)],
        }
    )
    return frame, labels


def _profiles(*, measured: bool) -> tuple[ColumnProfile, ...]:
    frame, labels = _train()
    fitted = fit_profiles(frame, list(FORMS), [Feature(n, n, form) for n, form in FORMS.items()])
    return measure_importance(fitted, frame, labels, are_classes=True) if measured else fitted


def test_association_is_one_of_a_column_with_itself_and_near_none_of_chance():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 1000)
    assert associate(labels, labels) == pytest.approx(1.0)
    assert associate(labels, 2 - labels) == pytest.approx(1.0)
    assert associate(rng.integers(0, 30, 1000), labels) < 0.1
    assert associate(np.zeros(1000, dtype=np.int64), labels) == 0


def test_association_is_bergsmas_corrected_v():
    codes = np.repeat([0, 0, 1, 1], [40, 10, 20, 30])
    labels = np.repeat([0, 1, 0, 1], [40, 10, 20, 30])
    squared = 100 * (40 * 30 - 10 * 20) ** 2 / (50 * 50 * 60 * 40) / 100
    expected = np.sqrt((squared - 1 / 99) / (2 - 1 / 99 - 1))
    assert associate(codes, labels) == pytest.approx(expected)


def test_what_tells_the_target_is_important_and_free_text_is_not_measured():
    told, size, noise, note = _profiles(measured=True)
    assert told.importance == pytest.approx(1.0, abs=1e-3)
    assert 0.3 < size.importance < 0.9
    assert noise.importance < 0.1
    assert note.importance is None


def test_a_number_is_as_important_for_a_target_that_is_one():
    frame, _ = _train()
    sizes = frame["size"].cast(pl.Float64).to_numpy()
    fitted = fit_profiles(frame, ["size", "noise"], [Feature("size", "", "number")])
    size, noise = measure_importance(fitted, frame, -3 * sizes, are_classes=False)
    assert size.importance > 0.7 > 0.1 > noise.importance


def _later() -> pl.DataFrame:
    """Half of `noise` is new, a third of `told` is."""
    row = pl.int_range(pl.len())
    return _train()[0].with_columns(
        noise=pl.when(row % 2 == 0).then(pl.lit("new")).otherwise("noise"),
        told=pl.when(row % 3 == 0).then(pl.lit("perhaps")).otherwise("told"),
    )


@pytest.mark.parametrize(
    ("measured", "order"), [(True, ["told", "noise"]), (False, ["noise", "told"])]
)
def test_findings_are_in_order_of_importance_times_share(measured, order):
    drift = TableDrift(_profiles(measured=measured))
    drift.read(_later())
    assert [finding.column for finding in drift.findings()] == order


def test_a_profile_of_an_earlier_version_has_no_importance():
    profile = _profiles(measured=True)[0]
    state = profile.to_dict()
    assert ColumnProfile.from_dict(state) == profile
    del state["importance"]
    assert ColumnProfile.from_dict(state) == replace(profile, importance=None)
