"""choose_members: names, and what goes with what."""

import pytest

from bert_playground.config import load_config
from bert_playground.training.cross_validation import members
from bert_playground.training.cross_validation.members import choose_members, find_unavailable


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


def test_members_that_learn_from_answers_come_after_those_who_answer() -> None:
    names = names_of(members=["encoder", "scratch", "linear"], pseudo=0.9)
    assert names == ["encoder", "scratch", "linear", "encoder_pseudo", "scratch_pseudo"]


def test_there_is_nobody_to_learn_from_pseudo_labels_without_an_encoder() -> None:
    with pytest.raises(ValueError, match="none is among the members; name one, such as encoder"):
        names_of(members=["linear"], pseudo=0.9)


def test_all_beside_the_encoder_are_those_that_are_not_named_yet() -> None:
    names = names_of(members=["linear", "beside"])
    assert names[:2] == ["linear", "constant"]
    assert len(set(names)) == len(names)


def test_a_checkpoint_that_was_never_downloaded_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "find_cached", lambda name: None)
    asked = {"folds": 2, "members": ["checkpoint", "linear"]}
    config, _ = load_config({"cross_validation": asked}, environment={})
    assert [member.name for member in choose_members(config)] == ["linear"]
    (why,) = find_unavailable(config).values()
    assert why.endswith("sentence-transformers/all-MiniLM-L6-v2 has not been downloaded")
    with pytest.raises(ValueError, match=r"can be fitted here \(checkpoint: no --model is given"):
        names_of(members=["checkpoint"])


def test_a_checkpoint_in_the_cache_is_used_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "find_cached", lambda name: f"cache/{name}")
    config, _ = load_config(
        {"cross_validation": {"folds": 2, "members": ["checkpoint"]}}, environment={}
    )
    (member,) = choose_members(config)
    model = member.configure(config, 0).model
    assert model.pretrained == "cache/sentence-transformers/all-MiniLM-L6-v2"
    assert find_unavailable(config) == {}
