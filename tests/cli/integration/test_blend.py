"""bert blend on small files, and what it says of wrong ones."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app

ROWS = 60
RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.normal(size=ROWS)
LABELS = (TRUTH + RANDOM.normal(size=ROWS) * 0.3 > 0).astype(int)
IDS = [f"p{i}" for i in range(ROWS)]


def said(noise):
    return np.round(1 / (1 + np.exp(-3 * TRUTH + RANDOM.normal(size=ROWS) * noise)), 4)


A, B = said(0.5), said(1.0)


def write(path, **columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def run(*words):
    return CliRunner().invoke(app, ["blend", *map(str, words)], env={"COLUMNS": "200"})


def run_json(*words):
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refuse(*words):
    result = run(*words)
    assert result.exit_code == 2
    return result.stderr


@pytest.fixture
def oof(tmp_path):
    return write(tmp_path / "oof.csv", id=IDS, fold=np.arange(ROWS) % 5, y=LABELS, a=A, b=B)


def test_files_in_another_order_are_joined_by_id(oof, tmp_path):
    order = RANDOM.permutation(ROWS)
    other = write(tmp_path / "mine.csv", id=np.array(IDS)[order], a=A[order])
    found = run_json(oof, other, "--target", "y", "--metric", "roc_auc")
    names = [member["name"] for member in found["members"]]
    assert names == ["oof/a", "b", "mine/a"]
    scores = {member["name"]: member["score"] for member in found["members"]}
    assert scores["oof/a"] == scores["mine/a"]
    assert found["folds"] == 5
    assert 0.8 < found["score"] <= 1


def test_submission_has_labels_for_a_metric_of_classes_and_else_probabilities(oof, tmp_path):
    test = write(tmp_path / "test.csv", id=["q1", "q2"], a=[0.9, 0.1], b=[0.8, 0.1])
    answers = {}
    for metric in ("accuracy", "roc_auc"):
        output = tmp_path / f"{metric}.csv"
        result = run(oof, "--target", "y", "--metric", metric, "--test", test, "--output", output)
        assert result.exit_code == 0, result.stderr
        assert "2 answers written to" in result.stdout
        answers[metric] = output.read_text().splitlines()
    assert answers["accuracy"] == ["id,y", "q1,1", "q2,0"]
    assert answers["roc_auc"][0] == "id,y"
    assert 0.8 < float(answers["roc_auc"][1].split(",")[1]) < 0.95


def test_classes_have_a_column_each(tmp_path):
    labels = np.array(["cat", "dog", "emu"])[np.arange(ROWS) % 3]
    right = (np.arange(ROWS) % 3)[:, None] == np.arange(3)
    said = np.where(right, 0.6, 0.2)
    columns = {f"model:{name}": said[:, i] for i, name in enumerate(("cat", "dog", "emu"))}
    plain = {name: said[:, i] for i, name in enumerate(("cat", "dog", "emu"))}
    first = write(
        tmp_path / "ours.csv", row=range(ROWS), fold=np.arange(ROWS) // 12, t=labels, **columns
    )
    second = write(tmp_path / "theirs.csv", row=range(ROWS), **plain)
    found = run_json(first, second, "--target", "t", "--method", "mean")
    assert [member["name"] for member in found["members"]] == ["model", "theirs"]
    assert found["score"] == 1
    message = refuse(
        write(tmp_path / "x.csv", row=range(ROWS), t=labels, cat=said[:, 0]), "--target", "t"
    )
    assert "no column for 2 of the 3 classes of 'x': dog, emu" in message


def test_repeats_are_averaged_and_folds_drawn(tmp_path):
    twice = write(
        tmp_path / "oof.csv",
        row=[*range(ROWS), *range(ROWS)],
        repeat=[0] * ROWS + [1] * ROWS,
        y=[*LABELS, *LABELS],
        a=[*A, *B],
    )
    found = run_json(twice, "--target", "y", "--metric", "log_loss")
    assert found["rows"] == ROWS
    assert "5 stratified folds are drawn" in " ".join(found["statements"])


def test_the_ids_of_repeated_answers_name_their_rows(tmp_path):
    twice = write(
        tmp_path / "oof.csv",
        row=[*range(ROWS), *range(ROWS)],
        id=[*IDS, *IDS],
        repeat=[0] * ROWS + [1] * ROWS,
        y=[*LABELS, *LABELS],
        a=[*A, *B],
    )
    found = run_json(twice, "--target", "y")
    assert [member["name"] for member in found["members"]] == ["a"]
    assert found["rows"] == ROWS


def test_numbers_are_blended_in_their_units(tmp_path):
    price = TRUTH * 1000 + 5000
    oof = write(
        tmp_path / "oof.csv",
        id=IDS,
        fold=np.arange(ROWS) % 4,
        price=price,
        a=price + 10,
        b=price - 10,
    )
    found = run_json(oof, "--target", "price", "--method", "mean")
    assert found["metric"] == "rmse"
    assert found["score"] == pytest.approx(0, abs=1e-6)


@pytest.mark.medium
def test_scores_without_a_scale_are_blended_by_rank(oof, tmp_path):
    other = write(tmp_path / "svm.csv", id=IDS, svm=np.round(TRUTH * 7, 4))
    message = refuse(oof, other, "--target", "y")
    assert "which are no probabilities" in message
    assert "--method rank_mean" in message
    found = run_json(oof, other, "--target", "y", "--method", "rank_mean", "--metric", "roc_auc")
    assert found["score"] > 0.9


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [*A[:-1], "x"]}, "no finite number in 1 rows ('x' at p59)"),
        ({"a": [*A[:-1], "nan"]}, "no finite number in 1 rows"),
        ({"y": [1] * ROWS}, "single class"),
        ({"fold": [0] * ROWS}, "all rows of"),
        ({"fold": ["k"] * ROWS}, "no whole number"),
        ({"id": [*IDS[:-1], "p0"]}, "1 ids on several rows: p0"),
    ],
)
def test_wrong_cells_are_named(tmp_path, columns, message):
    whole = {"id": IDS, "fold": np.arange(ROWS) % 5, "y": LABELS, "a": A, "b": B, **columns}
    assert message in refuse(write(tmp_path / "oof.csv", **whole), "--target", "y")


def test_files_of_other_rows_are_refused(oof, tmp_path):
    shorter = write(tmp_path / "short.csv", id=IDS[:-2], c=A[:-2])
    assert "lacks 2 rows that others have: p58, p59" in refuse(oof, shorter, "--target", "y")
    changed = write(tmp_path / "changed.csv", id=IDS, y=1 - LABELS, c=A)
    assert "different values of 'y' in 60 rows" in refuse(oof, changed, "--target", "y")
    nameless = write(tmp_path / "nameless.csv", c=A)
    assert "share no column that names their rows" in refuse(oof, nameless, "--target", "y")


def test_wrong_words_are_answered(oof, tmp_path):
    assert "did you mean 'y'" in refuse(oof, "--target", "Y")
    assert "Give --target" in refuse(oof)
    assert "did you mean 'roc_auc'" in refuse(oof, "--target", "y", "--metric", "rocauc")
    assert "needs --test" in refuse(oof, "--target", "y", "--output", tmp_path / "s.csv")
    test = write(tmp_path / "test.csv", id=["q"], a=[0.5], b=[0.5])
    before = test.read_text()
    message = refuse(oof, "--target", "y", "--test", test, "--output", test)
    assert "would overwrite the table that is read" in message
    assert test.read_text() == before
    lacking = write(tmp_path / "lacking.csv", id=["q"], z=[0.5])
    message = refuse(oof, "--target", "y", "--test", lacking, "--output", tmp_path / "s.csv")
    assert "the blend needs answers of" in message
    assert not (tmp_path / "s.csv").exists()
