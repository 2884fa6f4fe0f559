"""Ensemble: several models, one averaged answer; STRATEGIES: how they come to differ."""

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import mlx.core as mx
import mlx.nn as nn

from bert_playground.documents import Document, check, read_json
from bert_playground.files import replaced_directory, write_text
from bert_playground.lookup import look_up, shorten
from bert_playground.models.bert_with_head import ENCODERS, BertWithHead
from bert_playground.models.checkpoint import load_model, save_model
from bert_playground.runs import BLEND_NAME, ENSEMBLE_NAME
from bert_playground.tokens import Tokens

FORMAT = 1  # of ensemble.json
SAMPLE_FRACTION = 0.8  # of the training rows, for each member of data_subsamples
POOLINGS = ("cls", "mean", "attention", "max")


@dataclass(frozen=True)
class Variation:
    """What one member has of its own; None: as all others.

    Attributes:
        seed_offset: added to the seed of weights, order and dropout.
        architecture: a name in ENCODERS.
        pooling: of the head.
        sample_fraction: the part of the training rows that it sees.
        fold: of the folds file, that it is validated on.
    """

    seed_offset: int
    architecture: str | None = None
    pooling: str | None = None
    sample_fraction: float | None = None
    fold: int | None = None

    def settings(self, sample_fraction: float) -> dict[str, dict[str, Any]]:
        """Section → setting → value of a configuration, but for the seed.

        Args:
            sample_fraction: that the configuration asks of all members.
        """
        changes: dict[str, dict[str, Any]] = {}
        if self.architecture is not None:
            changes["model"] = {"architecture": self.architecture}
        if self.pooling is not None:
            changes["head"] = {"pooling": self.pooling}
        if self.sample_fraction is not None:
            changes["data"] = {"sample_fraction": sample_fraction * self.sample_fraction}
        if self.fold is not None:
            changes.setdefault("data", {})["fold"] = self.fold
        return changes


def _other_seed(index: int, architecture: str | None) -> Variation:
    return Variation(index)


def _other_rows(index: int, architecture: str | None) -> Variation:
    """Buehlmann and Yu 2002, Analyzing bagging: subsamples without replacement do what bootstrap samples do."""
    return Variation(index, sample_fraction=SAMPLE_FRACTION)


def _other_architecture(index: int, architecture: str | None) -> Variation:
    if architecture is None:
        raise ValueError(
            "a checkpoint has one architecture; for the strategy 'architectures' start from random weights, "
            "or take 'different_seeds'"
        )
    names = [architecture, *(name for name in ENCODERS if name != architecture)]
    return Variation(index, architecture=names[index % len(names)])


def _other_head(index: int, architecture: str | None) -> Variation:
    return Variation(index, pooling=POOLINGS[index % len(POOLINGS)])


STRATEGIES: dict[str, Callable[[int, str | None], Variation]] = {
    "different_seeds": _other_seed,
    "data_subsamples": _other_rows,
    "architectures": _other_architecture,
    "heads": _other_head,
}


def vary(strategy: str, num_models: int, architecture: str | None = None) -> list[Variation]:
    """What each member of an ensemble has of its own; other seeds they have with every strategy.

    Args:
        strategy: a name in STRATEGIES.
        num_models: how many members.
        architecture: of the first member; None: they start from a checkpoint.

    Raises:
        ValueError: unknown strategy, too few members, or a strategy that a checkpoint does not allow.
    """
    chosen = look_up(STRATEGIES, strategy, "diversity strategy")
    if num_models < 2:
        raise ValueError(f"an ensemble needs at least 2 models, got {num_models}")
    return [chosen(index, architecture) for index in range(num_models)]


class Ensemble(nn.Module):
    """Models that answer the same question on the same tokens; the answer is the mean of theirs.

    Args:
        members: at least one; their heads give answers of the same kind.
        weights: how much each member counts, in any unit; None: all the same.
        strategy: how the members came to differ, a name in STRATEGIES; None: not known.

    Raises:
        ValueError: heads that do not answer alike, or weights that are no weights.
    """

    def __init__(
        self,
        members: Sequence[BertWithHead],
        weights: Sequence[float] | None = None,
        strategy: str | None = None,
    ) -> None:
        super().__init__()
        kinds = {(member.head.head_type, member.head.output_size) for member in members}
        if len(kinds) != 1:
            listed = ", ".join(f"{name} with {size} outputs" for name, size in sorted(kinds))
            raise ValueError(f"the members of an ensemble need heads alike, got {listed or 'none'}")
        beside = sorted({member.num_numbers for member in members})
        if len(beside) != 1:
            raise ValueError(
                "the members of an ensemble read the same rows, but their heads have "
                f"{' or '.join(map(str, beside))} numeric features; make them alike"
            )
        self.members = list(members)
        self.strategy = strategy
        self._weights = check_weights(weights, len(members))

    @property
    def weights(self) -> tuple[float, ...]:
        """How much each member counts; they sum to 1."""
        return self._weights

    def __call__(self, tokens: Tokens) -> mx.array:
        """The mean of the members' answers: probabilities, or values. [B] or [B, L] in f32."""
        answers = [member.head.predict(member(tokens)) for member in self.members]
        return average_answers(answers, self._weights, self.members[0].head.head_type)

    def save(self, directory: str | Path, labels: Sequence[Any] | None = None) -> None:
        """Write a folder per member and ensemble.json; the folder appears complete or not at all.

        Args:
            directory: the folder.
            labels: see `save_model`.
        """
        with replaced_directory(Path(directory)) as temporary:
            folders = [temporary / f"member_{index}" for index in range(len(self.members))]
            for member, folder in zip(self.members, folders, strict=True):
                save_model(member, folder, labels)
            write_manifest(temporary, folders, weights=self.weights, strategy=self.strategy)

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read a folder that `save`, or `bert train --ensemble`, wrote.

        Raises:
            FileNotFoundError: it has no ensemble.json, or a member is missing.
            ValueError: a file is damaged.
        """
        manifest = read_manifest(Path(directory))
        members = [load_model(folder) for folder in manifest.members]
        ensemble = cls(members, manifest.weights, manifest.strategy)
        ensemble.eval()
        return ensemble


def refuse_ensemble(directory: Path) -> None:
    """Refuse a folder of several checkpoints where one is asked for.

    Raises:
        ValueError: it is one; the message names its members.
    """
    if kind := name_together(directory):
        members = ", ".join(map(str, checkpoints_inside(directory))) or "there is no encoder in it"
        raise ValueError(f"{directory} is {kind}; give one of them: {members}")


def name_together(directory: Path) -> str | None:
    """What a folder of several checkpoints is called; None: it is no such folder."""
    if (directory / BLEND_NAME).is_file():
        return "a blend of the models of several folds"
    return "an ensemble of several checkpoints" if (directory / ENSEMBLE_NAME).is_file() else None


def checkpoints_inside(directory: Path) -> list[Path]:
    """The encoders of a folder of several checkpoints; those beside them are of other libraries."""
    if not (directory / BLEND_NAME).is_file():
        return read_manifest(directory).members
    members = read_json(directory / BLEND_NAME).get("members")
    named = [name for folders in (members or {}).values() for name in folders]
    return [directory / name for name in named if any((directory / name).glob("*.safetensors"))]


def average_answers(
    answers: Sequence[mx.array], weights: Sequence[float], head_type: str
) -> mx.array:
    """The weighted mean of what several heads predict for the same rows.

    Of a mean and a deviation per row, [B, 2], the answer is those of the mixture: members that disagree make it wider.

    Args:
        answers: [B], [B, L] or [B, 2], one array per member.
        weights: one per member; they sum to 1.
        head_type: of the members.

    Reference: Lakshminarayanan et al. 2017, arXiv 1612.01474.
    """
    stacked = mx.stack([answer.astype(mx.float32) for answer in answers])  # [M, B, ...]
    shares = mx.array(list(weights)).reshape(-1, *[1] * (stacked.ndim - 1))
    if head_type != "regression" or stacked.ndim != 3:
        return (shares * stacked).sum(axis=0)
    means, deviations, shares = stacked[..., 0], stacked[..., 1], shares[..., 0]
    mean = (shares * means).sum(axis=0)
    variance = (shares * (mx.square(deviations) + mx.square(means - mean))).sum(axis=0)
    return mx.stack([mean, mx.sqrt(variance)], axis=1)


class ManifestDocument(Document):
    """The types of ensemble.json."""

    format: int
    members: list[str]
    weights: list[float] | None = None
    strategy: str | None = None


class Manifest(NamedTuple):
    """What ensemble.json says."""

    members: list[Path]
    weights: tuple[float, ...]
    strategy: str | None


def write_manifest(
    directory: Path,
    members: Sequence[Path],
    *,
    weights: Sequence[float] | None = None,
    strategy: str | None = None,
) -> None:
    """Write ensemble.json; the members' folders lie inside `directory`."""
    document = {
        "format": FORMAT,
        "members": [folder.relative_to(directory).as_posix() for folder in members],
        "weights": None if weights is None else list(weights),
        "strategy": strategy,
    }
    write_text(directory / ENSEMBLE_NAME, json.dumps(document, indent=2) + "\n")


def read_manifest(directory: Path) -> Manifest:
    """Read ensemble.json.

    Raises:
        FileNotFoundError: there is none, or members are missing.
        ValueError: it is damaged.
    """
    path = directory / ENSEMBLE_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{directory} holds no {ENSEMBLE_NAME}, so it is no ensemble; train one with `bert train --ensemble 3`"
        )
    values = read_json(path)
    check(ManifestDocument, values, path)
    names = values["members"]
    if values["format"] != FORMAT or not names:
        raise ValueError(
            f"{path} is no list of members in format {FORMAT}; train the ensemble again"
        )
    folders = resolve_inside(directory, names, ENSEMBLE_NAME)
    return Manifest(
        folders,
        check_weights(values.get("weights"), len(names)),
        values.get("strategy"),
    )


def resolve_inside(directory: Path, names: Sequence[str], listed_in: str) -> list[Path]:
    """Folders of models that a file beside them names.

    Raises:
        ValueError: a name leads out of the folder, or stands there twice, so that a model would be read for each.
        FileNotFoundError: a folder is missing.
    """
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(
            f"{directory / listed_in} names members several times: {shorten(repeated)}; name each once"
        )
    outside = [name for name in names if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise ValueError(
            f"{directory / listed_in} names members outside its folder: {', '.join(outside)}"
        )
    # `Path.is_dir` fails on names that no disk can have.
    lost = [name for name in names if not os.path.isdir(directory / name)]  # noqa: PTH112
    if lost:
        raise FileNotFoundError(f"{directory} lacks {shorten(lost)}; copy the whole folder again")
    return [directory / name for name in names]


def check_weights(weights: Sequence[float] | None, num_members: int) -> tuple[float, ...]:
    """Weights that sum to 1.

    Raises:
        ValueError: not one per member, or no positive sum of numbers from 0 on.
    """
    if weights is None:
        return (1 / num_members,) * num_members
    if len(weights) != num_members:
        raise ValueError(f"{len(weights)} weights for {num_members} members; give one for each")
    if not all(w >= 0 for w in weights) or not 0 < sum(weights) < math.inf:
        raise ValueError(f"weights are {list(weights)}, expected numbers from 0 on, not all 0")
    return tuple(weight / sum(weights) for weight in weights)
