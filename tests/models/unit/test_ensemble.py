"""Ensemble: the mean of its members' answers; how they come to differ; saved and loaded; refusals."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.models.bert_with_head import ENCODERS, BertWithHead
from bert_playground.models.ensemble import (
    POOLINGS,
    SAMPLE_FRACTION,
    STRATEGIES,
    Ensemble,
    average_answers,
    read_manifest,
    vary,
)
from bert_playground.models.factory import create_ensemble, create_model
from bert_playground.models.tokenwise import named_parameters
from tests.models.layouts import as_packed
from tests.models.tiny import largest_difference, make_rows
from tests.tolerances import LAYOUT

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "classifier_std": 1.0,
}


def make(head_type: str = "binary", num_labels: int | None = None, **options: Any) -> BertWithHead:
    return create_model("bert", head_type, num_labels, **(SIZES | options))


@pytest.mark.parametrize(
    ("head_type", "num_labels"), [("binary", 2), ("multiclass", 3), ("regression", None)]
)
def test_the_answer_is_the_mean_of_the_members(head_type: str, num_labels: int | None) -> None:
    members = [make(head_type, num_labels) for _ in range(3)]
    ensemble, tokens = Ensemble(members), make_rows([6, 4])
    ensemble.eval()
    answers = np.stack([np.array(member.head.predict(member(tokens))) for member in members])
    assert answers.std(axis=0).min() > 0
    np.testing.assert_allclose(np.array(ensemble(tokens)), answers.mean(axis=0), atol=1e-6)
    assert largest_difference(ensemble(as_packed(tokens)), ensemble(tokens)) < LAYOUT


def test_weights_count() -> None:
    members, tokens = [make().eval(), make().eval()], make_rows([6, 4])
    ensemble = Ensemble(members, weights=[3, 1])
    first, second = (np.array(member.head.predict(member(tokens))) for member in members)
    assert ensemble.weights == (0.75, 0.25)
    np.testing.assert_allclose(np.array(ensemble(tokens)), 0.75 * first + 0.25 * second, atol=1e-6)


def test_deviations_are_those_of_the_mixture() -> None:
    answers = [mx.array([[0.0, 1.0], [2.0, 0.5]]), mx.array([[4.0, 1.0], [2.0, 0.5]])]
    mixed = np.array(average_answers(answers, (0.5, 0.5), "regression"))
    # The first row's means are 2 away from their mean, so its variance is 1 + 4.
    np.testing.assert_allclose(mixed, [[2.0, 5**0.5], [2.0, 0.5]], rtol=1e-6)


def test_probabilities_of_two_classes_are_no_mean_and_deviation() -> None:
    answers = [mx.array([[0.2, 0.8]]), mx.array([[0.6, 0.4]])]
    mixed = np.array(average_answers(answers, (0.5, 0.5), "multilabel"))
    np.testing.assert_allclose(mixed, [[0.4, 0.6]], rtol=1e-6)


def test_each_strategy_varies_one_thing() -> None:
    assert [v.seed_offset for v in vary("different_seeds", 3, "bert")] == [0, 1, 2]
    assert {v.sample_fraction for v in vary("data_subsamples", 3)} == {SAMPLE_FRACTION}
    kinds = [v.architecture for v in vary("architectures", 4, "modernbert")]
    assert kinds[0] == "modernbert"
    assert set(kinds[: len(ENCODERS)]) == set(ENCODERS)
    assert [v.pooling for v in vary("heads", 5)] == [*POOLINGS, POOLINGS[0]]
    for strategy in STRATEGIES:
        assert [v.seed_offset for v in vary(strategy, 2, "bert")] == [0, 1]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_create_ensemble_makes_members_that_differ(strategy: str) -> None:
    ensemble = create_ensemble("bert", 3, strategy, **SIZES)
    assert ensemble.strategy == strategy
    assert len(ensemble.members) == 3
    words = [named_parameters(m)["encoder.embeddings.words.weight"] for m in ensemble.members]
    assert not mx.array_equal(words[0], words[1])
    families = {member.encoder.config.model_type for member in ensemble.members}
    assert len(families) == (3 if strategy == "architectures" else 1)
    poolings = {member.head.config.pooling for member in ensemble.members}
    assert len(poolings) == 3 or strategy != "heads"
    assert ensemble(make_rows([5, 3])).shape == (2,)


def test_create_ensemble_starts_from_a_checkpoint(references: Path) -> None:
    ensemble = create_ensemble(str(references / "bert"), 2, "heads", num_labels=3)
    first, second = (named_parameters(member.encoder) for member in ensemble.members)
    assert all(mx.array_equal(first[name], second[name]) for name in first)
    assert [member.head.config.pooling for member in ensemble.members] == ["cls", "mean"]
    classifiers = [member.head.classifier.weight for member in ensemble.members]
    assert not mx.array_equal(*classifiers)


def test_it_is_saved_and_loaded_whole(tmp_path: Path) -> None:
    ensemble = create_ensemble("bert", 2, "heads", num_labels=3, weights=[2, 1], **SIZES)
    ensemble.eval()
    ensemble.save(tmp_path / "both", labels=["a", "b", "c"])
    loaded, tokens = Ensemble.load(tmp_path / "both"), make_rows([6, 4])
    assert largest_difference(loaded(tokens), ensemble(tokens)) < LAYOUT
    assert (loaded.weights, loaded.strategy) == (ensemble.weights, "heads")
    assert not loaded.training
    config = json.loads((tmp_path / "both/member_1/config.json").read_text())
    assert config["id2label"] == {"0": "a", "1": "b", "2": "c"}


def test_members_that_answer_differently_are_refused() -> None:
    with pytest.raises(ValueError, match="heads alike, got binary with 1 outputs, multiclass"):
        Ensemble([make(), make("multiclass", 3)])
    with pytest.raises(ValueError, match="heads alike, got none"):
        Ensemble([])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "1 weights for 2 members"),
        ([1.0, -1.0], "expected numbers from 0 on"),
        ([0.0, 0.0], "not all 0"),
        ([1.0, float("nan")], "expected numbers"),
    ],
)
def test_impossible_weights_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ensemble([make(), make()], weights=weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("modernbrt",), r"unknown base model 'modernbrt'; did you mean 'modernbert'"),
        (("bert", 1), "at least 2 models, got 1"),
        (("bert", 2, "diferent_seeds"), "did you mean 'different_seeds'"),
    ],
)
def test_impossible_ensembles_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_ensemble(*arguments, **SIZES)


def test_a_checkpoint_has_one_architecture(references: Path) -> None:
    with pytest.raises(ValueError, match="a checkpoint has one architecture"):
        create_ensemble(str(references / "bert"), 2, "architectures")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"members": []}, ValueError, "no list of members"),
        ({"format": 7}, ValueError, "no list of members in format 1"),
        ({"members": ["../elsewhere"]}, ValueError, "outside its folder: ../elsewhere"),
        ({"members": ["member_0", "member_9"]}, FileNotFoundError, "lacks member_9"),
        ({"weights": [1]}, ValueError, "1 weights for 2 members"),
    ],
)
def test_a_damaged_manifest_is_refused(
    change: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    create_ensemble("bert", 2, **SIZES).save(tmp_path / "both")
    path = tmp_path / "both/ensemble.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(error, match=message):
        read_manifest(tmp_path / "both")


def test_a_folder_without_manifest_is_no_ensemble(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no ensemble\.json"):
        Ensemble.load(tmp_path)
