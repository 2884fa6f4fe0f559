"""LabelEncoder: labels come back in the type and the units they had."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.data.reading.table import as_text
from bert_playground.data.targets.label_encoder import LabelEncoder


@pytest.mark.parametrize(
    ("values", "classes", "dtype"),
    [
        (["1", "0", "1"], (0, 1), pl.Int64),
        (["True", "False", "True"], (False, True), pl.Boolean),
        (["yes", "no", "no"], ("no", "yes"), pl.String),
        ([">50K", "<=50K", "<=50K"], ("<=50K", ">50K"), pl.String),
        (["01", "02", "01"], ("01", "02"), pl.String),
        (["10", "9", "9"], (9, 10), pl.Int64),
        (["1.5", "0.5", "1.5"], (0.5, 1.5), pl.Float64),
        ([True, False, False], (False, True), pl.Boolean),
        ([2, 1, 1], (1, 2), pl.Int64),
    ],
)
def test_binary_labels_come_back_in_their_type(
    values: list[object], classes: tuple[object, ...], dtype: pl.DataType
) -> None:
    labels = pl.Series("y", values)
    encoder = LabelEncoder.fit(labels, "binary")
    assert encoder.classes == classes
    assert encoder.num_labels == 1
    decoded = encoder.decode(encoder.encode(labels).astype(np.float32))
    assert decoded.dtype == dtype
    assert (
        as_text(decoded.to_frame()).to_series().to_list()
        == as_text(labels.to_frame()).to_series().to_list()
    )


def test_multiclass_takes_the_largest_probability() -> None:
    encoder = LabelEncoder.fit(pl.Series("y", ["b", "a", "c", "a"]), "multiclass")
    assert encoder.num_labels == 3
    assert encoder.encode(pl.Series("y", ["c", "a"])).tolist() == [2, 0]
    assert encoder.decode(np.array([[0.1, 0.7, 0.2], [0.2, 0.2, 0.6]])).to_list() == ["b", "c"]


def test_floats_name_the_same_integer_classes() -> None:
    encoder = LabelEncoder.fit(pl.Series("y", ["0", "1"]), "binary")
    assert encoder.encode(pl.Series("y", [1.0, 0.0])).tolist() == [1, 0]
    assert encoder.encode(pl.Series("y", ["1.0", "0"])).tolist() == [1, 0]


def test_unseen_label_is_an_error() -> None:
    encoder = LabelEncoder.fit(pl.Series("y", ["no", "yes"]), "binary")
    with pytest.raises(
        ValueError, match=r"1 label\(s\) that no training row has: maybe \(known: no, yes\)"
    ):
        encoder.encode(pl.Series("y", ["no", "maybe"]))


def test_single_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="single class 1 in 3 rows"):
        LabelEncoder.fit(pl.Series("y", ["1", "1", "1"]), "binary")


def test_constant_regression_target_is_an_error() -> None:
    with pytest.raises(ValueError, match="single value"):
        LabelEncoder.fit(pl.Series("y", ["1.5", "1.5"]), "regression")


def test_three_classes_are_not_binary() -> None:
    with pytest.raises(ValueError, match=r"needs 2 classes.*--task multiclass"):
        LabelEncoder.fit(pl.Series("y", ["a", "b", "c"]), "binary")


@pytest.mark.parametrize("hole", [None, "", "NaN", " nan "])
def test_missing_labels_are_counted_and_placed(hole: str | None) -> None:
    with pytest.raises(ValueError, match=r"missing in 2 of 4 rows \(rows 2, 4.*remove"):
        LabelEncoder.fit(pl.Series("y", ["1", hole, "0", hole]), "binary")


def test_a_word_is_no_regression_target() -> None:
    with pytest.raises(ValueError, match=r"no finite number in 1 rows, such as row 2: 'cheap'"):
        LabelEncoder.fit(pl.Series("y", ["1.5", "cheap", "3"]), "regression")


def test_regression_is_standardised_and_inverted() -> None:
    labels = pl.Series("y", np.linspace(-5, 5, 50))
    encoder = LabelEncoder.fit(labels, "regression")
    encoded = encoder.encode(labels)
    assert not encoder.uses_log
    assert encoded.dtype == np.float32
    np.testing.assert_allclose([encoded.mean(), encoded.std()], [0, 1], atol=1e-6)
    np.testing.assert_allclose(
        encoder.decode(encoded).to_numpy(), labels.to_numpy(), rtol=1e-5, atol=1e-5
    )


def test_positive_skewed_targets_are_logged() -> None:
    labels = pl.Series("price", np.exp(np.random.default_rng(0).normal(12, 0.6, 300)))
    encoder = LabelEncoder.fit(labels, "regression")
    assert encoder.uses_log
    assert "log1p" in encoder.describe()
    np.testing.assert_allclose(
        encoder.decode(encoder.encode(labels)).to_numpy(), labels.to_numpy(), rtol=1e-4
    )


def test_probabilities_have_a_column_per_class() -> None:
    encoder = LabelEncoder.fit(pl.Series("y", ["0", "1"]), "binary")
    frame = encoder.probabilities(np.array([0.25, 1.0]))
    assert frame.to_dict(as_series=False) == {"0": [0.75, 0.0], "1": [0.25, 1.0]}
    with pytest.raises(ValueError, match="regression"):
        LabelEncoder.fit(pl.Series("y", [1.0, 2.5]), "regression").probabilities(np.zeros(2))


@given(
    st.lists(
        st.one_of(st.integers(-(10**9), 10**9), st.booleans()), min_size=2, max_size=20, unique=True
    )
)
def test_json_round_trip_keeps_the_encoder(values: list[int]) -> None:
    encoder = LabelEncoder.fit(pl.Series("y", [str(value) for value in values]), "multiclass")
    assert LabelEncoder.from_dict(json.loads(json.dumps(encoder.to_dict()))) == encoder


def test_deviations_come_back_in_the_units_of_the_target() -> None:
    labels = pl.Series("y", np.linspace(-5, 5, 50))
    encoder = LabelEncoder.fit(labels, "regression")
    scores = np.array([[0.0, 0.5], [1.0, 2.0]])
    np.testing.assert_allclose(encoder.decode(scores), [0, encoder.scale], atol=1e-9)
    np.testing.assert_allclose(
        encoder.deviations_in_units(scores), [0.5 * encoder.scale, 2 * encoder.scale]
    )


def test_the_deviation_of_a_logged_target_is_that_of_the_log_normal() -> None:
    labels = pl.Series("price", np.exp(np.random.default_rng(0).normal(12, 0.6, 300)))
    encoder = LabelEncoder.fit(labels, "regression")
    draws = np.random.default_rng(1).standard_normal(400_000) * 0.5 + 0.3
    expected = encoder.in_units(draws).std()
    actual = encoder.deviations_in_units(np.array([[0.3, 0.5]]))
    np.testing.assert_allclose(actual, [expected], rtol=0.01)


def test_targets_with_signs_are_learned_and_answered_as_numbers() -> None:
    labels = pl.Series("price", ["$1,250.50", "-$3", "$70", "$0.50"])
    encoder = LabelEncoder.from_dict(
        json.loads(json.dumps(LabelEncoder.fit(labels, "regression").to_dict()))
    )
    answers = encoder.decode(encoder.encode(labels))
    assert answers.to_list() == pytest.approx([1250.5, -3, 70, 0.5], abs=1e-3)
    assert encoder.encode(pl.Series("price", ["$70"]))[0] == encoder.encode(labels)[2]


def test_states_of_before_spellings_are_read() -> None:
    state = LabelEncoder.fit(pl.Series("price", ["1", "2.5", "3"]), "regression").to_dict()
    del state["spelling"]
    assert LabelEncoder.from_dict(state).encode(pl.Series("price", ["2.5"])).shape == (1,)


def test_a_question_mark_is_no_label() -> None:
    with pytest.raises(ValueError, match="is missing in 2 of 4 rows"):
        LabelEncoder.fit(pl.Series("y", ["a", "?", "b", "#N/A"]), "binary")
