"""BertClassifier: an encoder that answers classes, in scikit-learn's manner."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from bert_playground.data.reading.table import as_text
from bert_playground.data.targets.fit import encode_targets
from bert_playground.estimators.base import BertEstimator, check_weights, name_of, read_target
from bert_playground.estimators.model import Array
from bert_playground.inference import AnyPredictor
from bert_playground.lookup import shorten


class BertClassifier(ClassifierMixin, BertEstimator):
    """An encoder with a head for classes, trained on tables or texts as `bert train` trains it.

    Every parameter that is None is left to `config`, and else to the default of the command line, or to its recipe.

    Args:
        model: a checkpoint folder or Hub id to start from; or bert, modernbert, neobert from random weights.
        config: further settings: a preset, the path of a YAML or JSON file, or a dict with its keys, such as
            {"lora": {"enabled": True}}.
        epochs: passes over the rows.
        batch_size: rows per batch.
        learning_rate: the peak one.
        max_length: most tokens of a row.
        validation_fraction: share of the rows that is held out to choose the best epoch, and to stop early.
        patience: epochs without a better metric after which training stops; 0: never.
        metric: decides the best epoch, such as "f1"; None: the loss.
        class_weight: "balanced", or a weight for each class: as in scikit-learn.
        random_state: of split, weights and order; None: the seed of `config`, else 0.
        output_dir: where a run folder with curves and report is written; None: nowhere.
        verbose: 1: progress is shown. What was decided is said after `bert_playground.logs.set_up_logs()`; warnings always.

    Attributes:
        classes_: the labels, sorted.
        checkpoint_: the model.
        summary_: metrics and costs of the run, as in its summary.json.
        n_iter_: epochs that were trained.
        run_dir_: the run folder, where `output_dir` is given.
        n_features_in_: columns of X.
        feature_names_in_: their names, where they have some.
    """

    tasks = ("binary", "multiclass", "ordinal")

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        config: str | Path | Mapping[str, Any] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        max_length: int | None = None,
        validation_fraction: float | None = None,
        patience: int | None = None,
        metric: str | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        random_state: Any = None,
        output_dir: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            model,
            config=config,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            max_length=max_length,
            validation_fraction=validation_fraction,
            patience=patience,
            metric=metric,
            random_state=random_state,
            output_dir=output_dir,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(
        self,
        X: Any,  # noqa: N803 (scikit-learn's name)
        y: Any,
        sample_weight: Any = None,
        eval_set: tuple[Any, Any] | None = None,
    ) -> Self:
        """Train on rows with their classes.

        Args:
            X: a frame of Polars or pandas, a matrix, or a list of texts.
            y: [R], the class of each row.
            sample_weight: [R], how much each row counts in the loss; rows of 0 are left out. Validation counts rows alike.
            eval_set: (X, y) of validation rows; None: they are split off.

        Raises:
            ValueError: rows, classes or parameters do not fit; says what to do.
        """
        labels = self._check_target(y)
        if isinstance(self.class_weight, Mapping):
            by_class = compute_sample_weight(dict(self.class_weight), labels)
            given = check_weights(sample_weight, labels)
            sample_weight = by_class if given is None else by_class * given
        return self._fit(X, labels, sample_weight, eval_set, name=name_of(y))

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The class of each row, [R], as `bert predict` answers it."""
        answers = self._answers(self._score_rows(X))
        pipeline = self.checkpoint_.predictor.pipeline
        numbers = encode_targets(pipeline.labels, answers, pipeline.targets)
        return np.asarray(self.classes_[np.argsort(self._numbers)[numbers]])

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """The probabilities of `classes_`, [R, C] in f64."""
        scores = self._score_rows(X)
        table = self.checkpoint_.predictor.pipeline.probabilities(scores).to_numpy()
        return np.asarray(table / table.sum(axis=1, keepdims=True))[:, self._numbers]

    def predict_log_proba(self, X: Any) -> Array:  # noqa: N803
        """Their logarithms."""
        return np.asarray(np.log(self.predict_proba(X)))

    def _check_target(self, target: Any) -> Array:
        labels = read_target(target, self)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        return labels

    def _find_task(self, target: Array) -> str:
        classes = np.unique(target)
        if len(classes) < 2:
            raise ValueError(
                f"y has the single class {classes[0]!r}; a classifier needs at least two"
            )
        if len({str(each).strip() for each in classes}) < len(classes):
            raise ValueError(
                f"y has classes that are the same as text: {shorten(map(repr, classes))}; rename some"
            )
        return "binary" if len(classes) == 2 else "multiclass"

    def _read_target(self, predictor: AnyPredictor, target: Array | None) -> None:
        labels = predictor.pipeline.labels
        self.classes_ = np.array(labels.classes) if target is None else np.unique(target)
        # The model numbers classes in an order of its own, as ordinal ones have.
        words = as_text(pl.DataFrame({predictor.pipeline.target: self.classes_}))
        self._numbers = encode_targets(labels, words, predictor.pipeline.targets)
