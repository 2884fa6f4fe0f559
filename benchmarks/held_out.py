"""How good a model from random weights is on rows put aside, beside gradient boosting on the same rows.

    uv run python benchmarks/held_out.py --train titanic/train.csv adult/train.csv [--seeds 5] [--aside 0.2] [--model FOLDER]

Per seed, a share of the rows is put aside before anything is fitted (`--group Ticket`: whole groups of them); `bert train`
with its defaults learns from the rest, and its best checkpoint answers the rows put aside, once. The other sides learn from
all of the rest, so also from what `bert train` only chose the best epoch by: scikit-learn's histogram gradient boosting with
its defaults, and, where it is installed (`uv pip install lightgbm`), LightGBM with one modest setting that was fixed
beforehand. They see what our model sees: numbers as numbers, categories as categories (for LightGBM as
codes by frequency), free text as the first 50 singular
directions of its tf-idf. All answer in the same form and are judged by the same report.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rows_aside import judge, make_parser, measure_tables, print_means, train, write_table
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer

from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.reading.table import as_text, read_table
from bert_playground.data.templates.derive import derive_columns
from bert_playground.data.templates.features import Feature
from bert_playground.inference import Predictor
from bert_playground.logs import set_up_logs
from bert_playground.tasks import TASKS

Array = np.ndarray
HISTOGRAMS, LIGHTGBM = "histogram boosting", "LightGBM"
# One setting for all tables, fixed before any was looked at.
TUNED = {"n_estimators": 400, "learning_rate": 0.04, "num_leaves": 15, "min_child_samples": 20}
TUNED |= {"subsample": 0.8, "subsample_freq": 1, "colsample_bytree": 0.8, "reg_lambda": 1.0}
MAX_CATEGORIES = 255  # what scikit-learn's histograms hold


def describe_cells(
    feature: Feature, rest: pl.DataFrame, aside: pl.DataFrame
) -> tuple[Array, Array, bool]:
    """What boosting sees of one feature on both sides, [R, C] each, and whether it is a category."""
    numbers = "exact" if feature.form == "number" else "bins"
    sides = [frame.select(feature.cell(numbers=numbers)).to_series() for frame in (rest, aside)]
    if feature.form == "number":
        values = [side.cast(pl.Float64, strict=False).to_numpy() for side in sides]
        return values[0][:, None], values[1][:, None], False
    if feature.is_text:
        tfidf = TfidfVectorizer(min_df=2, sublinear_tf=True)
        known = tfidf.fit_transform(sides[0].to_list())
        directions = TruncatedSVD(min(50, known.shape[1] - 1), random_state=0).fit(known)
        unseen = tfidf.transform(sides[1].to_list())
        return directions.transform(known), directions.transform(unseen), False
    counts = sides[0].value_counts(sort=True).to_series()[:MAX_CATEGORIES]
    codes = [
        side.replace_strict(counts, np.arange(len(counts)), default=None, return_dtype=pl.Float64)
        for side in sides
    ]
    return codes[0].to_numpy()[:, None], codes[1].to_numpy()[:, None], True


def boost(
    pipeline: TextPipeline,
    rest: pl.DataFrame,
    aside: pl.DataFrame,
    make: Callable[[bool, Array], Any],
) -> Array:
    """The answers of gradient boosting in the form of `head.predict`.

    Args:
        pipeline: tells the columns, derived ones among them.
        rest: rows to learn from.
        aside: rows to answer.
        make: whether classes are asked for, which columns are categories → an estimator.
    """
    labels = pipeline.encode_labels(rest)
    rest, aside = (
        derive_columns(as_text(frame.select(pipeline.columns)), pipeline.form, pipeline.derived)
        for frame in (rest, aside)
    )
    columns = [describe_cells(feature, rest, aside) for feature in pipeline.features]
    known, unseen = (
        np.concatenate([column[side] for column in columns], axis=1) for side in (0, 1)
    )
    is_category = np.concatenate([np.full(c[0].shape[1], c[2]) for c in columns])
    is_classification = TASKS[pipeline.task].is_classification

    def answer(labels: Array) -> Array:
        model = make(is_classification, is_category).fit(known, labels)
        return np.asarray(
            model.predict_proba(unseen) if is_classification else model.predict(unseen)
        )

    if labels.ndim == 2:
        answers = [answer(column) for column in labels.T]
        return np.stack([a[:, 1] if a.ndim == 2 else a for a in answers], axis=1)
    scores = answer(labels)
    return scores[:, 1] if pipeline.task == "binary" else scores


def find_estimators(seed: int) -> dict[str, Callable[[bool, Array], Any]]:
    """Name → what makes the estimator."""

    def histograms(is_classification: bool, is_category: Array) -> Any:
        kind = (
            HistGradientBoostingClassifier if is_classification else HistGradientBoostingRegressor
        )
        return kind(categorical_features=is_category, random_state=seed)

    found = {HISTOGRAMS: histograms}
    if find_spec("lightgbm") is not None:
        import lightgbm

        def tuned(is_classification: bool, is_category: Array) -> Any:
            kind = lightgbm.LGBMClassifier if is_classification else lightgbm.LGBMRegressor
            return kind(**TUNED, random_state=seed, verbose=-1, n_jobs=2)

        found[LIGHTGBM] = tuned
    return found


def put_aside(frame: pl.DataFrame, share: float, seed: int, group: str | None) -> Array:
    """A mask of the rows that are put aside; of a group all or none."""
    names = np.arange(frame.height) if group is None else frame[group].fill_null("").to_numpy()
    values = np.unique(names)
    drawn = np.random.default_rng(seed).permutation(len(values))
    return np.isin(names, values[drawn[: round(share * len(values))]])


def measure(path: Path, seed: int, asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The metrics of both sides on the rows put aside."""
    frame = read_table(path)
    is_aside = put_aside(frame, asked.aside, seed, asked.group)
    rest, aside = frame.filter(~is_aside), frame.filter(is_aside)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        table = write_table(Path(folder), rest, path)
        start = {"model.pretrained": asked.model} if asked.model else {}
        checkpoint = train(table, asked.output, seed, start)
    seconds = time.perf_counter() - started
    predictor = Predictor.load(checkpoint)
    pipeline = predictor.pipeline
    found = {"ours": {**judge(pipeline, aside, predictor.predict(aside)), "seconds": seconds}}
    for name, make in find_estimators(seed).items():
        found[name] = judge(pipeline, aside, boost(pipeline, rest, aside, make))
    return found


def main() -> None:
    """Measure, and print one line per run and the means of each table."""
    parser = make_parser(__doc__, "output/held_out")
    parser.add_argument("--model", help="a checkpoint to start from; default: random weights")
    asked = parser.parse_args()
    set_up_logs("WARNING")
    measure_tables(asked, measure, print_means)


if __name__ == "__main__":
    main()
