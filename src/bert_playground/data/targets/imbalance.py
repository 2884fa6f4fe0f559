"""describe_imbalance: which classes or labels are rare, and what may be done about it."""

import numpy as np

from bert_playground.data.targets.fit import Encoder
from bert_playground.lookup import shorten
from bert_playground.tasks import TASKS

RARE = 0.1  # share of the rows; of many classes, half of the even share


def find_rare(labels: np.ndarray, num_classes: int) -> dict[int, float]:
    """Class or label number → its share of the rows, for the rare ones, rarest first.

    Args:
        labels: [R] class numbers, or [R, L] zeros and ones.
        num_classes: K, or L.
    """
    if labels.ndim == 2:
        shares, limit = labels.mean(axis=0), RARE
    else:
        shares = np.bincount(labels.astype(np.int64), minlength=num_classes) / len(labels)
        limit = min(RARE, 0.5 / num_classes)
    rare = [int(number) for number in np.argsort(shares, kind="stable") if shares[number] < limit]
    return {number: float(shares[number]) for number in rare}


def describe_imbalance(encoder: Encoder, labels: np.ndarray) -> str | None:
    """One sentence with the rare classes and the offered remedies; None where nothing is rare, or nothing is a class.

    Args:
        encoder: fitted on the table.
        labels: its labels as numbers.
    """
    if not TASKS[encoder.task].is_classification:
        return None
    rare = find_rare(labels, len(encoder.classes))
    if not rare:
        return None
    named = [f"{encoder.classes[number]} ({share:.1%})" for number, share in rare.items()]
    remedies = "set head.class_weights: balanced"
    if encoder.task == "multilabel":
        remedies = "set head.pos_weight: balanced or head.adaptive_threshold: true"
    elif encoder.task in ("binary", "multiclass"):
        remedies += " or head.use_focal_loss: true"
    what = "labels" if encoder.task == "multilabel" else "classes"
    return (
        f"imbalanced: {what} on few rows: {shorten(named, 5).replace('%', ' %')}; to make them count more, {remedies}, and "
        "judge by another metric than accuracy"
    )
