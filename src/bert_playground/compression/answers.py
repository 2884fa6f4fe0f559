"""to_logits: the answers of a model of any kind as logits of a head."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bert_playground.models.heads import BaseHead

Array = np.ndarray[Any, Any]
TINY = 1e-4  # no answer is surer than this, so that logits stay of the size of a network's


def to_logits(head: BaseHead, scores: Array) -> Array:
    """What the head would have to give to answer so, f32.

    Args:
        head: of the student.
        scores: as `head.predict` gives them: P(class 1) [R], probabilities [R, L], or standardised numbers.

    Raises:
        ValueError: nothing of that kind can be told from these answers.
    """
    if head.config.uncertainty_estimation:
        raise ValueError(
            "a head that knows its uncertainty learns a standard deviation too, which other teachers do not tell; leave "
            "--teacher out"
        )
    convert = INVERSES.get(head.head_type)
    if convert is None:
        raise ValueError(
            f"a {head.head_type} head cannot learn from another teacher, only {', '.join(INVERSES)}; leave --teacher out"
        )
    return np.asarray(convert(head, np.asarray(scores, dtype=np.float64)), dtype=np.float32)


def _log_odds(head: BaseHead, scores: Array) -> Array:
    probabilities = np.clip(scores, TINY, 1 - TINY)
    return np.asarray(np.log(probabilities) - np.log1p(-probabilities))


def _log_probabilities(head: BaseHead, scores: Array) -> Array:
    return np.asarray(np.log(np.clip(scores, TINY, 1)))


def _steps(head: BaseHead, scores: Array) -> Array:
    """The log odds of y > k, of all rows or of those with y >= k, from the probabilities of ordered classes [R, K]."""
    at_least = np.cumsum(scores[:, ::-1], axis=1)[:, ::-1]  # [R, K], P(y >= k)
    above = at_least[:, 1:]
    if not head.config.use_cumulative_link:
        above = above / np.maximum(at_least[:, :-1], TINY)
    return _log_odds(head, above)


def _numbers(head: BaseHead, scores: Array) -> Array:
    return scores


INVERSES: dict[str, Callable[[BaseHead, Array], Array]] = {
    "binary": _log_odds,
    "multiclass": _log_probabilities,
    "multilabel": _log_odds,
    "ordinal": _steps,
    "regression": _numbers,
    "timeseries": _numbers,
}
