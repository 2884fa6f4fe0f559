"""measure_trust: how well out-of-fold scores have told the leaderboard, and how large the next gain must be to count."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from bert_playground.lookup import count_of
from bert_playground.training.kaggle.ledger import LedgerRow

FEWEST = 3  # pairs for a rank correlation
SURE = 0.05  # p-value
FEW = 6  # pairs under which even a perfect order is weak evidence


@dataclass(frozen=True)
class Trust:
    """Cross-validation against the public leaderboard.

    Attributes:
        pairs: (score, public score), one for each content that was sent.
        rank_correlation: Spearman's rho; None: fewer than three pairs, or no spread.
        p_value: of no correlation; None where rho is.
        offset: mean of public score - score.
        spread: standard deviation of that difference; None: fewer than three pairs.
        sentence: what follows, in words.
    """

    pairs: tuple[tuple[float, float], ...]
    rank_correlation: float | None
    p_value: float | None
    offset: float | None
    spread: float | None
    sentence: str


def measure_trust(rows: Sequence[LedgerRow]) -> Trust:
    """Of the rows of one competition that have both scores; the metric of most of them counts."""
    scored = [row for row in rows if row.score is not None and row.public_score is not None]
    metrics = [row.metric for row in scored]
    metric = max(metrics, key=metrics.count) if metrics else None
    latest = {row.digest: row for row in scored if row.metric == metric}
    pairs = tuple((row.score or 0.0, row.public_score or 0.0) for row in latest.values())
    if len(pairs) < FEWEST:
        need = FEWEST - len(pairs)
        return Trust(
            pairs, None, None, None, None,
            f"of {count_of(len(rows), 'submission')}, {len(pairs)} with an out-of-fold and a public score: {need} more before the "
            "two can be compared; until then trust the out-of-fold score and its error",
        )  # fmt: skip
    offset, spread = mean(b - a for a, b in pairs), stdev(b - a for a, b in pairs)
    errors = [row.error for row in latest.values() if row.error is not None]
    rho, p_value = _correlate(pairs)
    sentence = _word(len(pairs), rho, p_value, offset, spread, max(errors, default=0.0), metric)
    return Trust(pairs, rho, p_value, offset, spread, sentence)


def _correlate(pairs: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    from scipy.stats import spearmanr

    scores, public = zip(*pairs, strict=True)
    if len(set(scores)) < 2 or len(set(public)) < 2:
        return None, None
    found = spearmanr(scores, public)
    return float(found.statistic), _p_value(float(found.statistic), scores, public)


def _p_value(rho: float, scores: Sequence[float], public: Sequence[float]) -> float:
    """Two-sided, of all orders where they are few, as the usual approximation is poor there."""
    from itertools import permutations

    import numpy as np
    from scipy.stats import rankdata, spearmanr

    if len(scores) > 8:
        return float(spearmanr(scores, public).pvalue)
    first, second = rankdata(scores), rankdata(public)
    centred = first - first.mean()
    scale = math.sqrt(float((centred**2).sum() * ((second - second.mean()) ** 2).sum()))
    orders = np.array(list(permutations(second))) @ centred / scale
    return float((np.abs(orders) >= abs(rho) - 1e-12).mean())


def _word(
    count: int,
    rho: float | None,
    p_value: float | None,
    offset: float,
    spread: float,
    error: float,
    metric: str | None,
) -> str:
    name = metric or "score"
    where = f"public scores are {abs(offset):.3g} {'above' if offset > 0 else 'below'} out-of-fold on average, ± {spread:.2g}"
    least = max(spread * math.sqrt(2), error)  # of the difference of two scores
    if rho is None or p_value is None:
        return f"{count} submissions without any spread of scores: nothing can be said yet; {where}"
    how = f"rank correlation {rho:.2f} of {count} submissions (p = {p_value:.2g})"
    if rho > 0 and p_value <= SURE:
        return (
            f"{how}: the leaderboard follows the out-of-fold {name}; {where}, so trust a gain of more than {least:.2g}, and "
            "take a smaller one for chance"
        )
    if rho > 0:
        more = "too few submissions to be sure" if count < FEW else "it may be chance"
        return f"{how}: the order seems to agree, but {more}; {where}; trust a gain of more than {least:.2g}"
    return (
        f"{how}: the leaderboard does not follow the out-of-fold {name}; {where}. Look at the folds first (rows shared between "
        f"train and test, time, groups), and trust no gain under {least:.2g}"
    )
