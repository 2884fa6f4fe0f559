"""make_members: columns of predictions → members' scores in the form of `head.predict`, checked."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bert_playground.logger import logger
from bert_playground.lookup import shorten
from bert_playground.tasks import TASKS
from bert_playground.training.metrics.metric import Array
from bert_playground.training.oof_files import OofFile

SUM_TOLERANCE = 0.01


class Part(NamedTuple):
    """A column of a file, and which member and class it is of; `place` is None where a member is one column."""

    column: str
    member: str
    place: int | None


def make_members(
    files: Sequence[OofFile], task: str, classes: Sequence[str], *, as_ranks: bool = False
) -> dict[str, Array]:
    """The scores of each member, in the order of files and columns.

    Args:
        files: of the same rows.
        task: a name in TASKS.
        classes: or labels, or steps, in order; of numbers none.
        as_ranks: whether only the order of scores matters, so that they need not be probabilities.

    Raises:
        ValueError: classes without a column, cells that are no numbers, or no probabilities.
    """
    parts = {file.label: parse_columns(file, task, classes) for file in files}
    names = [name for found in parts.values() for name in dict.fromkeys(p.member for p in found)]
    members = {}
    for file in files:
        for raw in dict.fromkeys(part.member for part in parts[file.label]):
            own = [part for part in parts[file.label] if part.member == raw]
            name = raw if names.count(raw) == 1 else _qualify(file, raw)
            members[name] = _scores(file, own, task, classes, as_ranks=as_ranks)
    return members


def match_members(
    oof: Sequence[OofFile],
    test: Sequence[OofFile],
    task: str,
    classes: Sequence[str],
    *,
    as_ranks: bool = False,
) -> dict[str, Array]:
    """The members of test files by the names that the out-of-fold files' have.

    With as many files as out-of-fold ones they belong together in that order, unless every name is unique.

    Raises:
        ValueError: names that occur twice and files that do not belong together.
    """
    if len(oof) == len(test):
        pairs = list(zip(test, oof, strict=True))
        if all(set(ours.columns) == set(theirs.columns) for ours, theirs in pairs):
            test = [
                OofFile(ours.path, theirs.label, ours.frame, theirs.columns)
                for ours, theirs in pairs
            ]
    return make_members(test, task, classes, as_ranks=as_ranks)


def parse_columns(file: OofFile, task: str, classes: Sequence[str]) -> list[Part]:
    """Which member and class each column is of: "MEMBER:CLASS", "MEMBER_CLASS", or "CLASS" alone."""
    if task == "regression":
        return [Part(name, name, None) for name in file.columns]
    parts = [_parse(name, file.label, classes) for name in file.columns]
    if task != "binary":
        return parts
    # Of two classes a column is a model, unless both of its classes have one.
    places = {(part.member, part.place) for part in parts}
    is_pair = {part.member for part in parts if {(part.member, 0), (part.member, 1)} <= places}
    is_pair = {name for name in is_pair if _sum_to_one(file, name, parts)}
    return [
        part if part.member in is_pair else Part(part.column, part.column, None) for part in parts
    ]


def _parse(column: str, label: str, classes: Sequence[str]) -> Part:
    # The longest class first: one may end as another does.
    for place in sorted(range(len(classes)), key=lambda place: -len(classes[place])):
        name = classes[place]
        if column == name:
            return Part(column, label, place)
        for separator in (":", "_"):
            if column.endswith(f"{separator}{name}") and len(column) > len(name) + 1:
                return Part(column, column[: -len(name) - 1], place)
    return Part(column, column, None)


def _sum_to_one(file: OofFile, member: str, parts: Sequence[Part]) -> bool:
    columns = [file.values(part.column) for part in parts if part.member == member]
    return bool(np.allclose(np.sum(columns, axis=0), 1, atol=SUM_TOLERANCE))


def _qualify(file: OofFile, member: str) -> str:
    return member if member == file.label else f"{file.label}/{member}"


def _scores(
    file: OofFile, parts: Sequence[Part], task: str, classes: Sequence[str], *, as_ranks: bool
) -> Array:
    is_flat = task in ("binary", "regression")
    if is_flat and len(parts) == 1:
        scores = file.values(parts[0].column)
    else:
        columns = {part.place: part.column for part in parts}
        _require_all(file, columns, parts[0].member, task, classes)
        scores = np.stack([file.values(columns[place]) for place in range(len(classes))], axis=1)
        scores = scores[:, 1] if task == "binary" else scores
    if TASKS[task].is_classification and not as_ranks:
        scores = _require_probabilities(file, parts, scores, task)
    return scores


def _require_all(
    file: OofFile,
    columns: Mapping[int | None, str],
    member: str,
    task: str,
    classes: Sequence[str],
) -> None:
    missing = [name for place, name in enumerate(classes) if place not in columns]
    if missing:
        kind = {"multilabel": "labels", "timeseries": "steps"}.get(task, "classes")
        raise ValueError(
            f"{file.path} has no column for {len(missing)} of the {len(classes)} {kind} of {member!r}: "
            f"{shorten(missing)}; expected one for each, named such as {member}:{classes[0]} (it has: "
            f"{shorten(file.columns)})"
        )


def _require_probabilities(file: OofFile, parts: Sequence[Part], scores: Array, task: str) -> Array:
    least, most = float(scores.min()), float(scores.max())
    title = ", ".join(part.column for part in parts[:3]) + (", …" if len(parts) > 3 else "")
    if least < -1e-6 or most > 1 + 1e-6:
        raise ValueError(
            f"{title} of {file.path} reaches from {least:.4g} to {most:.4g}, which are no probabilities; where only "
            "the order of scores means something, use --method rank_mean"
        )
    scores = np.clip(scores, 0, 1)
    if task not in ("multiclass", "ordinal"):
        return scores
    sums = scores.sum(axis=1, keepdims=True)
    if (sums <= 0).any():
        raise ValueError(f"{title} of {file.path} are all 0 in {int((sums <= 0).sum())} rows")
    if np.abs(sums - 1).max() > SUM_TOLERANCE:
        logger.warning(f"{title} of {file.path} do not sum to 1 in each row; they are scaled to")
    return np.asarray(scores / sums)
