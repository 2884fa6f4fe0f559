"""judge, summarise: how the models did on the rows put aside, with errors, and whether the stack leads."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.metrics import accuracy_score, roc_auc_score

from bert_playground.quickstart.films import CLASSES

STACK = "stack of all"
METRICS = {"accuracy": "accuracy", "roc_auc": "ROC-AUC"}  # name → as it is shown
Judged = dict[str, dict[str, float]]  # model → metric → value, on one part


@dataclass(frozen=True)
class Score:
    """How one model did on the rows put aside: the mean of the parts, and the standard error of that mean."""

    name: str
    accuracy: float
    accuracy_error: float
    roc_auc: float
    roc_auc_error: float


def judge(labels: pl.Series, answers: Mapping[str, np.ndarray]) -> Judged:
    """All models on the same rows.

    Args:
        labels: of the rows.
        answers: model → probability of the second class [N].
    """
    truth = labels.to_numpy() == CLASSES[1]
    return {
        name: {
            "accuracy": float(accuracy_score(truth, scores >= 0.5)),
            "roc_auc": float(roc_auc_score(truth, scores)),
        }
        for name, scores in answers.items()
    }


def summarise(judged: Sequence[Judged]) -> tuple[list[Score], str]:
    """Mean and standard error of each model over the parts, and the verdict on the stack."""
    scores = []
    for name in judged[0]:
        values = {
            metric: mean_and_error([part[name][metric] for part in judged]) for metric in METRICS
        }
        scores.append(Score(name, *values["accuracy"], *values["roc_auc"]))
    return scores, decide(judged)


def decide(judged: Sequence[Judged]) -> str:
    """Whether the stack is ahead of, level with or behind the best of the others, by the same rows part by part."""
    others = [name for name in judged[0] if name != STACK]
    phrases = []
    for metric, shown in METRICS.items():
        rival = max(others, key=lambda name: sum(part[name][metric] for part in judged))
        gain, error = mean_and_error([part[STACK][metric] - part[rival][metric] for part in judged])
        place = "ahead of" if gain > error else "behind" if gain < -error else "level with"
        phrases.append(f"by {shown} it is {place} {rival} ({gain:+.4f} ± {error:.4f})")
    return f"The stack beside the best of the others: {', '.join(phrases)}."


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error; 0 for one value, which has none."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(np.mean(values)), error
