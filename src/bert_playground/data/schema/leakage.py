"""Columns that give the target away: how well each one, alone, answers held-out rows."""

import numpy as np
import polars as pl
from sklearn import config_context
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from bert_playground.data.columns.kinds import clean, infer_kind
from bert_playground.data.columns.parsing import read_number
from bert_playground.data.targets.fit import Encoder, encode_targets, split_target
from bert_playground.tasks import TASKS

FOLDS = 3
MIN_ROWS = 2 * FOLDS  # of a class: each fold, and each fold within the others, needs some
MAX_ROWS = 20_000  # of all targets together, but MIN_SAMPLE of each
MIN_SAMPLE = 4_000
MAX_TARGETS = 20
# Each of several labels is a probe of its own; ordered classes and steps count as numbers.
SCORED_AS = {"multilabel": "binary", "ordinal": "regression", "timeseries": "regression"}
NAMES = {"binary": "ROC-AUC", "multiclass": "accuracy", "regression": "R2"}
# Below these a column is a good feature; above them it is the answer in other words.
GIVES_AWAY = {"binary": 0.995, "multiclass": 0.99, "regression": 0.98}
# An id should say nothing; a clear surplus means that rows are numbered in an order that knows the target.
ID_SURPLUS = 0.1


def find_leakage(
    frame: pl.DataFrame, labels: Encoder, target: str, id_column: str | None, seed: int = 0
) -> list[str]:
    """Sentences about columns that tell the target too well, the id among them.

    Each column alone is fitted to the target by a small decision tree (categories by their mean target), and scored on
    the rows of the fold it did not see. Of several targets each is looked at, at most MAX_TARGETS of them.

    Args:
        frame: the training rows, all cells as text.
        labels: fitted on them.
        target: its column, or several between commas.
        id_column: or None.
        seed: which rows are drawn of a large table, and the folds.
    """
    columns = split_target(target, frame.columns)
    names = (
        columns
        if len(columns) > 1
        else (labels.classes if labels.task == "multilabel" else columns)
    )
    names = tuple(map(str, names[:MAX_TARGETS]))
    num_rows = max(MIN_SAMPLE, MAX_ROWS // len(names))
    if frame.height > num_rows:
        frame = frame.sample(num_rows, seed=seed)
    truths = encode_targets(labels, frame, columns).reshape(frame.height, -1)
    task = SCORED_AS.get(labels.task, labels.task)
    kind = np.int64 if TASKS[task].is_classification else np.float64
    probes = {
        name: ColumnProbe(truths[:, i].astype(kind), task, seed) for i, name in enumerate(names)
    }
    found = []
    for column in frame.drop(columns).iter_columns():
        scores = {name: probe.score(column) for name, probe in probes.items()}
        name = max(scores, key=lambda each: scores[each] - probes[each].constant)
        score, blind = scores[name], probes[name].constant
        said = f"{NAMES[task]} {score:.3f}"
        if column.name == id_column:
            if score >= blind + ID_SURPLUS:
                found.append(
                    f"{column.name} tells something of {name} ({said}), though it is no feature: rows are numbered in an "
                    "order that knows it, so keep it out of the text; random validation rows may flatter every model"
                )
        elif score >= GIVES_AWAY[task] > blind:
            found.append(
                f"{column.name} alone answers {name} ({said}): is it known beforehand? else leave it out with "
                "data.drop_columns"
            )
    return found


class ColumnProbe:
    """What is asked of columns: labels, and the folds that all of them are judged on.

    Args:
        truth: [R] encoded labels.
        task: a key of NAMES.
        seed: of the folds.
    """

    def __init__(self, truth: np.ndarray, task: str, seed: int) -> None:
        self.task, self.seed = task, seed
        self.is_classification = TASKS[task].is_classification
        self.kept = _common_rows(truth) if self.is_classification else np.arange(len(truth))
        self.truth = truth[self.kept]
        self.constant = constant_score(self.truth, task)
        make_folds = StratifiedKFold if self.is_classification else KFold
        self.folds = make_folds(FOLDS, shuffle=True, random_state=seed)
        self.is_usable = len(self.truth) >= MIN_ROWS and len(np.unique(self.truth)) > 1
        rows = np.arange(len(self.truth))[:, None]
        self.splits = list(self.folds.split(rows, self.truth)) if self.is_usable else []

    def score(self, column: pl.Series) -> float:
        """How well a column of R cells alone answers rows of other folds: ROC-AUC, accuracy or R2."""
        column = column[self.kept]
        kind, cleaned = infer_kind(column), clean(column)
        is_constant = kind.name == "nothing" and cleaned.null_count() in (0, len(column))
        if is_constant or not self.is_usable:
            return self.constant
        if kind.name == "number":
            number = read_number(pl.col(column.name), kind.spelling)
            values = cleaned.to_frame().select(number).to_series().to_numpy()
            values = np.clip(values, -1e30, 1e30)  # the tree computes in f32
        else:
            values = cleaned.fill_null("").rank("dense").to_numpy()
        with config_context(
            skip_parameter_validation=True
        ):  # a third of the time on narrow columns
            answers = self._answer(values[:, None], is_number=kind.name == "number")
        measure = {"binary": roc_auc_score, "multiclass": accuracy_score}.get(self.task, r2_score)
        return float(measure(self.truth, answers))

    def _answer(self, values: np.ndarray, *, is_number: bool) -> np.ndarray:
        """[R] answers, each by a tree that did not see its row."""
        make_tree = DecisionTreeClassifier if self.is_classification else DecisionTreeRegressor
        leaf = max(3, len(self.truth) // 200)
        answers = np.empty(len(self.truth), dtype=np.float64)
        for train, held_out in self.splits:
            model = make_tree(max_depth=8, min_samples_leaf=leaf, random_state=self.seed)
            if not is_number:
                model = make_pipeline(TargetEncoder(target_type=self._type(), cv=self.folds), model)
            model.fit(values[train], self.truth[train])
            if self.task == "binary":
                answers[held_out] = model.predict_proba(values[held_out])[:, 1]
            else:
                answers[held_out] = model.predict(values[held_out])
        return answers

    def _type(self) -> str:
        num_classes = len(np.unique(self.truth)) if self.is_classification else 0
        return {0: "continuous", 2: "binary"}.get(num_classes, "multiclass")


def _common_rows(truth: np.ndarray) -> np.ndarray:
    """The rows of classes that have enough of them, [K]."""
    counts = np.bincount(truth)
    return np.flatnonzero(counts[truth] >= MIN_ROWS)


def constant_score(truth: np.ndarray, task: str) -> float:
    """What a constant answer scores."""
    if task == "multiclass":
        return float(np.bincount(truth).max(initial=0) / max(1, len(truth)))
    return 0.5 if task == "binary" else 0.0
