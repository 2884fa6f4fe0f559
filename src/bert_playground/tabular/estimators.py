"""ESTIMATORS: the models beside the encoder, each with one modest setting for all tables; available_estimators."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bert_playground.logger import logger
from bert_playground.lookup import look_up
from bert_playground.tabular.features import Matrix
from bert_playground.tabular.sklearn_files import load_sklearn, save_sklearn

Array = np.ndarray[Any, Any]
STRENGTHS = (0.3, 1.0, 3.0)  # inverse penalties of a linear classifier, the strongest penalty first
PENALTIES = (30.0, 10.0, 3.0, 1.0)  # of a linear regression
NEGLIGIBLE = (
    1.02  # times the least loss: fewer rows than there are make a weaker penalty look better
)
INNER_FOLDS, INNER_ROWS, INNER_CELLS = 3, 4000, 1_000_000  # at most, that a penalty is chosen by
MANY_ROWS = 10_000  # from which on a part is put aside to stop early by
ROUNDS, ROUNDS_OF_MANY, LEAVES, LEARNING_RATE, MIN_LEAF = 250, 500, 15, 0.04, 20


@dataclass(frozen=True)
class Question:
    """What one model is asked.

    Attributes:
        num_classes: that it tells apart; None: it answers a number.
        seed: of all that is drawn.
        num_threads: that it may use; None: all.
        max_seconds: of fitting, after which LightGBM and CatBoost keep the rounds that they have; None: no limit.
    """

    num_classes: int | None
    seed: int
    num_threads: int | None = 1
    max_seconds: float | None = None


@dataclass(frozen=True)
class Estimator:
    """A kind of model for one target: class numbers from 0 on without gaps, or numbers.

    Attributes:
        layout: of the rows that it sees, see `TabularFeatures`.
        suffix: of its file.
        package: that it needs; "scikit-learn" is always there.
        fit: rows, targets [R], question → model.
        predict: model, rows, question → probabilities [R, K] or numbers [R].
        save: model, path.
        load: path, question → model; ValueError for a file that is none.
        can_stop: whether `fit` ends early, with a model, when its time is over.
    """

    layout: str
    suffix: str
    package: str
    fit: Callable[[Matrix, Array, Question], Any]
    predict: Callable[[Any, Matrix, Question], Array]
    save: Callable[[Any, Path], None]
    load: Callable[[Path, Question], Any]
    can_stop: bool = False


def find_estimator(name: str) -> Estimator:
    """The estimator of this name.

    Raises:
        ValueError: it is unknown, or its library is not installed.
    """
    estimator = look_up(ESTIMATORS, name, "estimator")
    if not _is_installed(estimator):
        raise ValueError(
            f"estimator {name!r} needs the library {estimator.package}, which is not installed: "
            f"pip install 'bert-playground[boost]', or use one of {', '.join(available_estimators())}"
        )
    return estimator


def available_estimators() -> tuple[str, ...]:
    """The names of those whose libraries are installed."""
    return tuple(name for name, estimator in ESTIMATORS.items() if _is_installed(estimator))


def _is_installed(estimator: Estimator) -> bool:
    return estimator.package == "scikit-learn" or find_spec(estimator.package) is not None


@contextmanager
def limit_threads(num_threads: int | None) -> Iterator[None]:
    """Let linear algebra and OpenMP use so many threads inside the block."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(num_threads):
        yield


class _RoundLimit:
    """Counts rounds of boosting, and ends them when their time is over."""

    def __init__(self, library: str, num_rounds: int, max_seconds: float | None) -> None:
        self.library, self.num_rounds, self.num_done = library, num_rounds, 0
        self.end = np.inf if max_seconds is None else time.perf_counter() + max_seconds

    def has_time(self) -> bool:
        """Whether another round may follow the one that was just done."""
        self.num_done += 1
        if time.perf_counter() < self.end or self.num_done == self.num_rounds:
            return True
        logger.info(
            f"{self.library} ends after {self.num_done} of {self.num_rounds} rounds, as its time is over"
        )
        return False

    def after_iteration(self, info: Any) -> bool:
        """What CatBoost calls after each round."""
        del info
        return self.has_time()

    def __call__(self, environment: Any) -> None:
        """What LightGBM calls after each round."""
        import lightgbm

        if not self.has_time():
            raise lightgbm.callback.EarlyStopException(environment.iteration, [])


def _no_model(*_: Any) -> Any:
    """The answer of a constant is no model's; see `Output`."""
    raise AssertionError("a constant has no model")


def _fit_linear(rows: Matrix, targets: Array, question: Question) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    choices = PENALTIES if question.num_classes is None else STRENGTHS
    with limit_threads(question.num_threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = _choose_strength(rows.values, targets, choices, question)
        return _make_linear(best, question).fit(rows.values, targets)


def _make_linear(strength: float, question: Question) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge

    if question.num_classes is None:
        return Ridge(alpha=strength, solver="sparse_cg", tol=1e-3, random_state=question.seed)
    return LogisticRegression(C=strength, max_iter=200, tol=1e-3)


def _choose_strength(
    values: Any, targets: Array, choices: tuple[float, ...], question: Question
) -> float:
    """The strongest penalty with about the least loss over a few folds of some rows; a middle one where a class is too rare for folds."""
    most = min(INNER_ROWS, max(500, len(targets) * INNER_CELLS // max(1, values.nnz)))
    drawn = np.random.default_rng(question.seed).permutation(len(targets))[:most]
    folds = np.arange(len(drawn)) % INNER_FOLDS
    if question.num_classes is not None:
        drawn = drawn[np.argsort(targets[drawn], kind="stable")]  # so each fold has every class
        if np.bincount(targets[drawn], minlength=question.num_classes).min() < INNER_FOLDS:
            return choices[1]
    elif len(drawn) < 2 * INNER_FOLDS:
        return choices[1]
    losses = np.zeros(len(choices))
    for fold in range(INNER_FOLDS):
        known, asked = drawn[folds != fold], drawn[folds == fold]
        for place, strength in enumerate(choices):
            model = _make_linear(strength, question).fit(values[known], targets[known])
            losses[place] += _loss(model, values[asked], targets[asked], question)
    return choices[int(np.argmax(losses <= losses.min() * NEGLIGIBLE))]


def _loss(model: Any, values: Any, targets: Array, question: Question) -> float:
    if question.num_classes is None:
        return float(np.square(model.predict(values) - targets).mean())
    chosen = model.predict_proba(values)[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(chosen, 1e-15)).mean())


def _fit_boosting(rows: Matrix, targets: Array, question: Question) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    is_number = question.num_classes is None
    stops = len(targets) >= MANY_ROWS and (is_number or np.bincount(targets).min() >= 20)
    kind = HistGradientBoostingRegressor if is_number else HistGradientBoostingClassifier
    model = kind(
        learning_rate=LEARNING_RATE,
        max_iter=ROUNDS_OF_MANY if stops else ROUNDS,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=MIN_LEAF,
        l2_regularization=1.0,
        max_features=0.8,
        categorical_features=rows.is_category if rows.is_category.any() else None,
        early_stopping=bool(stops),
        n_iter_no_change=20,
        random_state=question.seed,
    )
    with limit_threads(question.num_threads):
        return model.fit(rows.values, targets)


def _predict_sklearn(model: Any, rows: Matrix, question: Question) -> Array:
    with limit_threads(question.num_threads):
        if question.num_classes is None:
            return np.asarray(model.predict(rows.values))
        return np.asarray(model.predict_proba(rows.values))


def _load_sklearn(path: Path, question: Question) -> Any:
    del question
    return load_sklearn(path)


def _fit_lightgbm(rows: Matrix, targets: Array, question: Question) -> Any:
    import lightgbm

    objective: dict[str, Any] = {"objective": "regression"}
    if question.num_classes is not None:
        objective = {"objective": "binary"}
        if question.num_classes > 2:
            objective = {"objective": "multiclass", "num_class": question.num_classes}
    settings = {
        "learning_rate": LEARNING_RATE,
        "num_leaves": LEAVES,
        "min_data_in_leaf": MIN_LEAF,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "feature_fraction": 0.8,
        "lambda_l2": 1.0,
        "seed": question.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": question.num_threads or 0,
        "verbosity": -1,
    }
    table = lightgbm.Dataset(
        rows.values,
        targets,
        categorical_feature=np.flatnonzero(rows.is_category).tolist(),
        params={"verbosity": -1},
    )
    rounds = ROUNDS if len(targets) < MANY_ROWS else ROUNDS_OF_MANY
    limit = _RoundLimit("LightGBM", rounds, question.max_seconds)
    booster = lightgbm.train({**settings, **objective}, table, rounds, callbacks=[limit])
    return lightgbm.Booster(model_str=booster.model_to_string())


def _predict_lightgbm(model: Any, rows: Matrix, question: Question) -> Array:
    answers = np.asarray(model.predict(rows.values, num_threads=question.num_threads or 0))
    return np.stack([1 - answers, answers], axis=1) if question.num_classes == 2 else answers


def _save_lightgbm(model: Any, path: Path) -> None:
    path.write_text(model.model_to_string(), encoding="utf-8")


def _load_lightgbm(path: Path, question: Question) -> Any:
    import lightgbm

    del question
    try:
        return lightgbm.Booster(model_str=path.read_text(encoding="utf-8"))
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise ValueError(f"LightGBM cannot read it: {error}") from error


def _fit_catboost(rows: Matrix, targets: Array, question: Question) -> Any:
    model = _make_catboost(question)
    rounds = ROUNDS if len(targets) < MANY_ROWS else ROUNDS_OF_MANY
    model.set_params(
        iterations=rounds,
        learning_rate=0.08,
        depth=6,
        random_seed=question.seed,
        thread_count=question.num_threads or -1,
        allow_writing_files=False,
        verbose=False,
    )
    limit = _RoundLimit("CatBoost", rounds, question.max_seconds)
    return model.fit(_catboost_pool(rows, targets), callbacks=[limit])


def _make_catboost(question: Question) -> Any:
    import catboost

    if question.num_classes is None:
        return catboost.CatBoostRegressor(loss_function="RMSE")
    loss = "Logloss" if question.num_classes == 2 else "MultiClass"
    return catboost.CatBoostClassifier(loss_function=loss)


def _catboost_pool(rows: Matrix, targets: Array | None = None) -> Any:
    import catboost

    numbers = rows.values[:, ~rows.is_category].astype(np.float32)
    codes = np.nan_to_num(rows.values[:, rows.is_category], nan=-1).astype(np.int64)
    words = codes.astype("S20").astype(object)
    return catboost.Pool(
        catboost.FeaturesData(
            num_feature_data=numbers if numbers.shape[1] else None,
            cat_feature_data=words if words.shape[1] else None,
        ),
        label=targets,
    )


def _predict_catboost(model: Any, rows: Matrix, question: Question) -> Array:
    kind = "RawFormulaVal" if question.num_classes is None else "Probability"
    pool = _catboost_pool(rows)
    threads = question.num_threads or -1
    return np.asarray(model.predict(pool, prediction_type=kind, thread_count=threads))


def _save_catboost(model: Any, path: Path) -> None:
    model.save_model(str(path), format="cbm")


def _load_catboost(path: Path, question: Question) -> Any:
    import catboost

    try:
        return _make_catboost(question).load_model(str(path), format="cbm")
    except catboost.CatBoostError as error:
        raise ValueError(f"CatBoost cannot read it: {error}") from error


def _sklearn(layout: str, fit: Callable[[Matrix, Array, Question], Any]) -> Estimator:
    return Estimator(
        layout, ".skops", "scikit-learn", fit, _predict_sklearn, save_sklearn, _load_sklearn
    )


_LIGHTGBM = (_fit_lightgbm, _predict_lightgbm, _save_lightgbm, _load_lightgbm)
_CATBOOST = (_fit_catboost, _predict_catboost, _save_catboost, _load_catboost)
ESTIMATORS: dict[str, Estimator] = {
    "constant": _sklearn("nothing", _no_model),
    "linear": _sklearn("sparse", _fit_linear),
    "boosting": _sklearn("dense", _fit_boosting),
    "lightgbm": Estimator("dense", ".txt", "lightgbm", *_LIGHTGBM, can_stop=True),
    "catboost": Estimator("dense", ".cbm", "catboost", *_CATBOOST, can_stop=True),
}
