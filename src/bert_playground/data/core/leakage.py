"""Columns that give the target away: how well each one, alone, answers held-out rows."""

import numpy as np
import polars as pl
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from bert_playground.data.core.kinds import clean, infer_kind
from bert_playground.data.core.labels import LabelEncoder
from bert_playground.data.core.spellings import read_number
from bert_playground.tasks import TASKS

FOLDS = 3
MIN_ROWS = 2 * FOLDS  # of a class: each fold, and each fold within the others, needs some
MAX_ROWS = 20_000
NAMES = {"binary": "ROC-AUC", "multiclass": "accuracy", "regression": "R2"}
# Below these a column is a good feature; above them it is the answer in other words.
GIVES_AWAY = {"binary": 0.995, "multiclass": 0.99, "regression": 0.98}
# An id should say nothing; a clear surplus means that rows are numbered in an order that knows the target.
ID_SURPLUS = 0.1


def find_leaks(
    frame: pl.DataFrame, labels: LabelEncoder, target: str, id_column: str | None, seed: int = 0
) -> list[str]:
    """Sentences about columns that tell the target too well, the id among them.

    Each column alone is fitted to the target by a small decision tree (categories by their mean target), and scored on
    the rows of the fold it did not see.

    Args:
        frame: the training rows, all cells as text.
        labels: fitted on them.
        target: its column.
        id_column: or None.
        seed: which rows are drawn of a large table, and the folds.
    """
    if labels.task not in NAMES:
        return []
    if frame.height > MAX_ROWS:
        frame = frame.sample(MAX_ROWS, seed=seed)
    truth = labels.encode(frame[target])
    blind = blind_score(truth, labels.task)
    found = []
    for column in frame.drop(target).iter_columns():
        score = score_alone(column, truth, labels.task, seed)
        said = f"{NAMES[labels.task]} {score:.3f}"
        if column.name == id_column:
            if score >= blind + ID_SURPLUS:
                found.append(
                    f"{column.name} tells something of {target} ({said}), though it is no feature: rows stand in an "
                    "order that knows the target, so compare models on later rows, not on random ones"
                )
        elif score >= GIVES_AWAY[labels.task] > blind:
            found.append(
                f"{column.name} alone answers {target} ({said}): is it known beforehand? else leave it out with "
                "data.drop_columns"
            )
    return found


def score_alone(column: pl.Series, truth: np.ndarray, task: str, seed: int = 0) -> float:
    """How well a column alone answers rows of other folds: ROC-AUC, accuracy or R2, as the task has it.

    Args:
        column: [R] cells as text.
        truth: [R] encoded labels.
        task: a key of NAMES.
        seed: of the folds.
    """
    is_classification = TASKS[task].is_classification
    kept = _common_rows(truth) if is_classification else np.arange(len(truth))
    column, truth = column[kept], truth[kept]
    kind, cleaned = infer_kind(column), clean(column)
    is_constant = kind.name == "nothing" and cleaned.null_count() in (0, len(column))
    if is_constant or len(truth) < MIN_ROWS or len(np.unique(truth)) < 2:
        return blind_score(truth, task)
    make_folds = StratifiedKFold if is_classification else KFold
    folds = make_folds(FOLDS, shuffle=True, random_state=seed)
    make_tree = DecisionTreeClassifier if is_classification else DecisionTreeRegressor
    model = make_tree(max_depth=8, min_samples_leaf=max(3, len(truth) // 200), random_state=seed)
    if kind.name == "number":
        number = read_number(pl.col(column.name), kind.spelling)
        values = cleaned.to_frame().select(number).to_series().to_numpy()
        values = np.clip(values, -1e30, 1e30)  # the tree computes in f32
    else:
        values = cleaned.fill_null("").rank("dense").to_numpy()
        num_classes = len(np.unique(truth)) if is_classification else 0
        target_type = {0: "continuous", 2: "binary"}.get(num_classes, "multiclass")
        model = make_pipeline(TargetEncoder(target_type=target_type, cv=folds), model)
    method = "predict_proba" if task == "binary" else "predict"
    answers = cross_val_predict(model, values[:, None], truth, cv=folds, method=method)
    if task == "binary":
        return float(roc_auc_score(truth, answers[:, 1]))
    return float((accuracy_score if task == "multiclass" else r2_score)(truth, answers))


def _common_rows(truth: np.ndarray) -> np.ndarray:
    """The rows of classes that have enough of them, [K]."""
    counts = np.bincount(truth)
    return np.flatnonzero(counts[truth] >= MIN_ROWS)


def blind_score(truth: np.ndarray, task: str) -> float:
    """What a constant answer scores."""
    if task == "multiclass":
        return float(np.bincount(truth).max(initial=0) / max(1, len(truth)))
    return 0.5 if task == "binary" else 0.0
