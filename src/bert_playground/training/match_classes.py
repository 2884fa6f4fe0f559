"""match_classes: a ready-made model's classifier, as a checkpoint had it, in the order of a table's classes."""

from pathlib import Path

import mlx.core as mx

from bert_playground.data.pipeline import TextPipeline
from bert_playground.logger import logger
from bert_playground.lookup import shorten
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import load_model
from bert_playground.models.head_match import GENERIC, match_names, read_answers
from bert_playground.models.huggingface import read_pretrained
from bert_playground.models.lora.folder import is_adapter_folder


def match_classes(model: BertWithHead, pipeline: TextPipeline) -> None:
    """Move the outputs to the classes of a table by name, where they are still those of a checkpoint that names them.

    A classifier that is new, or was trained since it was read, is left as it is.

    Raises:
        ValueError: the checkpoint's classes are others.
    """
    folder, classes = model.pretrained_dir, tuple(map(str, pipeline.classes))
    if folder is None or not classes or not _is_untouched(model, folder):
        return
    known = (
        TextPipeline.load(folder).classes
        if is_adapter_folder(folder)
        else read_answers(read_pretrained(folder, shapes_only=True)).names
    )
    known = tuple(map(str, known))
    if not known or all(map(GENERIC.fullmatch, known)):
        return  # nobody says what its outputs mean
    order = match_names(known, classes)
    if order is None:
        raise ValueError(
            f"model and data do not fit: the classifier of {folder} answers {shorten(known)}, but {pipeline.target!r} has "
            f"{shorten(classes)}; make the model with load_from_huggingface({str(folder)!r}, 'classification', "
            f"labels={list(classes)!r}), which keeps the encoder and makes a new classifier"
        )
    if order == sorted(order):
        return
    classifier = model.head.classifier
    # One output says how much more likely the second class is.
    is_single = classifier.weight.shape[0] == 1
    moved = {n: -w if is_single else w[mx.array(order)] for n, w in _rows(classifier).items()}
    classifier.update(moved)
    logger.info(
        f"the classifier of {folder} is matched by name: its rows in the order {shorten(classes)}"
    )


def _is_untouched(model: BertWithHead, folder: Path) -> bool:
    """Whether the classifier is the checkpoint's own, row for row."""
    try:
        saved = load_model(folder).head.classifier
    except (ValueError, FileNotFoundError):  # an encoder alone
        return False
    mine = getattr(model.head, "classifier", None)
    if mine is None or set(_rows(mine)) != set(_rows(saved)):
        return False
    return all(
        mine[name].shape == weight.shape and bool(mx.array_equal(mine[name], weight))
        for name, weight in _rows(saved).items()
    )


def _rows(classifier: object) -> dict[str, mx.array]:
    """Its weight and bias: one row for each output."""
    assert isinstance(classifier, dict)
    return {name: value for name, value in classifier.items() if isinstance(value, mx.array)}
