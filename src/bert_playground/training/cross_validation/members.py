"""choose_members: which models are fitted on each fold: encoders, and the models beside them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bert_playground.config.schema import RunConfig
from bert_playground.lookup import look_up, shorten
from bert_playground.models.ensemble import vary
from bert_playground.models.hub_files import find_cached
from bert_playground.tabular.estimators import ESTIMATORS, available_estimators, find_estimator
from bert_playground.training.summary import SUGGESTED

BESIDE = "beside"  # all models beside the encoder that are installed
TUNED = "tuned"  # the first encoder with other settings, which are tried when all others are fitted
Changes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Member:
    """A model of each fold.

    Attributes:
        name: of its column among the out-of-fold answers.
        is_encoder: whether it is trained by gradient descent; else it is fitted by another library.
        changes: section → settings that differ from the configuration, of an encoder.
        teacher: the member whose answers to the test table it learns from too; None: from labels alone.
        is_tuned: whether its settings are tried when all others are fitted.
    """

    name: str
    is_encoder: bool
    changes: Changes = field(default_factory=dict)
    teacher: str | None = None
    is_tuned: bool = False

    def configure(self, config: RunConfig, seed: int) -> RunConfig:
        """The configuration of one model of this member: a single run of its own seed."""
        changes: dict[str, dict[str, Any]] = {
            "training": {"seed": seed},
            "ensemble": {"num_models": 1},
            "tracking": {"mlflow": False},
            "cross_validation": {"folds": None},
        }
        for section, values in self.changes.items():
            changes[section] = {**changes.get(section, {}), **values}
        offset = changes["training"].pop("seed_offset", 0)
        changes["training"]["seed"] = seed + offset
        changes["training"]["report"] = False  # that of the run over folds shows each member
        return config.with_changes(changes)


def choose_members(config: RunConfig) -> tuple[Member, ...]:
    """The models that are asked for; unasked, the encoder and everything else that is installed.

    Raises:
        ValueError: unknown names, a name given twice, or a library that is not installed.
    """
    asked = config.cross_validation.members
    if asked is None:
        asked = ("encoder", BESIDE)
    others = tuple(name for name in available_estimators() if name not in asked)
    asked = tuple(name for each in asked for name in (others if each == BESIDE else (each,)))
    if not asked:
        raise ValueError("cross_validation.members is empty; leave it out, or name some")
    if len(set(asked)) < len(asked):
        raise ValueError(f"cross_validation.members names one twice: {', '.join(asked)}")
    known = {**dict.fromkeys((*ENCODERS, TUNED, BESIDE)), **ESTIMATORS}
    for name in asked:
        look_up(known, name, "member")
    members = [member for name in asked for member in _find_members(name, config)]
    if not members:
        reasons = "; ".join(f"{name}: {why}" for name, why in find_unavailable(config).items())
        raise ValueError(f"none of {', '.join(asked)} can be fitted here ({reasons})")
    if config.cross_validation.pseudo is not None and not any(each.teacher for each in members):
        raise ValueError(
            "--pseudo lets an encoder learn from the test table too, and none is among the members; name one, such as "
            "encoder, or leave it out"
        )
    # They are fitted after the others, whose answers they learn from.
    members.sort(key=lambda member: member.teacher is not None)
    if TUNED in asked:
        if not any(member.is_encoder for member in members):
            raise ValueError(
                "member tuned tries settings of the first encoder among the members; name one too, such as encoder,tuned"
            )
        members.append(Member(TUNED, is_encoder=True, is_tuned=True))
    return tuple(members)


def find_unavailable(config: RunConfig) -> dict[str, str]:
    """Encoder that is asked for and cannot be fitted here → why."""
    asked = config.cross_validation.members or ()
    why = f"no --model is given, and {SUGGESTED} has not been downloaded"
    return {
        name: why for name in asked if name in ENCODERS and ENCODERS[name](name, config) is None
    }


def _find_members(name: str, config: RunConfig) -> list[Member]:
    """Those of one name; the tuned one is made when the others are known."""
    if name == TUNED:
        return []
    if name in ENCODERS:
        return _vary_encoder(ENCODERS[name](name, config), config)
    find_estimator(name)
    if config.data.weight_column is not None:
        raise ValueError(
            f"member {name} reads no data.weight_column; leave it out, or cross-validate the encoder alone: "
            "cross_validation.members [encoder]"
        )
    return [Member(name, is_encoder=False)]


def _vary_encoder(found: Member | None, config: RunConfig) -> list[Member]:
    """The member, as many times as `ensemble.num_models` says, and the one that learns from pseudo-labels."""
    if found is None:
        return []
    members = [found]
    asked = config.ensemble
    if asked.num_models > 1:
        architecture = config.model.architecture if config.model.pretrained is None else None
        variations = vary(asked.diversity_strategy, asked.num_models, architecture)
        members = [
            Member(
                f"{found.name}_{number}",
                is_encoder=True,
                changes=_join(
                    {"training": {"seed_offset": variation.seed_offset}, **found.changes},
                    variation.settings(config.data.sample_fraction),
                ),
            )
            for number, variation in enumerate(variations, start=1)
        ]
    if config.cross_validation.pseudo is not None:
        first = members[0]
        members.append(
            Member(
                f"{found.name}_pseudo",
                is_encoder=True,
                changes=first.changes,
                teacher=first.name,
            )
        )
    return members


def _join(first: Changes, second: Changes) -> dict[str, dict[str, Any]]:
    return {name: {**first.get(name, {}), **second.get(name, {})} for name in {*first, *second}}


def _as_asked(name: str, config: RunConfig) -> Member | None:
    return Member(name, is_encoder=True)


def _from_random_weights(name: str, config: RunConfig) -> Member | None:
    return Member(name, is_encoder=True, changes={"model": {"pretrained": None, "pretrain": "off"}})


def _from_masked_words(name: str, config: RunConfig) -> Member | None:
    return Member(name, is_encoder=True, changes={"model": {"pretrained": None, "pretrain": "on"}})


def _from_checkpoint(name: str, config: RunConfig) -> Member | None:
    """The checkpoint that is named, else the suggested one where it lies in the Hub's cache already."""
    given = config.model.pretrained
    if given is None:
        cached = find_cached(SUGGESTED)
        if cached is None:
            return None
        given = str(cached)
    return Member(
        name, is_encoder=True, changes={"model": {"pretrained": given, "pretrain": "off"}}
    )


# name → the member, or None where it cannot be fitted here.
ENCODERS: dict[str, Callable[[str, RunConfig], Member | None]] = {
    "encoder": _as_asked,
    "scratch": _from_random_weights,
    "pretrained": _from_masked_words,
    "checkpoint": _from_checkpoint,
}


def describe_members(members: tuple[Member, ...]) -> str:
    """Their names in a phrase."""
    return shorten(member.name for member in members)
