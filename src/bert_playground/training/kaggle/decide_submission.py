"""decide_submission: whether a run is worth one of the day's submissions; the rule of --auto-submit."""

from collections.abc import Sequence
from dataclasses import dataclass

from bert_playground.training.kaggle.ledger import FAILED, LedgerRow
from bert_playground.training.kaggle.run_score import RunScore


@dataclass(frozen=True)
class Decision:
    """Whether to send, and why."""

    is_worth_it: bool
    reason: str


def decide_submission(
    score: RunScore, rows: Sequence[LedgerRow], left_today: int | None
) -> Decision:
    """Send a run only if its out-of-fold score beats the best one that was sent by more than its standard error.

    Args:
        score: of the run.
        rows: of the ledger, of the same competition.
        left_today: submissions; None: not known.
    """
    if left_today is not None and left_today < 1:
        return Decision(False, "no submissions are left today")
    if score.score is None or score.metric is None:
        return Decision(False, f"{score.run} has no score yet")
    if not score.is_out_of_fold:
        return Decision(
            False,
            f"{score.run} has no out-of-fold score, but one of a single split; train over folds",
        )
    if score.error is None:
        return Decision(False, f"the standard error of {score.run}'s score is not known")
    known = [row for row in rows if row.score is not None and row.state != FAILED]
    other = sorted({str(row.metric) for row in known if row.metric != score.metric})
    if other:
        return Decision(
            False,
            f"{score.metric} cannot be compared with {', '.join(other)} of the ledger; send it by hand",
        )
    if not known:
        return Decision(True, f"{score.metric} {score.score:.5g} is the first in the ledger")
    sign = 1 if score.higher_is_better else -1
    best = max(known, key=lambda row: sign * (row.score or 0.0))
    assert best.score is not None
    gain = sign * (score.score - best.score)
    said = (
        f"{score.metric} {score.score:.5g} is {abs(gain):.3g} {'better' if gain > 0 else 'worse'} than the best sent, "
        f"{best.score:.5g} of {best.run or best.file}"
    )
    if best.folds != score.folds:
        return Decision(
            False, f"{said}, but on other folds, which cannot be compared; send it by hand"
        )
    if gain > score.error:
        return Decision(True, f"{said}: more than its standard error {score.error:.2g}")
    return Decision(False, f"{said}: not more than its standard error {score.error:.2g}")
