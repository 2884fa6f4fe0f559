"""Losses of rows, shuffled columns, and the letters that tokens came from."""

import numpy as np
import polars as pl
import pytest

from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.schema import Schema
from bert_playground.data.templates.options import TextOptions
from bert_playground.training.report.answers import Answers, row_losses
from bert_playground.training.report.class_charts import count_pairs, show_classes
from bert_playground.training.report.shuffled import plan_shuffles, shuffle_columns
from bert_playground.training.report.spans import locate_tokens, read_pieces


def test_losses_of_rows_are_their_closed_forms():
    binary = row_losses("binary", np.array([1, 0]), np.array([0.8, 0.4]))
    np.testing.assert_allclose(binary, -np.log([0.8, 0.6]))
    table = np.array([[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]])
    np.testing.assert_allclose(
        row_losses("multiclass", np.array([1, 2]), table), -np.log([0.7, 0.2])
    )
    labels = row_losses("multilabel", np.array([[1, 0]]), np.array([[0.9, 0.2]]))
    np.testing.assert_allclose(labels, [-np.log([0.9, 0.8]).mean()])
    numbers = row_losses("regression", np.array([1.0]), np.array([[3.0, 0.5]]))
    np.testing.assert_allclose(numbers, [4.0])
    assert np.isfinite(row_losses("binary", np.array([1]), np.array([0.0]))).all()


def test_only_the_column_that_is_read_matters():
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"read": random.integers(0, 2, 200), "noise": random.integers(0, 9, 200)})
    truth = frame["read"].to_numpy()

    def answer(rows: pl.DataFrame) -> np.ndarray:
        return np.where(rows["read"].to_numpy() == 1, 0.9, 0.1)

    found = shuffle_columns(
        answer, lambda scores: row_losses("binary", truth, scores), frame, ["noise", "read"]
    )
    assert [effect.column for effect in found] == ["read", "noise"]
    assert found[1].growth == found[1].error == 0
    # Half of the shuffled cells are wrong, and each of them costs log 9.
    assert found[0].growth == pytest.approx(np.log(9) / 2, abs=4 * found[0].error)


@pytest.mark.parametrize(
    ("rows", "columns", "trained", "plan"),
    [(176, 10, 4290, (136, 10)), (1523, 3, 12180, (456, 3)), (292, 79, 4672, (50, 29)), (10**5, 8, 10**7, (1000, 8)), (20, 4, 80, (20, 4))],
)  # fmt: skip
def test_shuffling_costs_a_small_part_of_the_training(rows, columns, trained, plan):
    assert plan_shuffles(rows, columns, trained) == plan


def make_answers(scores: np.ndarray, labels: np.ndarray, **more) -> Answers:
    names = tuple(f"c{i}" for i in range(scores.shape[1]))
    return Answers("multiclass", "kind", names, labels, scores, **more)


def test_rare_classes_are_one_in_the_matrix():
    labels = np.repeat(np.arange(15), np.arange(15, 0, -1))
    scores = np.eye(15)[labels]
    names, counts = count_pairs(make_answers(scores, labels))
    assert names == (*(f"c{i}" for i in range(10)), "others")
    assert counts.trace() == counts.sum() == len(labels)
    assert counts[-1, -1] == sum(range(1, 6))


@pytest.mark.medium
def test_of_very_many_classes_the_most_frequent_are_listed():
    labels = np.concatenate([np.arange(3000), np.arange(150)])
    (*_, table) = show_classes(make_answers(np.eye(3000)[labels], labels))
    assert len(table.rows) == 200
    assert table.caption == "Each class, the 200 most frequent of 3000"
    assert [row[1] for row in table.rows[:150]] == [2] * 150


def test_answers_are_told_in_words():
    answers = make_answers(np.array([[0.2, 0.5, 0.3]]), np.array([2]))
    assert answers.say_answer(0) == "c1 (50.0%); c2 had 30.0%"
    assert answers.say_truth(0) == "c2"


@pytest.mark.parametrize(
    "options",
    [
        TextOptions(text_columns=("note",)),
        TextOptions(text_columns=("note",), template="sentence"),
        TextOptions(text_columns=("note",), template="separated"),
        TextOptions(text_columns=("note",), max_length=12),
        TextOptions(text_pair=("note", "title"), max_length=14),
        TextOptions(text_pair=("note", "title")),
    ],
)
def test_every_token_is_found_in_its_column(options):
    random = np.random.default_rng(1)
    words = ["amber", "birch", "cedar", "dune", "elm", "fern", "gorse", "hazel", "iris"]
    frame = pl.DataFrame(
        {
            "colour": random.choice(["red", "green"], 40),
            "age": random.integers(1, 90, 40).astype(str),
            "note": [" ".join(random.choice(words, 9)) + "!" for _ in range(40)],
            "title": [" ".join(random.choice(words, 3)) for _ in range(40)],
            "label": [str(i % 2) for i in range(40)],
        }
    )
    pipeline = TextPipeline.fit(
        frame, Schema("label", ("label",), "binary"), options, vocab_size=200
    )
    rows = read_pieces(pipeline, frame)
    table = pipeline.encode(frame)
    located = locate_tokens(pipeline, rows, table)
    special = {*pipeline.tokenizer.prefix, *pipeline.tokenizer.suffix}
    for pieces, ids, spans in zip(rows, table.rows(), located, strict=True):
        assert spans is not None
        assert len(spans) == len(ids)
        for number, (piece, start, end) in zip(ids.tolist(), spans, strict=True):
            assert (piece == -1) == (number in special)
            if piece >= 0:
                entry = pipeline.tokenizer.spell([number])[0].removeprefix("##")
                assert (
                    pieces[piece][start:end].strip().lower() in (entry.lower(), "")
                    or entry == "[UNK]"
                )
