"""find_leakage: columns that give the target, or one class of it, away: how well each alone answers held-out rows."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy.stats import mannwhitneyu
from sklearn import config_context
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from bert_playground.data.columns.kinds import clean, infer_all, infer_kind
from bert_playground.data.columns.parsing import read_number
from bert_playground.data.columns.wide import read_numbers
from bert_playground.data.targets.fit import Encoder, encode_targets, split_target
from bert_playground.data.targets.label_encoder import LabelEncoder
from bert_playground.tasks import TASKS

FOLDS = 3
MIN_ROWS = 2 * FOLDS  # of a class: each fold, and each fold within the others, needs some
MAX_ROWS = 20_000  # of all targets together, but MIN_SAMPLE of each
MIN_SAMPLE = 4_000
MAX_TARGETS = 20
LARGEST = 1e30  # trees compute in f32
MIN_SHARE = 0.05  # of a number that stands on many rows, to ask which rows have it
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
    the rows of the fold it did not see. Of several targets each is looked at, at most MAX_TARGETS of them; of several
    classes, each against the rest as well, and of numbers one that stands on many rows.

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
    against = _find_classes(labels, truths[:, 0], frame[columns[0]], seed)
    found = []
    features = frame.drop(columns)
    by_number = _score_numbers(features, probes)
    for column in features.iter_columns():
        scores = by_number.get(column.name) or {
            name: probe.score(column) for name, probe in probes.items()
        }
        name = max(scores, key=lambda each: scores[each] - probes[each].constant)
        score, blind = scores[name], probes[name].constant
        measured = f"{NAMES[task]} {score:.3f}"
        if column.name == id_column:
            if score >= blind + ID_SURPLUS:
                found.append(
                    f"{column.name} tells something of {name} ({measured}), though it is no feature: rows are numbered in an "
                    "order that knows it, so keep it out of the text; random validation rows may flatter every model"
                )
        elif score >= GIVES_AWAY[task] > blind:
            found.append(
                f"{column.name} alone answers {name} ({measured}): is it known beforehand? else leave it out with "
                "data.drop_columns"
            )
        elif against is not None:
            found += _describe_classes(column, against, names[0])
    return found


def _score_numbers(
    frame: pl.DataFrame, probes: Mapping[str, "ColumnProbe"]
) -> dict[str, dict[str, float]]:
    """Column → target → score, of all columns of numbers."""
    kinds = infer_all(frame)
    spellings = {name: kind.spelling for name, kind in kinds.items() if kind.name == "number"}
    if not spellings:
        return {}
    numbers = read_numbers(frame, spellings)
    values = np.stack([numbers[name] for name in spellings])
    scores = {name: probe.score_numbers(values) for name, probe in probes.items()}
    return {
        column: {name: float(scores[name][place]) for name in probes}
        for place, column in enumerate(spellings)
    }


class ClassProbe(NamedTuple):
    """Classes that are asked for one against the rest: all of a target, or the value that many numbers have."""

    probe: "ColumnProbe"
    names: dict[int, str]


def _find_classes(
    labels: Encoder, truth: np.ndarray, cells: pl.Series, seed: int
) -> ClassProbe | None:
    """What else is asked of columns than the target as a whole; None: nothing, as it is of two classes or of several columns."""
    if labels.task in ("multiclass", "ordinal") and isinstance(labels, LabelEncoder):
        probe = ColumnProbe(truth.astype(np.int64), "multiclass", seed)
        return ClassProbe(probe, {i: str(name) for i, name in enumerate(labels.classes)})
    if labels.task == "regression" and isinstance(labels, LabelEncoder):
        values, counts = np.unique(truth, return_counts=True)
        value, count = values[counts.argmax()], counts.max()
        if MIN_SHARE <= count / len(truth) <= 1 - MIN_SHARE and count >= MIN_ROWS:
            probe = ColumnProbe((truth == value).astype(np.int64), "binary", seed)
            return ClassProbe(probe, {1: str(cells[int((truth == value).argmax())])})
    return None


def _describe_classes(column: pl.Series, against: ClassProbe, target: str) -> list[str]:
    """Which classes a column tells from all others, by its values or by having none."""
    scores = against.probe.score_classes(column)
    told = [
        (against.names[label], score)
        for label, score in scores.items()
        if label in against.names and score >= GIVES_AWAY["binary"]
    ]
    if not told:
        return []
    by_absence = against.probe.score_absence(column)
    is_absence = any(by_absence.get(label, 0) >= GIVES_AWAY["binary"] for label in scores)
    how = ", by whether it is missing" if is_absence else ""
    listed = ", ".join(f"{name} (ROC-AUC {score:.3f})" for name, score in told)
    return [
        f"{column.name} alone tells {target} {listed} from the rest{how}: is it known beforehand? else leave it out with "
        "data.drop_columns"
    ]


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
        self.classes = np.unique(self.truth) if self.is_classification else np.empty(0)
        make_folds = StratifiedKFold if self.is_classification else KFold
        self.folds = make_folds(FOLDS, shuffle=True, random_state=seed)
        self.is_usable = len(self.truth) >= MIN_ROWS and len(np.unique(self.truth)) > 1
        rows = np.arange(len(self.truth))[:, None]
        self.splits = list(self.folds.split(rows, self.truth)) if self.is_usable else []

    def score(self, column: pl.Series) -> float:
        """How well a column of R cells alone answers rows of other folds: ROC-AUC, accuracy or R2."""
        read = self._read(column[self.kept])
        if read is None:
            return self.constant
        answers = self._answer(*read)
        if self.task == "multiclass":
            answers = self.classes[answers.argmax(axis=1)]
        measure = {"binary": roc_auc_score, "multiclass": accuracy_score}.get(self.task, r2_score)
        return float(measure(self.truth, answers))

    def score_numbers(self, values: np.ndarray) -> np.ndarray:
        """The same of many columns of numbers [C, R], NaN where a cell has none: [C]."""
        if not self.is_usable:
            return np.full(len(values), self.constant)
        cells = np.clip(values[:, self.kept], -LARGEST, LARGEST).astype(np.float32)
        answers = np.stack([self._answer(each[:, None], is_number=True) for each in cells])
        if self.task == "binary":
            return rank_areas(answers, self.truth == self.classes[1])
        if self.task == "multiclass":
            chosen = self.classes[answers.argmax(axis=2)]
            return np.asarray((chosen == self.truth).mean(axis=1))
        truths = np.repeat(self.truth[:, None], len(cells), axis=1)
        return np.asarray(r2_score(truths, answers.T, multioutput="raw_values"))

    def score_classes(self, column: pl.Series) -> dict[int, float]:
        """How well a column alone tells each class from the rest on rows of other folds: ROC-AUC by class."""
        read = self._read(column[self.kept])
        if read is None:
            return {}
        answers = self._answer(*read)
        if self.task == "binary":
            return {1: float(roc_auc_score(self.truth, answers))}
        return {
            int(label): float(roc_auc_score(self.truth == label, answers[:, i]))
            for i, label in enumerate(self.classes)
        }

    def score_absence(self, column: pl.Series) -> dict[int, float]:
        """How well having no value, or having one, tells each class from the rest: ROC-AUC by class."""
        is_missing = clean(column[self.kept]).is_null().to_numpy()
        if not self.is_usable or is_missing.all() or not is_missing.any():
            return {}
        scores = {}
        for label in self.classes:
            score = float(roc_auc_score(self.truth == label, is_missing))
            scores[int(label)] = max(score, 1 - score)
        return scores

    def _read(self, column: pl.Series) -> tuple[np.ndarray, bool] | None:
        """The cells as numbers [R, 1], and whether they are numbers or categories; None: they can tell nothing."""
        kind, cleaned = infer_kind(column), clean(column)
        is_constant = kind.name == "nothing" and cleaned.null_count() in (0, len(column))
        if is_constant or not self.is_usable:
            return None
        if kind.name == "number":
            number = read_number(pl.col(column.name), kind.spelling)
            values = cleaned.to_frame().select(number).to_series().to_numpy()
            return np.clip(values, -LARGEST, LARGEST)[:, None], True
        return cleaned.fill_null("").rank("dense").to_numpy()[:, None], False

    def _answer(self, values: np.ndarray, is_number: bool) -> np.ndarray:
        """Answers, each by a tree that did not see its row: [R], of several classes their probabilities [R, K]."""
        # Of 0 and 1 the squared error cuts as Gini's impurity does, the mean of a leaf is the probability, and it takes less time.
        is_multiclass = self.task == "multiclass"
        make_tree = DecisionTreeClassifier if is_multiclass else DecisionTreeRegressor
        shape = (len(self.truth), len(self.classes)) if is_multiclass else len(self.truth)
        answers = np.empty(shape, dtype=np.float64)
        # On a wide table checking X takes as long as the trees; without the check the library looks for no missing values.
        is_whole = is_number and values.dtype == np.float32 and not np.isnan(values).any()
        unchecked: dict[str, Any] = {"check_input": False} if is_whole else {}
        leaf = max(3, len(self.truth) // 200)
        with config_context(
            skip_parameter_validation=True
        ):  # a third of the time on narrow columns
            for train, held_out in self.splits:
                model = make_tree(max_depth=8, min_samples_leaf=leaf, random_state=self.seed)
                if not is_number:
                    model = make_pipeline(
                        TargetEncoder(target_type=self._type(), cv=self.folds), model
                    )
                model.fit(values[train], self.truth[train], **unchecked)
                answer = model.predict_proba if is_multiclass else model.predict
                answers[held_out] = answer(values[held_out], **unchecked)
        return answers

    def _type(self) -> str:
        num_classes = len(np.unique(self.truth)) if self.is_classification else 0
        return {0: "continuous", 2: "binary"}.get(num_classes, "multiclass")


def rank_areas(scores: np.ndarray, is_positive: np.ndarray) -> np.ndarray:
    """ROC-AUC of each row of scores [C, R]: the share of pairs in order, which Mann and Whitney's U counts."""
    positives, negatives = scores[:, is_positive], scores[:, ~is_positive]
    counted = mannwhitneyu(positives, negatives, axis=1, method="asymptotic").statistic
    return np.asarray(counted / (positives.shape[1] * negatives.shape[1]))


def _common_rows(truth: np.ndarray) -> np.ndarray:
    """The rows of classes that have enough of them, [K]."""
    counts = np.bincount(truth)
    return np.flatnonzero(counts[truth] >= MIN_ROWS)


def constant_score(truth: np.ndarray, task: str) -> float:
    """What a constant answer scores."""
    if task == "multiclass":
        return float(np.bincount(truth).max(initial=0) / max(1, len(truth)))
    return 0.5 if task == "binary" else 0.0
