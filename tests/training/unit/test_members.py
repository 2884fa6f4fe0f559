"""choose_members: names, and what goes with what."""

import pytest

from bert_playground.config import load_config
from bert_playground.training.cross_validation.members import choose_members


def names_of(**asked: object) -> list[str]:
    config, _ = load_config({"cross_validation": {"folds": 2, **asked}}, environment={})
    return [member.name for member in choose_members(config)]


def test_the_tuned_member_comes_last_and_once() -> None:
    assert names_of(members=["tuned", "encoder", "linear"]) == ["encoder", "linear", "tuned"]


def test_the_tuned_member_has_no_pseudo_labels_of_its_own() -> None:
    assert names_of(members=["encoder", "tuned"], pseudo=0.9) == [
        "encoder",
        "encoder_pseudo",
        "tuned",
    ]


def test_there_is_nothing_to_tune_without_an_encoder() -> None:
    with pytest.raises(ValueError, match="name one too, such as encoder,tuned"):
        names_of(members=["linear", "tuned"])


def test_a_misspelt_member_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="tuned"):
        names_of(members=["encoder", "tunned"])
