"""align_scores: the answers of a model that was fitted on some rows of a table, in the classes and units of another."""

from typing import Any

import numpy as np

from bert_playground.data.targets.fit import Encoder
from bert_playground.data.targets.forecast import HorizonEncoder
from bert_playground.data.targets.label_encoder import LabelEncoder

Array = np.ndarray[Any, Any]


def align_scores(scores: Array, labels: Encoder, reference: Encoder) -> Array:
    """Answers of a model whose labels were learned from other rows, in the form of a reference encoder.

    A class that the model has never seen has probability 0. Numbers are standardised as the reference does; a standard
    deviation beside a mean is left out.

    Args:
        scores: as `head.predict` gives them: [R], [R, L] or [R, 2].
        labels: the encoder of the model.
        reference: the encoder whose form is wanted, of the same target.

    Raises:
        ValueError: the two are of different questions.
    """
    if (labels.task, labels.columns if hasattr(labels, "columns") else ()) != (
        reference.task,
        reference.columns if hasattr(reference, "columns") else (),
    ):
        raise ValueError(
            f"a model answers {labels.describe()}, but {reference.describe()} is asked: they are of different tables"
        )
    scores = np.asarray(scores, dtype=np.float64)
    if isinstance(labels, HorizonEncoder):
        assert isinstance(reference, HorizonEncoder)
        return standardise(labels.in_units(scores), reference)
    if isinstance(labels, LabelEncoder) and not labels.classes:
        assert isinstance(reference, LabelEncoder)
        if (labels.uses_log, labels.mean, labels.scale) == (
            reference.uses_log,
            reference.mean,
            reference.scale,
        ):
            return scores[:, 0] if scores.ndim == 2 else scores
        return standardise(labels.in_units(scores), reference)
    if labels.classes == reference.classes:
        return scores
    return _place_classes(scores, labels, reference)


def standardise(values: Array, reference: LabelEncoder | HorizonEncoder) -> Array:
    """Numbers in the units of the target as an encoder of numbers learns them: [R] or [R, S].

    log1p is not defined at -1, which a model may fall below: such numbers are held just above.
    """
    if reference.uses_log:
        values = np.log1p(np.maximum(values, -1 + 1e-9))
    if isinstance(reference, HorizonEncoder):
        return np.asarray((values - reference.means) / reference.scales)
    return (values - reference.mean) / reference.scale


def _place_classes(scores: Array, labels: Encoder, reference: Encoder) -> Array:
    unknown = [name for name in labels.classes if name not in reference.classes]
    if unknown or scores.ndim != 2:
        raise ValueError(
            f"a model answers {labels.describe()}, but {reference.describe()} is asked: they are of different tables"
        )
    placed = np.zeros((len(scores), len(reference.classes)))
    placed[:, [reference.classes.index(name) for name in labels.classes]] = scores
    return placed
