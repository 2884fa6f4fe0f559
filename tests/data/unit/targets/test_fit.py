"""Several targets in a row: label columns, label lists and steps come back as they were."""

import json

import numpy as np
import polars as pl
import pytest

from bert_playground.data.schema.roles import infer_roles
from bert_playground.data.splits.split import make_strata
from bert_playground.data.targets.fit import fit_targets, read_encoder, split_target
from bert_playground.data.targets.forecast import HorizonEncoder
from bert_playground.data.targets.multilabel import LabelListEncoder, MultilabelEncoder

LABELS = pl.DataFrame(
    {"name": ["a", "b", "c", "d"], "red": ["1", "0", "1", "0"], "big": ["no", "yes", "no", "no"]}
)
STEPS = pl.DataFrame({"h1": ["1.5", "2", "4"], "h2": ["-10", "0", "30"]})
LISTS = pl.DataFrame({"tags": ["red;big", "", "big", "['red', ]".replace(",", ";")]})


def test_a_target_is_one_column_or_several_between_commas() -> None:
    assert split_target("price", ["price", "b"]) == ("price",)
    assert split_target("a, b,c", ["a", "b", "c"]) == ("a", "b", "c")
    assert split_target("price, net", ["price, net", "price"]) == ("price, net",)
    assert split_target("nothing", ["a"]) == ("nothing",)


def test_label_columns_become_a_table_and_come_back_in_their_words() -> None:
    encoder = fit_targets(LABELS, "red,big", "multilabel")
    assert isinstance(encoder, MultilabelEncoder)
    assert (encoder.classes, encoder.num_labels) == (("red", "big"), 2)
    encoded = encoder.encode(LABELS)
    assert encoded.tolist() == [[1, 0], [0, 1], [1, 0], [0, 0]]
    assert encoded.dtype == np.int32
    answers = encoder.decode(encoded.astype(np.float32))
    assert answers["red"].to_list() == [1, 0, 1, 0]
    assert answers["big"].to_list() == ["no", "yes", "no", "no"]


def test_thresholds_say_from_where_on_a_label_is_there() -> None:
    encoder = MultilabelEncoder.fit(LABELS.select("red", "big"))
    scores = np.array([[0.4, 0.4], [0.6, 0.9]], dtype=np.float32)
    assert encoder.decode(scores)["red"].to_list() == [0, 1]
    assert encoder.decode(scores, (0.3, 0.95))["red"].to_list() == [1, 1]
    assert encoder.decode(scores, (0.3, 0.95))["big"].to_list() == ["no", "no"]
    assert encoder.probabilities(scores).columns == ["red", "big"]


def test_lists_of_labels_become_a_table_and_come_back_as_lists() -> None:
    encoder = fit_targets(LISTS, "tags", "multilabel")
    assert isinstance(encoder, LabelListEncoder)
    assert (encoder.classes, encoder.separator) == (("big", "red"), ";")
    encoded = encoder.encode(LISTS)
    assert encoded.tolist() == [[1, 1], [0, 0], [1, 0], [0, 1]]
    assert encoder.decode(encoded)["tags"].to_list() == ["big;red", "", "big", "red"]


@pytest.mark.parametrize("cells", [["a b", "b", "c"], ["a, b", "b", "c"], ["a|b", "b", "c"]])
def test_other_separators_are_found(cells: list[str]) -> None:
    encoder = LabelListEncoder.fit(pl.DataFrame({"tags": cells}))
    assert encoder.classes == ("a", "b", "c")
    assert encoder.encode(pl.DataFrame({"tags": cells})).sum(axis=0).tolist() == [1, 2, 1]


def test_steps_are_standardised_one_by_one_and_come_back_in_their_units() -> None:
    encoder = fit_targets(STEPS, "h1,h2", "timeseries")
    assert isinstance(encoder, HorizonEncoder)
    encoded = encoder.encode(STEPS)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(encoded.std(axis=0), 1, atol=1e-6)
    answers = encoder.decode(encoded)
    np.testing.assert_allclose(answers["h1"].to_numpy(), [1.5, 2, 4], rtol=1e-5)
    np.testing.assert_allclose(answers["h2"].to_numpy(), [-10, 0, 30], atol=1e-4)


def test_positive_skewed_steps_are_logged_together() -> None:
    values = np.exp(np.random.default_rng(0).normal(5, 1, (200, 2)))
    frame = pl.DataFrame({"h1": values[:, 0], "h2": values[:, 1]})
    encoder = HorizonEncoder.fit(frame)
    assert encoder.uses_log
    np.testing.assert_allclose(encoder.decode(encoder.encode(frame)).to_numpy(), values, rtol=1e-4)
    with pytest.raises(ValueError, match="go down to -3"):
        encoder.encode(pl.DataFrame({"h1": ["1"], "h2": ["-3"]}))


@pytest.mark.parametrize(
    "encoder",
    [
        MultilabelEncoder.fit(LABELS.select("red", "big")),
        LabelListEncoder.fit(LISTS),
        HorizonEncoder.fit(STEPS),
        fit_targets(LABELS, "big", "binary"),
        fit_targets(LABELS, "name", "ordinal", ["d", "c", "b", "a"]),
    ],
)
def test_every_encoder_survives_json(encoder) -> None:
    assert read_encoder(json.loads(json.dumps(encoder.to_dict()))) == encoder


def test_classes_in_order_are_numbered_along_it() -> None:
    frame = pl.DataFrame({"size": ["small", "large", "medium", "small"]})
    encoder = fit_targets(frame, "size", "ordinal", ["small", "medium", "large"])
    assert encoder.encode(frame["size"]).tolist() == [0, 2, 1, 0]
    assert encoder.num_labels == 3
    # The median of each distribution, not its peak.
    scores = np.array([[0.4, 0.25, 0.35], [0.6, 0.0, 0.4], [0.1, 0.2, 0.7]])
    assert encoder.decode(scores).to_list() == ["medium", "small", "large"]
    assert encoder.probabilities(scores).columns == ["small", "medium", "large"]


def test_numbers_order_themselves() -> None:
    encoder = fit_targets(pl.DataFrame({"stars": ["10", "9", "8"]}), "stars", "ordinal")
    assert encoder.classes == (8, 9, 10)
    down = fit_targets(
        pl.DataFrame({"stars": ["10", "9", "8"]}), "stars", "ordinal", ["10", "9", "8"]
    )
    assert down.classes == (10, 9, 8)


@pytest.mark.parametrize(
    ("cells", "task", "order", "message"),
    [
        (
            ["low", "high"],
            "ordinal",
            None,
            r"give it lowest first as data.class_order: \[high, low\]",
        ),
        (["low", "high"], "ordinal", ["low", "mid"], "it lacks high"),
        (["low", "high"], "ordinal", ["low", "high", "low"], "names a class twice"),
        (["1", "2"], "ordinal", ["1", "two"], "or one of another kind"),
        (["1", "1"], "ordinal", None, "single class 1"),
        (["1", "2"], "binary", ["1", "2"], "belongs to task ordinal, but this one is binary"),
        (["x", "x"], "multilabel", None, "has 1 different labels"),
    ],
)
def test_an_order_or_label_that_does_not_fit_is_refused(
    cells: list[str], task: str, order: list[str] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_targets(pl.DataFrame({"y": cells}), "y", task, order)


def test_several_targets_need_a_task_for_them() -> None:
    with pytest.raises(ValueError, match=r"names 2: red, big; .* --task multilabel or timeseries"):
        fit_targets(LABELS, "red,big", "binary")


def test_all_unfit_label_columns_are_listed() -> None:
    frame = pl.DataFrame({"a": ["0", "0"], "b": ["1", "0"], "c": ["1", None]})
    with pytest.raises(ValueError, match=r"'a' has the single class.*'c' is missing in 1 of 2"):
        fit_targets(frame, "a,b,c", "multilabel")
    three = pl.DataFrame({"a": ["0", "1", "2"], "b": ["1", "0", "1"]})
    with pytest.raises(ValueError, match="needs 2 classes, but target 'a' has 3"):
        fit_targets(three, "a,b", "multilabel")


def test_steps_that_are_no_numbers_or_never_change_are_refused() -> None:
    with pytest.raises(ValueError, match="'h2' is no finite number in 1 rows"):
        fit_targets(pl.DataFrame({"h1": ["1", "2"], "h2": ["1", "x"]}), "h1,h2", "timeseries")
    with pytest.raises(ValueError, match="targets h2 have a single value"):
        fit_targets(pl.DataFrame({"h1": ["1", "2"], "h2": ["1", "1"]}), "h1,h2", "timeseries")


def test_unseen_labels_are_named() -> None:
    with pytest.raises(ValueError, match=r"1 label\(s\) that no training row has: round"):
        LabelListEncoder.fit(LISTS).encode(pl.DataFrame({"tags": ["red;round"]}))


def test_the_task_of_several_columns_is_inferred() -> None:
    labels = infer_roles(LABELS, target="red,big")
    assert (labels.task, labels.targets) == ("multilabel", ("red", "big"))
    assert labels.statements[0] == (
        "targets: red, big, multilabel (as given); override with --target or --task"
    )
    assert infer_roles(STEPS, target="h1,h2").task == "timeseries"
    with pytest.raises(ValueError, match="but name hold neither"):
        infer_roles(LABELS, target="red,name")
    with pytest.raises(ValueError, match="'blue'"):
        infer_roles(LABELS, target="red,blue")


def test_a_split_keeps_the_shares_of_label_combinations_and_of_mean_steps() -> None:
    labels = np.array([[0, 1], [1, 0], [0, 1], [1, 1]])
    strata = make_strata(labels, is_classification=True)
    assert strata[0] == strata[2]
    assert len(np.unique(strata)) == 3
    steps = np.random.default_rng(0).normal(size=(100, 3))
    assert np.bincount(make_strata(steps, is_classification=False)).tolist() == [10] * 10
