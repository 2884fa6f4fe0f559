"""The first run: a real table without a download, our score beside honest baselines, a submission."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from bert_playground import kernels
from bert_playground.config import load_config
from bert_playground.data.kaggle.submission import write_submission
from bert_playground.data.reading.table import read_table
from bert_playground.files import write_text
from bert_playground.inference import Predictor
from bert_playground.training.run import run_training

ID, TARGET = "sample", "diagnosis"
CLASSES = np.array(["malignant", "benign"])  # as scikit-learn numbers them
STORY = (
    "569 breast tumours from Wisconsin, measured under the microscope (comes with scikit-learn). "
    "Benign or malignant?"
)


@dataclass(frozen=True)
class Score:
    """How one model did on the test rows."""

    name: str
    accuracy: float
    roc_auc: float


@dataclass(frozen=True)
class QuickstartResult:
    """What the first run shows: scores on the test rows, ours first, and where the files are."""

    scores: list[Score]
    num_test_rows: int
    seconds: float
    files: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def run_quickstart(output_dir: Path, seed: int = 0) -> QuickstartResult:
    """Write the tables, train, predict the test rows, and score everybody on the same answers.

    Args:
        output_dir: gets quickstart/ with the tables and the submission, and the run.
        seed: of the split, the weights and the order.
    """
    folder = output_dir / "quickstart"
    answers = write_tables(folder, seed)
    started = time.perf_counter()
    flags = {
        "data.train": folder / "train.csv",
        "data.target": TARGET,
        "data.id_column": ID,
        "training.output_dir": output_dir,
        "training.seed": seed,
        **_size_for_this_machine(),
    }
    run = run_training(*load_config(None, {}, flags))
    seconds = time.perf_counter() - started
    assert run.best_checkpoint is not None
    test = read_table(folder / "test.csv")
    predictor = Predictor.load(run.best_checkpoint)
    scores = predictor.predict(test)
    labels = predictor.pipeline.decode(scores)
    write_submission(
        folder / "submission.csv",
        test[ID],
        labels,
        id_column=ID,
        target=TARGET,
        sample=folder / "sample_submission.csv",
    )
    ours = _judge("this BERT, from random weights", answers, labels.to_numpy(), scores)
    return QuickstartResult(
        scores=[ours, *score_baselines(read_table(folder / "train.csv"), test, answers, seed)],
        num_test_rows=test.height,
        seconds=seconds,
        files={
            "train": str(folder / "train.csv"),
            "test": str(folder / "test.csv"),
            "submission": str(folder / "submission.csv"),
            "picture": str(run.run_dir.curves),
            "checkpoint": str(run.best_checkpoint),
        },
    )


def write_tables(folder: Path, seed: int) -> np.ndarray:
    """Write train.csv, test.csv without the target and sample_submission.csv; give back the test rows' answers."""
    cancer = load_breast_cancer()
    names = [name.replace(" ", "_") for name in cancer.feature_names]
    frame = pl.DataFrame(cancer.data, schema=names).select(
        pl.int_range(1, pl.len() + 1).alias(ID), pl.all(), pl.Series(TARGET, CLASSES[cancer.target])
    )
    train_rows, test_rows = train_test_split(
        np.arange(frame.height), test_size=0.3, random_state=seed, stratify=cancer.target
    )
    train, test = frame[np.sort(train_rows)], frame[np.sort(test_rows)]
    sample = test.select(ID, pl.lit("benign").alias(TARGET))
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (
        ("train", train),
        ("test", test.drop(TARGET)),
        ("sample_submission", sample),
    ):
        write_text(folder / f"{name}.csv", table.write_csv())
    return test[TARGET].to_numpy()


def score_baselines(
    train: pl.DataFrame, test: pl.DataFrame, answers: np.ndarray, seed: int
) -> list[Score]:
    """The same question to scikit-learn: fitted on all rows of train.csv, judged on the same test rows."""
    columns = [name for name in test.columns if name != ID]
    train_features, test_features = (
        frame.select(pl.col(columns).cast(pl.Float64)).to_numpy() for frame in (train, test)
    )
    models = {
        "majority class": DummyClassifier(),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "gradient boosting": HistGradientBoostingClassifier(random_state=seed),
    }
    scores = []
    with threadpool_limits(1):  # on a few hundred rows, many threads mostly wait for each other
        for name, model in models.items():
            model.fit(train_features, train[TARGET].to_numpy())
            malignant = model.predict_proba(test_features)[:, 1]
            scores.append(_judge(name, answers, model.predict(test_features), malignant))
    return scores


def _judge(name: str, answers: np.ndarray, labels: np.ndarray, malignant: np.ndarray) -> Score:
    return Score(
        name,
        float(accuracy_score(answers, labels)),
        float(roc_auc_score(answers == "malignant", malignant)),
    )


def _size_for_this_machine() -> dict[str, object]:
    """What trains within a minute on two cores: many passes at a low rate, or a few where MLX has one core only."""
    # A few hundred rows are learned by heart in two epochs at the usual rate.
    if "no native kernels" not in kernels.describe():
        return {"training.epochs": 20, "optimizer.learning_rate": 3e-5}
    return {
        "model.hidden_size": 64,
        "model.num_layers": 2,
        "model.num_heads": 2,
        "training.epochs": 6,
    }
