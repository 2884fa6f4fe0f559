"""Donors: cells come from rows of the same class, numbers move in ranks, and rates are those asked for."""

import numpy as np
import polars as pl
import pytest

from bert_playground.data.augmentation.counter_rng import row_state
from bert_playground.data.augmentation.donors import (
    Donors,
    drop_cells,
    fit_donors,
    group_rows,
    jitter_numbers,
    swap_noise,
)
from bert_playground.data.templates.features import Feature

ROWS = 6000
STATE = row_state(3, 1, np.arange(ROWS))
LABELS = np.arange(ROWS, dtype=np.int32) % 3
# Every cell tells the class of its row.
FRAME = pl.DataFrame(
    {
        "town": [f"{label} town {i % 50}" for i, label in enumerate(LABELS)],
        "age": [f"{label}.{i % 7}" for i, label in enumerate(LABELS)],
    }
)
FEATURES = (Feature("town", "town", "category"), Feature("age", "age", "number"))


def within(share: float, expected: float, count: int) -> bool:
    """Whether a share of so many draws lies within four standard errors."""
    return abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / count)


@pytest.fixture(scope="module")
def donors() -> Donors:
    return fit_donors(FRAME, LABELS, "multiclass", FEATURES)


def test_swapped_cells_come_from_rows_of_the_same_class(donors: Donors) -> None:
    swapped = swap_noise(FRAME, LABELS, donors, STATE, 1.0)
    for name in FRAME.columns:
        assert swapped[name].str.slice(0, 1).to_list() == [str(label) for label in LABELS]
    assert (swapped["town"] != FRAME["town"]).mean() > 0.9
    assert set(swapped["town"]) == set(FRAME["town"])


def test_the_share_of_swapped_cells_is_the_one_asked_for(donors: Donors) -> None:
    swapped = swap_noise(FRAME, LABELS, donors, STATE, 0.2)
    # The 50 towns of a class are equally frequent, so every fiftieth swap changes nothing.
    assert within((swapped["town"] != FRAME["town"]).mean(), 0.2 * 0.98, ROWS)
    both = ((swapped["town"] != FRAME["town"]) & (swapped["age"] != FRAME["age"])).mean()
    assert within(both, 0.2 * 0.98 * 0.2 * 6 / 7, ROWS)  # columns are swapped apart


def test_a_class_that_no_donor_has_stays_as_it_is(donors: Donors) -> None:
    labels = np.full(ROWS, 7, np.int32)
    assert swap_noise(FRAME, labels, donors, STATE, 1.0).equals(FRAME)


def test_rows_of_a_number_give_to_those_in_the_same_tenth() -> None:
    values = np.linspace(-1, 1, ROWS, dtype=np.float32)
    frame = pl.DataFrame({"x": [str(i) for i in range(ROWS)]})
    fitted = fit_donors(frame, values, "regression", ())
    given = swap_noise(frame, values, fitted, STATE, 1.0)["x"].cast(pl.Int64).to_numpy()
    np.testing.assert_array_equal(given * 10 // ROWS, np.arange(ROWS) * 10 // ROWS)
    assert len(np.unique(given)) > ROWS / 2


def test_rows_with_the_same_set_of_labels_are_alike() -> None:
    labels = np.array([[0, 1], [1, 0], [0, 1], [1, 1]], dtype=np.float32)
    group = group_rows(labels, None)
    assert group[0] == group[2]
    assert len(set(group.tolist())) == 3


def test_numbers_move_by_ranks_and_only_to_numbers_that_are_there() -> None:
    numbers = np.sort(np.random.default_rng(0).lognormal(size=ROWS))
    frame = pl.DataFrame({"x": [f"${value:.6f}" for value in numbers]})
    features = (Feature("x", "x", "number", spelling="worded"),)
    fitted = fit_donors(frame, np.zeros(ROWS, np.int32), "binary", features)
    moved = jitter_numbers(frame, fitted, STATE, 0.05)["x"]
    ranks = {cell: i for i, cell in enumerate(frame["x"])}
    moves = np.array([ranks[cell] for cell in moved]) - np.arange(ROWS)
    inside = moves[ROWS // 4 : -ROWS // 4] / ROWS  # at the ends numbers stay in the table's range
    assert abs(inside.std() - 0.05) < 4 * 0.05 / np.sqrt(2 * len(inside))
    assert abs(inside.mean()) < 4 * 0.05 / np.sqrt(len(inside))


def test_a_value_on_many_rows_and_cells_without_a_number_stay() -> None:
    cells = ["0"] * 5000 + [str(i) for i in range(1, 901)] + ["?"] * 50 + [None] * 50
    frame = pl.DataFrame({"x": cells})
    fitted = fit_donors(frame, np.zeros(ROWS, np.int32), "binary", (Feature("x", "x", "number"),))
    moved = jitter_numbers(frame, fitted, STATE, 0.05)["x"]
    assert moved[:5000].to_list() == ["0"] * 5000
    assert (moved[5000:5900] != frame["x"][5000:5900]).mean() > 0.9
    assert moved[5900:].to_list() == cells[5900:]


def test_other_columns_are_not_moved(donors: Donors) -> None:
    moved = jitter_numbers(FRAME, donors, STATE, 0.3)
    assert moved["town"].equals(FRAME["town"])
    assert not moved["age"].equals(FRAME["age"])


def test_the_share_of_dropped_cells_is_the_one_asked_for() -> None:
    dropped = drop_cells(FRAME, STATE, 0.15)
    for name in FRAME.columns:
        assert within(dropped[name].is_null().mean(), 0.15, ROWS)
        kept = dropped[name].is_not_null()
        assert dropped[name].filter(kept).equals(FRAME[name].filter(kept))
    both = (dropped["town"].is_null() & dropped["age"].is_null()).mean()
    assert within(both, 0.15**2, ROWS)
