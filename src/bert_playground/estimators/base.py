"""BertEstimator: what classifier and regressor share: fit by `run_training_on`, answers by the predictor of the checkpoint."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _check_sample_weight, check_consistent_length

from bert_playground.config import RunConfig
from bert_playground.data.reading.examples import describe_type
from bert_playground.estimators.fitted_model import FittedModel
from bert_playground.estimators.model import Array, BertModel
from bert_playground.estimators.progress import shown_progress
from bert_playground.estimators.rows import attach_column, is_frame, read_rows
from bert_playground.estimators.settings import keep_best_only, read_settings
from bert_playground.inference import AnyPredictor
from bert_playground.runs import find_checkpoint
from bert_playground.training.run import run_training_on

TARGET, WEIGHTS = "target", "sample_weight"


class BertEstimator(BertModel, ABC):
    """The parameters and the fit of both estimators; see `BertClassifier`."""

    tasks: tuple[str, ...] = ()  # that it answers, the usual one first

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
        random_state: Any = None,
        output_dir: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.config = config
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_length = max_length
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.metric = metric
        self.random_state = random_state
        self.output_dir = output_dir
        self.verbose = verbose

    @classmethod
    def from_checkpoint(cls, folder: str | Path, **parameters: Any) -> Self:
        """A fitted estimator out of what `bert train` or `to_checkpoint` wrote; rows need the columns that it reads.

        Args:
            folder: a run, a checkpoint, an ensemble or a blend.
            parameters: of the estimator, for another `fit`.

        Raises:
            FileNotFoundError: there is no checkpoint.
            ValueError: it answers a question of another kind.
        """
        estimator = cls(**parameters)
        fitted = FittedModel.copy_of(find_checkpoint(Path(folder)))
        task = fitted.predictor.pipeline.task
        if task not in cls.tasks:
            raise ValueError(
                f"{folder} answers {task}, but {cls.__name__} is for {', '.join(cls.tasks)}; use `bert predict`, or the "
                "other estimator"
            )
        estimator.checkpoint_ = fitted
        estimator._read_target(fitted.predictor, None)
        return estimator

    def _fit(
        self,
        rows: Any,
        target: Array,
        sample_weight: Any,
        eval_set: tuple[Any, Any] | None,
        *,
        name: str = TARGET,
    ) -> Self:
        """Train on rows and targets that are checked already.

        Args:
            rows: X.
            target: [R].
            sample_weight: [R], or None.
            eval_set: X and target of the validation rows, or None.
            name: of the target.
        """
        frame = self._read_fit_rows(rows, least=2)
        check_consistent_length(target, np.empty(frame.height))
        weights = check_weights(sample_weight, target)
        if weights is not None:
            # A row that counts nothing shall leave no trace: neither in the vocabulary nor among validation rows.
            kept = weights > 0
            frame, target, weights = frame.filter(pl.Series(kept)), target[kept], weights[kept]
        task = self._find_task(target)
        frame, name = attach_column(frame, name, target)
        val = None if eval_set is None else self._read_eval_set(eval_set, name)
        data: dict[str, Any] = {"target": name, "task": task}
        if weights is not None:
            frame, data["weight_column"] = attach_column(frame, WEIGHTS, weights)
            if val is not None:
                val = val.with_columns(pl.lit(None, pl.String).alias(data["weight_column"]))
        if not is_frame(rows):
            data["id_column"] = "none"  # of a matrix every column is a feature
        self._train(frame, val, data)
        self._read_target(self.checkpoint_.predictor, target)
        return self

    def _train(
        self, frame: pl.DataFrame, val: pl.DataFrame | None, data: Mapping[str, Any]
    ) -> None:
        """Train, and keep the checkpoint; `data` has the settings that the table itself decides."""
        with tempfile.TemporaryDirectory(prefix="bert_") as temporary:
            output_dir = Path(self.output_dir) if self.output_dir else None
            config, sources = read_settings(self.get_params(deep=False), output_dir)
            config = config.with_changes(
                {"data": {**data, "task": self._choose_task(config, data)}}
            )
            if output_dir is None:
                config = config.with_changes(keep_best_only(Path(temporary)))
            with shown_progress(self.verbose):
                result = run_training_on(frame, val, config, sources)
            assert result.best_checkpoint is not None
            self.checkpoint_ = FittedModel.copy_of(result.best_checkpoint)
        self.run_dir_ = None if output_dir is None else result.run_dir.path
        self.summary_ = {key: value for key, value in result.summary.items() if key != "files"}
        self.n_iter_ = max(1, int(result.summary["epochs"]))

    def _choose_task(self, config: RunConfig, data: Mapping[str, Any]) -> str:
        asked = config.data.task
        if asked is not None and asked not in self.tasks:
            raise ValueError(
                f"config asks for task {asked}, but {type(self).__name__} is for {', '.join(self.tasks)}; leave data.task out"
            )
        return asked or str(data["task"])

    def _find_task(self, target: Array) -> str:
        """A name in TASKS, unless `config` says another one."""
        return self.tasks[0]

    def _read_target(self, predictor: AnyPredictor, target: Array | None) -> None:
        """What is learned of the target; None: it was not seen, as the checkpoint was read from a folder."""

    def _read_eval_set(self, eval_set: tuple[Any, Any], name: str) -> pl.DataFrame:
        if not isinstance(eval_set, tuple) or len(eval_set) != 2:
            raise ValueError(
                f"eval_set is {describe_type(eval_set)}, expected (X, y) of validation rows"
            )
        frame = read_rows(eval_set[0], self)
        labels = self._check_target(eval_set[1])
        check_consistent_length(labels, np.empty(frame.height))
        self._check_columns(eval_set[0], frame, reset=False)
        return attach_column(frame, name, labels)[0]

    @abstractmethod
    def _check_target(self, target: Any) -> Array:
        """Labels or numbers, one for each row."""

    def _score_rows(self, rows: Any) -> Array:
        """What the predictor answers to X."""
        frame = self._read_later_rows(rows)
        return self.checkpoint_.predictor.predict(frame)

    def _answers(self, scores: Array) -> pl.DataFrame:
        """Answers in the words and units of the target, as `bert predict` writes them."""
        return self.checkpoint_.predictor.answers(scores)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def check_weights(sample_weight: Any, target: Array) -> Array | None:
    """[R] in f64, at least 0 and not all 0; None: all rows count the same."""
    if sample_weight is None:
        return None
    weights: Array = _check_sample_weight(
        sample_weight, target, dtype=np.float64, ensure_non_negative=True
    )
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weights


def read_target(target: Any, estimator: BertEstimator) -> Array:
    """One value for each row, [R]; None is refused in scikit-learn's words."""
    if target is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    return np.asarray(column_or_1d(target, warn=True))


def name_of(target: Any) -> str:
    """What the target is called: the name of a series, which `bert train` would find in the table."""
    name = getattr(target, "name", None)
    return name if isinstance(name, str) and name.strip() and "," not in name else TARGET
