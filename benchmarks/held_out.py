"""How good a model from random weights is on rows put aside, beside gradient boosting on the same rows.

    uv run python benchmarks/held_out.py --train titanic/train.csv adult/train.csv [--seeds 3] [--aside 0.2] [--model FOLDER]

Per seed, a share of the rows is put aside before anything is fitted; `bert train` with its defaults learns from the rest and
its best checkpoint answers the rows put aside, once. The other side is scikit-learn's histogram gradient boosting with its
defaults: numbers as numbers, categories as categories, free text as the first 50 singular directions of its tf-idf; once on
the rows that our weights were fitted on, and once on those as well that `bert train` only chose the best epoch by. All answer
in the same form and are judged by the same report.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from rows_aside import Scores, judge, print_means, train, write_table
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer

from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import prepare
from bert_playground.data.reading.table import read_table
from bert_playground.data.templates.features import Feature
from bert_playground.inference import Predictor
from bert_playground.logs import set_up_logs
from bert_playground.tasks import TASKS

Array = np.ndarray
SAME_ROWS, ALL_ROWS = "boosting", "boosting, validation rows too"
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


def boost(pipeline: TextPipeline, rest: pl.DataFrame, aside: pl.DataFrame, seed: int) -> Array:
    """The answers of gradient boosting in the form of `head.predict`."""
    columns = [describe_cells(feature, rest, aside) for feature in pipeline.features]
    known, unseen = (
        np.concatenate([column[side] for column in columns], axis=1) for side in (0, 1)
    )
    is_category = np.concatenate([np.full(c[0].shape[1], c[2]) for c in columns])
    labels = pipeline.encode_labels(rest)

    def answer(labels: Array) -> Array:
        if not TASKS[pipeline.task].is_classification:
            model = HistGradientBoostingRegressor(
                categorical_features=is_category, random_state=seed
            )
            return np.asarray(model.fit(known, labels).predict(unseen))
        model = HistGradientBoostingClassifier(categorical_features=is_category, random_state=seed)
        return np.asarray(model.fit(known, labels).predict_proba(unseen))

    if labels.ndim == 2:
        answers = [answer(column) for column in labels.T]
        return np.stack([a[:, 1] if a.ndim == 2 else a for a in answers], axis=1)
    scores = answer(labels)
    return scores[:, 1] if pipeline.task == "binary" else scores


def measure(path: Path, seed: int, asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The metrics of both sides on the rows put aside."""
    frame = read_table(path)
    drawn = np.random.default_rng(seed).permutation(frame.height)
    is_aside = np.zeros(frame.height, bool)
    is_aside[drawn[: round(asked.aside * frame.height)]] = True
    rest, aside = frame.filter(~is_aside), frame.filter(is_aside)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        table = write_table(Path(folder), rest, path)
        start = {"model.pretrained": asked.model} if asked.model else {}
        checkpoint = train(table, asked.output, seed, start)
        learned_from = prepare(RunConfig(data=DataSection(train=table, split_seed=seed))).train
    seconds = time.perf_counter() - started
    predictor = Predictor.load(checkpoint)
    pipeline = predictor.pipeline
    return {
        "ours": {**judge(pipeline, aside, predictor.predict(aside)), "seconds": seconds},
        SAME_ROWS: judge(pipeline, aside, boost(pipeline, learned_from, aside, seed)),
        ALL_ROWS: judge(pipeline, aside, boost(pipeline, rest, aside, seed)),
    }


def main() -> None:
    """Measure, and print one line per run and the means of each table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--aside", type=float, default=0.2, help="share of rows put aside")
    parser.add_argument("--model", help="a checkpoint to start from; default: random weights")
    parser.add_argument("--output", type=Path, default=Path("output/held_out"))
    asked = parser.parse_args()
    set_up_logs("WARNING")
    for path in asked.train:
        found: dict[str, list[Scores]] = {SAME_ROWS: [], ALL_ROWS: [], "ours": []}
        for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
            sides = measure(path, seed, asked)
            for name, scores in sides.items():
                found[name].append(scores)
            print(json.dumps({"table": str(path), "seed": seed, **sides}), flush=True)
        print(path)
        print_means(found)


if __name__ == "__main__":
    main()
