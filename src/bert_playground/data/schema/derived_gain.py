"""find_gains: which of the columns that were proposed tell of the target what all others together do not."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import NormalDist

import numpy as np
import polars as pl

from bert_playground.data.core.schema import Schema
from bert_playground.data.targets.fit import encode_targets, fit_targets

FOLDS = 3
MIN_ROWS = 100  # of fewer nothing can be said
MAX_ROWS = 5_000
MAX_TARGETS = 4
MAX_CLASSES = 20
MAX_KEPT = 6
NUM_TREES, NUM_LEAVES = 80, 15  # of all classes or targets together
MAX_ROUNDS = 30
LEARNING_RATE = 0.2  # what so few trees leave unexplained is not what base columns tell
CHANCE = 0.05  # that a useless column is kept, all proposed ones together
NO_HARM = 1.0  # standard errors


def judge_by_target(
    frame: pl.DataFrame, schema: Schema
) -> Callable[[np.ndarray, np.ndarray, np.ndarray, Sequence[float | None]], list[int]] | None:
    """`find_gains` for the target of a table; None where it has none, or one that is unfit."""
    if not schema.targets:
        return None
    try:
        encoder = fit_targets(frame, schema.target, schema.task, schema.class_order)
        labels = encode_targets(encoder, frame, schema.targets)
    except ValueError:
        return None
    return partial(find_gains, labels=labels, task=encoder.task)


def find_gains(
    base: np.ndarray,
    is_category: np.ndarray,
    proposed: np.ndarray,
    unseen: Sequence[float | None],
    labels: np.ndarray,
    task: str,
    seed: int = 0,
) -> list[int]:
    """The numbers of the columns to keep, the most telling first.

    Boosted trees answer training rows of other folds by the base columns; what they leave unexplained a small tree of
    one proposed column then explains on rows that it did not see. A column is kept where the squared error falls by
    more than chance (Bonferroni over all proposed), and what it explains is taken away before the next is looked at.
    One that depends on groups must besides do no harm where no group is known.

    Args:
        base: [R, F] numbers, and categories as whole numbers; NaN where there is none.
        is_category: [F].
        proposed: [R, C] likewise.
        unseen: [C] what the column says of every row of a new group; None: it depends on none.
        labels: [R] or [R, L], encoded.
        task: a name in TASKS.
        seed: which rows are drawn of a large table, and the folds.
    """
    if len(labels) < MIN_ROWS or not proposed.shape[1] or not base.shape[1]:
        return []
    # Imported where columns are proposed, as it takes seconds that a run without any does not have.
    from sklearn import config_context
    from sklearn.model_selection import KFold

    rows = np.random.default_rng(seed).permutation(len(labels))[:MAX_ROWS]
    base, proposed = base[rows], proposed[rows]
    splits = list(KFold(FOLDS, shuffle=True, random_state=seed).split(base))
    with config_context(skip_parameter_validation=True):
        rest = _find_rest(base, is_category, labels[rows], task, splits, seed)
        return _choose(rest, proposed, unseen, splits)


Splits = Sequence[tuple[np.ndarray, np.ndarray]]


def _find_rest(
    base: np.ndarray,
    is_category: np.ndarray,
    labels: np.ndarray,
    task: str,
    splits: Splits,
    seed: int,
) -> np.ndarray:
    """[R, K] what boosted trees of other folds leave unexplained of each class or number."""
    from scipy.stats import rankdata
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    is_classes = task == "binary" or (task == "multiclass" and labels.max() < MAX_CLASSES)
    num_models = min(MAX_TARGETS, labels[0].size)
    if is_classes and task == "multiclass":
        num_models = len(np.unique(labels))
    options = {
        "max_iter": min(MAX_ROUNDS, NUM_TREES // num_models),
        "max_leaf_nodes": NUM_LEAVES,
        "learning_rate": LEARNING_RATE,
        "categorical_features": is_category,
        "early_stopping": False,
        "random_state": seed,
    }
    if (task == "multiclass" and labels.max() < MAX_CLASSES) or task == "binary":
        known = np.unique(labels)
        one_hot: np.ndarray = (labels[:, None] == known).astype(np.float64)
        for train, held_out in splits:
            model = HistGradientBoostingClassifier(**options).fit(base[train], labels[train])
            places = np.searchsorted(known, model.classes_)
            one_hot[np.ix_(held_out, places)] -= model.predict_proba(base[held_out])
        return one_hot[:, 1:] if len(known) == 2 else one_hot
    targets = labels.reshape(len(labels), -1)[:, :MAX_TARGETS]
    # Ranks, as skewed numbers would leave the say to a few rows.
    truth: np.ndarray = rankdata(targets, axis=0) / len(labels)
    rest = truth.copy()
    for train, held_out in splits:
        for column in range(rest.shape[1]):
            model = HistGradientBoostingRegressor(**options).fit(base[train], truth[train, column])
            rest[held_out, column] -= model.predict(base[held_out])
    return rest


def _choose(
    rest: np.ndarray, proposed: np.ndarray, unseen: Sequence[float | None], splits: Splits
) -> list[int]:
    least = NormalDist().inv_cdf(1 - CHANCE / proposed.shape[1])
    open_, kept = list(range(proposed.shape[1])), list[int]()
    while open_ and len(kept) < MAX_KEPT:
        told = {i: _explain(rest, proposed[:, i], splits, unseen[i]) for i in open_}
        scores = {i: _score(rest, each[0]) for i, each in told.items()}
        harmless = [
            i for i in open_ if unseen[i] is None or _score_whole(rest, told[i][1]) >= -NO_HARM
        ]
        best = max(harmless, key=lambda i: scores[i], default=None)
        if best is None or scores[best] < least:
            break
        kept.append(best)
        rest = rest - told[best][0]
        open_ = [i for i in harmless if i != best and scores[i] >= least]
    return kept


def _explain(
    rest: np.ndarray, column: np.ndarray, splits: Splits, unseen: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """[R, K] what a small tree of one column answers rows of other folds; and if these were all of new groups."""
    from sklearn.tree import DecisionTreeRegressor

    answers, blind = np.empty_like(rest), np.empty_like(rest)
    values = np.clip(column, -1e30, 1e30)[:, None]  # trees compute in f32
    tree = DecisionTreeRegressor(max_depth=3, min_samples_leaf=max(10, len(rest) // 100))
    for train, held_out in splits:
        tree.fit(values[train], rest[train])
        answers[held_out] = tree.predict(values[held_out]).reshape(len(held_out), -1)
        alone = values[held_out] if unseen is None else np.full((len(held_out), 1), unseen)
        blind[held_out] = tree.predict(alone).reshape(len(held_out), -1)
    return answers, blind


def _score(rest: np.ndarray, answers: np.ndarray) -> float:
    """How many standard errors the squared error falls by for a small step towards the answers."""
    return _in_errors((rest * answers).sum(axis=1))


def _score_whole(rest: np.ndarray, answers: np.ndarray) -> float:
    """How many standard errors it falls by for the whole step."""
    return _in_errors((rest**2 - (rest - answers) ** 2).sum(axis=1))


def _in_errors(gain: np.ndarray) -> float:
    error = gain.std() / np.sqrt(len(gain))
    return float(gain.mean() / error) if error > 0 else 0.0
