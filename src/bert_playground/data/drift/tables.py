"""compare_tables: what differs between a training table and another, and whether a model can tell their rows apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from bert_playground.data.columns.kinds import clean
from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.drift.finding import Finding
from bert_playground.data.drift.profile import ColumnProfile, fit_profiles
from bert_playground.data.reading.table import require_columns
from bert_playground.data.schema import Schema
from bert_playground.data.schema.column_probe import FOLDS, MIN_ROWS
from bert_playground.data.templates.fit_features import fit_features
from bert_playground.data.templates.options import TextOptions

MAX_ROWS = 5_000  # of each table, that the models are trained on
NUM_TREES = 100
LARGEST = 1e30  # trees compute in f32
UNSEEN, MISSING = -1, -2 * LARGEST


@dataclass(frozen=True)
class Comparison:
    """How a table differs from that of training.

    Attributes:
        num_rows: of both tables.
        findings: what `bert predict` would say.
        roc_auc: adversarial validation: how well a random forest tells from the features of a row which table it is of;
            0.5: not at all. None: too few rows.
        columns: the same of each column alone, the most telling first.
    """

    num_rows: tuple[int, int]
    findings: tuple[Finding, ...]
    roc_auc: float | None
    columns: tuple[tuple[str, float], ...]


def compare_tables(
    train: pl.DataFrame,
    other: pl.DataFrame,
    schema: Schema,
    options: TextOptions,
    *,
    strict: bool = False,
    where: str = "the table",
    seed: int = 0,
) -> Comparison:
    """Compare a table with that of training, column by column and as a whole.

    Args:
        train: the training rows, all cells as text.
        other: the rows of the other table, with the columns of the training table but the target.
        schema: what the training table is.
        options: how its rows shall become text.
        strict: whether differences are an error.
        where: what the other table is called.
        seed: which rows are drawn of large tables, and the folds.

    Raises:
        ValueError: columns are missing, or no column is left; or the tables differ, and `strict`.

    Reference: adversarial validation, as in Pan et al. 2020, arXiv 2004.03045.
    """
    features, _ = fit_features(
        train,
        skip=(*schema.left_out, *options.drop_columns),
        text_columns=options.text_columns,
        id_column=schema.id_column,
        given_kinds=options.kinds,
    )
    names = list(dict.fromkeys(feature.column for feature in features))
    require_columns(other, names, where)
    profiles = fit_profiles(train, names, features)
    drift = TableDrift(profiles)
    other = drift.read(other)
    findings = drift.conclude(where, strict=strict)
    drawn = [_draw(frame.select(names), seed) for frame in (train, other)]
    truth = np.repeat([0, 1], [frame.height for frame in drawn])
    if min(frame.height for frame in drawn) < MIN_ROWS:
        return Comparison((train.height, other.height), tuple(findings), None, ())
    rows = pl.concat(drawn)
    matrix = np.stack([_as_numbers(each, rows[each.column]) for each in profiles], axis=1)
    leaf = max(3, len(truth) // 200)
    tree = DecisionTreeClassifier(max_depth=8, min_samples_leaf=leaf, random_state=seed)
    alone = {
        each.column: _score(tree, matrix[:, [place]], truth, seed)
        for place, each in enumerate(profiles)
    }
    columns = sorted(alone.items(), key=lambda pair: -pair[1])
    forest = RandomForestClassifier(NUM_TREES, min_samples_leaf=5, random_state=seed)
    roc_auc = _score(forest, matrix, truth, seed)
    return Comparison((train.height, other.height), tuple(findings), roc_auc, tuple(columns))


def _draw(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    return frame if frame.height <= MAX_ROWS else frame.sample(MAX_ROWS, seed=seed)


def _score(model: Any, matrix: np.ndarray, truth: np.ndarray, seed: int) -> float:
    """The ROC-AUC on rows of folds that the model did not see; not below 0.5, which rows that both tables have lead to."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    answers = cross_val_predict(model, matrix, truth, cv=folds, method="predict_proba")[:, 1]
    return max(0.5, float(roc_auc_score(truth, answers)))


def _as_numbers(profile: ColumnProfile, column: pl.Series) -> np.ndarray:
    """[R]: numbers and days, the length of texts, the rank of a category by its frequency in training."""
    cells = clean(column)
    if profile.edges:
        numbers = profile.measure(cells).clip(-LARGEST, LARGEST)
    else:
        named = profile.name_values(cells)
        named = named.list.len() if profile.form == "list" else named
        ranks = {value: rank for rank, value in enumerate(profile.values)}
        is_ranked = profile.form != "list"
        numbers = named.replace_strict(ranks, default=UNSEEN) if is_ranked else named
        numbers = numbers.cast(pl.Float64).set(cells.is_null(), None)
    return numbers.fill_null(MISSING).to_numpy().astype(np.float64)
