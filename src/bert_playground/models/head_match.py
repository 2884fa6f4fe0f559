"""match_head: what of a checkpoint's head a new table can use: its outputs in the table's order, or a new classifier."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import mlx.core as mx
from pydantic import Field

from bert_playground.documents import Document, check, read_json
from bert_playground.logger import logger
from bert_playground.lookup import shorten
from bert_playground.models.architectures import name_classes
from bert_playground.models.bert_with_head import BertWithHead, complete_head
from bert_playground.models.checkpoint import saved_head
from bert_playground.models.heads import HeadConfig
from bert_playground.models.hub_files import PIPELINE
from bert_playground.models.huggingface import Pretrained, load_with_head

GENERIC = re.compile(r"label[_ ]?\d+", re.IGNORECASE)  # what tools write where nobody named classes
# Names that say nothing without the column that they stand in.
BARE = {"true", "false", "yes", "no", "y", "n", "t", "f"}
OUTPUTS = ("classifier.", "cut_points.", "temporal.")  # parts of a head that belong to its outputs
CLASSES = ("binary", "multiclass")  # two spellings of one question


class Answers(NamedTuple):
    """What the outputs of a head mean.

    Attributes:
        target: the column, or several between commas; None where that is not known.
        names: of classes, labels or steps, in the order of their numbers; () where there are none.
    """

    target: str | None = None
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, target: str, labels: Mapping[str, Any]) -> "Answers":
        """From a target and what pipeline.json says of its labels."""
        return cls(target, tuple(map(str, labels.get("classes") or labels.get("columns") or ())))


class MisfitError(Exception):
    """Why the outputs of a head cannot be used; the text completes "the head of FOLDER ...: a new classifier"."""


def load_matched(
    pretrained: Pretrained, config: HeadConfig, answers: Answers | None, **options: Any
) -> BertWithHead:
    """Put a head for a new table on the encoder of a checkpoint, and say what becomes of the head that it has.

    Args:
        pretrained: from `read_pretrained`.
        config: of the new head.
        answers: what it shall answer; None: that is not known, and outputs keep their places.
        options: fields of the encoder's config that shall differ.
    """
    matched, config = match_head(pretrained, config, answers)
    model, _ = load_with_head(matched, config, **options)
    if len(matched.weights) < len(pretrained.weights):
        # With the seed of the old run, random weights would be those that its features grew towards, classes swapped
        # or not. From zeros all classes are alike.
        classifier = model.head.classifier
        classifier.weight = mx.zeros_like(classifier.weight)
    return model


def match_head(
    pretrained: Pretrained, config: HeadConfig, answers: Answers | None
) -> tuple[Pretrained, HeadConfig]:
    """The checkpoint with its head's outputs in the order of a new table, or without them; one log line says which.

    Classes are matched by their names, exactly or but for case, blanks and the spelling of numbers; so are labels and
    steps. Ordered classes must be the same in the same order; numbers must be those of the same target: they are
    standardised by each table, so that the head holds for other amounts of it.

    Args:
        pretrained: from `read_pretrained`.
        config: of the new head.
        answers: what it shall answer; None: that is not known, and outputs keep their places.
    """
    if "classifier.weight" not in pretrained.weights:
        return pretrained, config
    start = f"the head of {pretrained.folder}"
    try:
        stored, known = _read_head(pretrained), read_answers(pretrained)
        if stored.head_type == "regression" and known.target is None:
            # Where transformers names classes, a number may have the name of its target.
            named = [name for name in known.names if not GENERIC.fullmatch(name)]
            known = Answers(target=named[0] if named else None)
        _check_kind(stored, config)
        if answers is None:
            # Without names there is nothing to match: the caller answers for the order.
            _check_count(stored, config, known)
            said = f" in this order: {shorten(known.names)}" if known.names else ""
            config = _keep_pooling(pretrained, stored, config)
            logger.info(f"{start} is kept; its outputs stay where they are{said}")
            return pretrained, config
        matched = _match_outputs(pretrained, stored, known, answers)
        config = _keep_pooling(pretrained, stored, config)
    except MisfitError as misfit:
        logger.info(f"{start} {misfit}: a new classifier")
        kept = {k: w for k, w in pretrained.weights.items() if not k.startswith(OUTPUTS)}
        return replace(pretrained, weights=kept), config
    logger.info(f"{start} {_describe_kept(known, answers)}")
    return matched, config


class KnownDocument(Document):
    """The labels of pipeline.json, as far as outputs are matched by them."""

    classes: list[str | int | float | bool] = Field(default_factory=list)
    columns: list[str] = Field(default_factory=list)


class LabelsDocument(Document):
    """What pipeline.json says of the outputs of a head."""

    target: str | None = None
    labels: KnownDocument | None = None


def read_answers(pretrained: Pretrained) -> Answers:
    """What the outputs of a checkpoint's head mean: by our pipeline.json, else by id2label or label2id."""
    path = pretrained.folder / PIPELINE
    document = read_json(path) if path.is_file() else {}
    check(LabelsDocument, document, path)
    if document.get("labels") and "target" in document:
        return Answers.of(str(document["target"]), document["labels"])
    values = pretrained.values
    if names := name_classes(values):
        return Answers(names=names)
    numbered = {number: name for name, number in (values.get("label2id") or {}).items()}
    if not all(str(number).isdigit() for number in numbered):
        return Answers()
    return Answers(names=tuple(str(numbered[key]) for key in sorted(numbered, key=int)))


def _read_head(pretrained: Pretrained) -> HeadConfig:
    classes = pretrained.values.get("architectures") or ()
    if (
        classes
        and "head" not in pretrained.values
        and not any(name.endswith("ForSequenceClassification") for name in classes)
    ):
        raise MisfitError(f"is that of a {', '.join(classes)}, which answers another question")
    try:
        return saved_head(pretrained)
    except ValueError as error:
        raise MisfitError(f"is not the one that its config describes ({error})") from error


def _check_kind(stored: HeadConfig, config: HeadConfig) -> None:
    kinds = [
        "classes" if head.head_type in CLASSES else head.head_type for head in (stored, config)
    ]
    if kinds[0] != kinds[1]:
        raise MisfitError(f"is a {stored.head_type} head, and this is a {config.head_type} one")
    if config.head_type == "ordinal" and stored.use_cumulative_link != config.use_cumulative_link:
        raise MisfitError("asks its questions in another way (head.use_cumulative_link)")
    if stored.uncertainty_estimation != config.uncertainty_estimation:
        raise MisfitError("differs in head.uncertainty_estimation")


def _check_count(stored: HeadConfig, config: HeadConfig, known: Answers) -> None:
    counts = [2 if head.head_type == "binary" else head.num_labels for head in (stored, config)]
    if counts[0] != counts[1] and config.head_type != "regression":
        names = f" ({shorten(known.names)})" if known.names else ""
        raise MisfitError(f"has {counts[0]} labels{names}, and {counts[1]} are asked")


def _match_outputs(
    pretrained: Pretrained, stored: HeadConfig, known: Answers, answers: Answers
) -> Pretrained:
    if stored.head_type == "regression":
        if not _is_same(known.target, answers.target):
            raise MisfitError(f"answers {known.target!r}, and this table {answers.target!r}")
        return pretrained
    num_outputs = 2 if stored.head_type == "binary" else stored.num_labels
    if known.names and all(map(GENERIC.fullmatch, known.names)):
        raise MisfitError(f"does not name what it answers ({shorten(known.names)})")
    if len(known.names) != num_outputs:
        raise MisfitError(
            f"has {num_outputs} outputs and {len(known.names) or 'no'} names for them"
        )
    order = match_names(known.names, answers.names)
    if order is None:
        raise MisfitError(
            f"answers {shorten(known.names)}, and this table {shorten(answers.names)}"
        )
    if _need_target(known.names) and not _is_same(known.target, answers.target):
        raise MisfitError(
            f"answers {shorten(known.names)} of {known.target!r}, and this table those of {answers.target!r}"
        )
    is_sorted = order == sorted(order)
    if stored.head_type == "ordinal" and not is_sorted:
        raise MisfitError(
            f"has its classes in the order {shorten(known.names)}, this table in another"
        )
    if stored.use_temporal_features and not is_sorted:
        raise MisfitError(
            f"has its steps in the order {shorten(known.names)}, this table in another"
        )
    if is_sorted:
        return pretrained
    places = mx.array(order)
    moved = {
        name: weight[places] if name.startswith("classifier.") else weight
        for name, weight in pretrained.weights.items()
    }
    return replace(pretrained, weights=moved)


def _keep_pooling(pretrained: Pretrained, stored: HeadConfig, config: HeadConfig) -> HeadConfig:
    """The new head, pooling as the old one did where nothing else is asked: its classifier knows no other vectors."""
    if config.pooling is None and config.transform is None and "head" in pretrained.values:
        return replace(config, pooling=stored.pooling, transform=stored.transform)
    options, family = pretrained.config.head_options(), pretrained.family
    ways = [
        (head.pooling, head.transform)
        for head in (
            complete_head(config, family, options, pretrained.pooling),
            complete_head(stored, family, options),
        )
    ]
    if ways[0] != ways[1]:
        raise MisfitError(
            f"stands on {ways[1][0]} pooling (transform {ways[1][1]}), this one on {ways[0][0]} ({ways[0][1]})"
        )
    return config


def match_names(stored: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Where each wanted name stands among the stored ones; None unless both hold the same names, each once.

    Names are compared as they are, else without case and surplus blanks, else as numbers (1, "1.0", true).
    """
    for spell in (str, _fold, _as_number):
        places = {spell(name): place for place, name in enumerate(stored)}
        keys = [spell(name) for name in wanted]
        if None in places or len(places) != len(stored) or len(set(keys)) != len(keys):
            continue
        if set(keys) == set(places):
            return [places[key] for key in keys]
    return None


def _fold(name: str) -> str:
    return " ".join(name.split()).casefold()


def _as_number(name: str) -> float | None:
    spelled = {"true": "1", "false": "0"}.get(_fold(name), name)
    try:
        return float(spelled)
    except ValueError:
        return None


def _need_target(names: Sequence[str]) -> bool:
    return all(_fold(name) in BARE or _as_number(name) is not None for name in names)


def _is_same(known: str | None, asked: str | None) -> bool:
    """Whether two targets have the same name; one that is not known may be any."""
    return known is None or asked is None or _fold(known) == _fold(asked)


def _describe_kept(known: Answers, answers: Answers) -> str:
    if not known.names:
        if known.target is None:
            return "does not say which target it answers, nor in which units; it is kept as a start"
        return f"answers {known.target!r} and is kept"
    is_same_order = match_names(known.names, answers.names) == list(range(len(known.names)))
    order = "" if is_same_order else ", its rows in the order of this table"
    return f"answers {shorten(known.names)} and is kept{order}"
