"""ColumnProbe: how well one column alone answers the target on held-out rows, and what it could answer at best."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy.stats import rankdata
from sklearn import config_context
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from bert_playground.data.columns.kinds import clean, infer_kind
from bert_playground.data.columns.parsing import read_number
from bert_playground.tasks import TASKS

FOLDS = 3
MIN_ROWS = 2 * FOLDS  # of a class: each fold, and each fold within the others, needs some
LARGEST = 1e30  # trees compute in f32
# Each of several labels is a probe of its own; ordered classes and steps count as numbers.
SCORED_AS = {"multilabel": "binary", "ordinal": "regression", "timeseries": "regression"}
NAMES = {"binary": "ROC-AUC", "multiclass": "accuracy", "regression": "R2"}
# Below these a column is a good feature; above them it is the answer in other words.
GIVES_AWAY = {"binary": 0.995, "multiclass": 0.99, "regression": 0.98}


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
        self.fold_of = np.zeros(len(self.truth), dtype=np.int64)
        for number, (_, held_out) in enumerate(self.splits):
            self.fold_of[held_out] = number

    def limits(self, codes: np.ndarray, *, are_words: bool = False) -> np.ndarray:
        """What `score` cannot exceed, as rows of one fold with the same cell get the same answer, [C].

        Args:
            codes: [C, R] of each column whole numbers from 0, the same where cells are.
            are_words: no column is of numbers: all cells that the other folds lack get the same answer too.
        """
        if not self.is_usable:
            return np.full(len(codes), self.constant)
        pairs = self._pair(codes, are_words)
        if self.task == "regression":
            truths = np.tile(self.truth, len(codes))
            means = np.bincount(pairs.of_cells, truths) / pairs.counts
            errors = ((truths - means[pairs.of_cells]) ** 2).reshape(len(codes), -1).sum(axis=1)
            around = self.truth - self.truth.mean()
            return np.asarray(1 - errors / (around @ around))
        labels = self._count_labels(pairs)
        if self.task == "multiclass":
            return np.asarray(np.add.reduceat(labels.max(axis=1), pairs.starts) / len(self.truth))
        return _best_areas(labels[:, 1], pairs)

    def limits_of_classes(self, codes: np.ndarray, *, are_words: bool = False) -> np.ndarray:
        """What no score of `score_classes` can exceed, [C]; see `limits`."""
        if not self.is_usable:
            return np.zeros(len(codes))
        pairs = self._pair(codes, are_words)
        labels = self._count_labels(pairs)
        return np.asarray(np.max([_best_areas(each, pairs) for each in labels.T], axis=0))

    def _pair(self, codes: np.ndarray, are_words: bool) -> "_Pairs":
        """The pairs of cell and fold in each column."""
        codes = codes[:, self.kept] + 1
        if are_words:
            cells = _number(codes)
            folds = np.tile(self.fold_of, len(codes))
            has_fold = np.zeros((cells.max() + 1, FOLDS), dtype=bool)
            has_fold[cells.ravel(), folds] = True
            codes[has_fold.sum(axis=1)[cells] == 1] = 0
        of_cells = _number(codes * FOLDS + self.fold_of)
        return _Pairs(of_cells.ravel(), np.bincount(of_cells.ravel()), of_cells.min(axis=1))

    def _count_labels(self, pairs: "_Pairs") -> np.ndarray:
        """Rows of each pair by class, [P, K]."""
        num_classes, num_pairs = len(self.classes), len(pairs.counts)
        labels = np.searchsorted(self.classes, self.truth)
        places = pairs.of_cells * num_classes + np.tile(labels, len(pairs.starts))
        return np.bincount(places, minlength=num_pairs * num_classes).reshape(-1, num_classes)

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

    def score_numbers(self, values: np.ndarray, enough: float = -np.inf) -> np.ndarray:
        """The same of many columns of numbers [C, R], NaN where a cell has none: [C].

        A column that cannot reach a score of `enough` gets one below it, and not its own.
        """
        if not self.is_usable:
            return np.full(len(values), self.constant)
        cells = np.clip(values[:, self.kept], -LARGEST, LARGEST).astype(np.float32)[:, :, None]
        _, first = self.splits[0]
        told = np.stack([self._answer_fold(each, 0, is_number=True) for each in cells])
        answers = np.repeat(self._worst()[None], len(cells), axis=0)
        for place in np.flatnonzero(self._limits_after(told) >= enough):
            answers[place, first] = told[place]
            for fold in range(1, FOLDS):
                held_out = self.splits[fold][1]
                answers[place, held_out] = self._answer_fold(cells[place], fold, is_number=True)
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
        answers = np.empty_like(self._worst())
        for fold, (_, held_out) in enumerate(self.splits):
            answers[held_out] = self._answer_fold(values, fold, is_number)
        return answers

    def _answer_fold(self, values: np.ndarray, fold: int, is_number: bool) -> np.ndarray:
        """What a tree of the other folds answers the rows of one."""
        train, held_out = self.splits[fold]
        # Of 0 and 1 the squared error cuts as Gini's impurity does, the mean of a leaf is the probability, and it takes less time.
        is_multiclass = self.task == "multiclass"
        make_tree = DecisionTreeClassifier if is_multiclass else DecisionTreeRegressor
        # On a wide table checking X takes as long as the trees; without the check the library looks for no missing values.
        is_whole = is_number and values.dtype == np.float32 and not np.isnan(values).any()
        unchecked: dict[str, Any] = {"check_input": False} if is_whole else {}
        leaf = max(3, len(self.truth) // 200)
        # The validation is a third of the time on narrow columns.
        with config_context(skip_parameter_validation=True):
            model = make_tree(max_depth=8, min_samples_leaf=leaf, random_state=self.seed)
            if not is_number:
                model = make_pipeline(TargetEncoder(target_type=self._type(), cv=self.folds), model)
            model.fit(values[train], self.truth[train], **unchecked)
            answer = model.predict_proba if is_multiclass else model.predict
            answered: np.ndarray = answer(values[held_out], **unchecked)
        return answered

    def _limits_after(self, told: np.ndarray) -> np.ndarray:
        """The scores if all answers but these to the first fold were perfect, [C]: of ROC-AUC, of pairs within it too.

        Args:
            told: [C, rows of the first fold] or [C, rows, K].
        """
        truth = self.truth[self.splits[0][1]]
        if self.task == "multiclass":
            wrong = self.classes[told.argmax(axis=2)] != truth
            return np.asarray(1 - wrong.sum(axis=1) / len(self.truth))
        if self.task == "regression":
            around = self.truth - self.truth.mean()
            return np.asarray(1 - ((truth - told) ** 2).sum(axis=1) / (around @ around))
        is_positive, positives = truth == self.classes[1], self.truth == self.classes[1]
        pairs = is_positive.sum() * (~is_positive).sum()
        share = pairs / (positives.sum() * (~positives).sum())
        return np.asarray(1 - share * (1 - rank_areas(told, is_positive)))

    def _worst(self) -> np.ndarray:
        """Answers that are all wrong."""
        if self.task == "multiclass":
            return np.asarray(self.truth[:, None] != self.classes, dtype=np.float64)
        return np.asarray(self.truth.max() + self.truth.min() - self.truth, dtype=np.float64)

    def _type(self) -> str:
        return {0: "continuous", 2: "binary"}.get(len(self.classes), "multiclass")


class _Pairs(NamedTuple):
    """Pairs of cell and fold of several columns, numbered from the first column to the last.

    Attributes:
        of_cells: [C * R] the pair of each cell, column by column.
        counts: [P] cells of each pair.
        starts: [C] the first pair of each column.
    """

    of_cells: np.ndarray
    counts: np.ndarray
    starts: np.ndarray


def _number(codes: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 for the different codes of each column, no two columns sharing one, [C, R]."""
    order = np.argsort(codes, axis=1)
    is_new = np.diff(np.take_along_axis(codes, order, axis=1), axis=1, prepend=-1) > 0
    numbers = np.empty_like(order)
    np.put_along_axis(numbers, order, np.cumsum(is_new).reshape(codes.shape) - 1, axis=1)
    return numbers


def _best_areas(positives: np.ndarray, pairs: _Pairs) -> np.ndarray:
    """The largest ROC-AUC of answers that are the same within a pair, [C]: those ranked by their pairs' shares of positives.

    Args:
        positives: [P] cells of the class in each pair.
        pairs: of the columns.
    """
    column = np.repeat(np.arange(len(pairs.starts)), np.diff(pairs.starts, append=len(positives)))
    order = np.lexsort((positives / pairs.counts, column))
    ones, zeros = positives[order], (pairs.counts - positives)[order]
    shares = (positives / pairs.counts)[order]
    # Pairs of one share are one step of the curve.
    is_step = np.diff(shares, prepend=-1.0) != 0
    is_step[pairs.starts] = True
    steps = np.flatnonzero(is_step)
    ones, zeros = np.add.reduceat(ones, steps), np.add.reduceat(zeros, steps)
    firsts = np.searchsorted(steps, pairs.starts)
    total_ones, total_zeros = np.add.reduceat(ones, firsts), np.add.reduceat(zeros, firsts)
    # All columns have as many zeros, which stand below those of the next.
    below = np.cumsum(zeros) - zeros - column[order][steps] * total_zeros[0]
    in_order = np.add.reduceat(ones * (below + zeros / 2), firsts)
    return np.asarray(in_order / (total_ones * total_zeros))


def rank_areas(scores: np.ndarray, is_positive: np.ndarray) -> np.ndarray:
    """ROC-AUC of each row of scores [C, R]: the share of pairs in order, which the ranks of the positive rows count."""
    num_positives = int(is_positive.sum())
    ranks = rankdata(scores, axis=1)[:, is_positive].sum(axis=1)
    in_order = ranks - num_positives * (num_positives + 1) / 2
    return np.asarray(in_order / (num_positives * (len(is_positive) - num_positives)))


def _common_rows(truth: np.ndarray) -> np.ndarray:
    """The rows of classes that have enough of them, [K]."""
    counts = np.bincount(truth)
    return np.flatnonzero(counts[truth] >= MIN_ROWS)


def constant_score(truth: np.ndarray, task: str) -> float:
    """What a constant answer scores."""
    if task == "multiclass":
        return float(np.bincount(truth).max(initial=0) / max(1, len(truth)))
    return 0.5 if task == "binary" else 0.0
