"""predict_table: ids and answers of a file, whole or in parts, as a sample submission wants them."""

from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bert_playground.config.schema import DataSection
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.reading import chunks, table_stream
from bert_playground.data.schema.decide import decide
from bert_playground.inference import Predictor
from bert_playground.logger import logger
from bert_playground.models.factory import create_model
from bert_playground.predict_table import predict_table

COLORS = pl.DataFrame(
    {
        "id": [str(number) for number in range(100, 140)],
        "color": ["red", "blue", "green", "red"] * 10,
        "size": [str(number % 7 + 0.5) for number in range(40)],
        "bought": ["yes", "no", "no", "yes"] * 10,
    }
)


def make_predictor(frame: pl.DataFrame, target: str, head: str) -> Predictor:
    """A predictor with random weights: how good its answers are is no question here."""
    section = DataSection(target=target, id_column="id" if "id" in frame.columns else None)
    pipeline = TextPipeline.fit(frame, decide(frame, section), vocab_size=200)
    mx.random.seed(0)
    model = create_model(
        "bert",
        head,
        vocab_size=pipeline.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        initializer_range=0.5,
        numeric_tokens=pipeline.number_tokens,
    ).eval()
    return Predictor(model, pipeline, Path("checkpoint"), batch_size=16)


def write_test(folder: Path) -> Path:
    path = folder / "test.csv"
    COLORS.drop("bought").write_csv(path)
    return path


def predict_whole(predictor: Predictor, path: Path, **options: object) -> pl.DataFrame:
    return pl.concat(predict_table(predictor, path, **options))


def read_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_stream, "LARGE_ROWS", 10)
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 16)


@pytest.fixture(scope="module")
def classifier() -> Predictor:
    return make_predictor(COLORS, "bought", "binary")


def test_labels_and_probabilities_stand_beside_the_ids(
    classifier: Predictor, tmp_path: Path
) -> None:
    path = write_test(tmp_path)
    answers = predict_whole(classifier, path)
    assert answers.columns == ["id", "bought"]
    assert answers["id"].to_list() == COLORS["id"].to_list()
    table = predict_whole(classifier, path, probabilities=True)
    assert table.columns == ["id", "bought_no", "bought_yes"]
    is_yes = table["bought_yes"] > 0.5
    assert (answers["bought"] == "yes").to_list() == is_yes.to_list()


def test_a_sample_with_the_target_gets_the_probability_of_class_1(
    classifier: Predictor, tmp_path: Path
) -> None:
    path = write_test(tmp_path)
    table = predict_whole(classifier, path, probabilities=True)
    sample = predict_whole(classifier, path, probabilities=True, sample_columns=["id", "bought"])
    assert_frame_equal(sample, table.select("id", bought="bought_yes"))


def test_a_large_table_is_answered_in_parts_with_the_same_answers(
    classifier: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_test(tmp_path)
    whole = predict_whole(classifier, path, probabilities=True)
    read_in_chunks(monkeypatch)
    parts = list(predict_table(classifier, path, probabilities=True))
    assert [part.height for part in parts] == [16, 16, 8]
    assert_frame_equal(pl.concat(parts), whole, abs_tol=1e-6)


def test_a_table_of_some_chunks_is_answered_chunk_by_chunk_with_the_same_bits(
    classifier: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_test(tmp_path)
    for module in ("inference", "data.reading.table_stream"):
        monkeypatch.setattr(f"bert_playground.{module}.CHUNK_ROWS", 16)
    whole = list(predict_table(classifier, path, probabilities=True))
    monkeypatch.setattr(table_stream, "PART_BYTES", 1)
    parts = list(predict_table(classifier, path, probabilities=True))
    assert [part.height for part in whole + parts] == [40, 16, 16, 8]
    assert pl.concat(parts).equals(pl.concat(whole))


def test_many_rows_at_once_are_tokenised_in_parts_with_the_same_answers(
    classifier: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, sizes = classifier.score(COLORS), []
    make_loader = TextPipeline.make_loader

    def watch(pipeline: TextPipeline, frame: pl.DataFrame, **options: object):
        sizes.append(frame.height)
        return make_loader(pipeline, frame, **options)

    monkeypatch.setattr(TextPipeline, "make_loader", watch)
    monkeypatch.setattr("bert_playground.inference.CHUNK_ROWS", 16)
    parts = classifier.score(COLORS)
    assert sizes == [16, 16, 8]
    assert parts.scores == pytest.approx(whole.scores, abs=1e-6)
    assert parts.labels.tolist() == whole.labels.tolist()
    assert parts.loss == pytest.approx(whole.loss, abs=1e-6)


def test_other_spellings_get_the_same_answers_and_strange_values_are_counted(
    classifier: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_test(tmp_path)
    whole = predict_whole(classifier, path, probabilities=True)
    read_in_chunks(monkeypatch)
    table = COLORS.drop("bought")
    later = table.with_columns(
        pl.col("color").str.to_uppercase(), pl.col("size").str.replace(".", ",", literal=True)
    )
    later.write_csv(path)
    drift = classifier.pipeline.watch_drift()
    found = predict_whole(classifier, path, probabilities=True, drift=drift, strict=True)
    assert_frame_equal(found, whole, abs_tol=1e-6)
    assert {finding.what for finding in drift.findings()} == {"respelled"}
    assert {finding.rows for finding in drift.findings()} == {40}
    later.with_columns(color=pl.lit("mauve")).write_csv(path)
    with pytest.raises(
        ValueError, match="color: 100 % of the rows hold values that no training row has"
    ):
        predict_whole(classifier, path, strict=True)


def test_a_pipeline_of_before_profiles_answers_and_says_nothing(
    classifier: Predictor, tmp_path: Path
) -> None:
    path = write_test(tmp_path)
    old = replace(classifier, pipeline=replace(classifier.pipeline, profiles=()))
    drift = old.pipeline.watch_drift()
    found = predict_whole(old, path, drift=drift, strict=True)
    assert_frame_equal(found, predict_whole(classifier, path))
    assert drift.findings() == []


@pytest.mark.parametrize(("yes", "no"), [("YES", " no"), ("True", "False"), ("1", "0"), ("y", "n")])
def test_labels_of_another_spelling_are_the_same_labels(
    classifier: Predictor, yes: str, no: str
) -> None:
    later = COLORS.with_columns(bought=pl.col("bought").replace({"yes": yes, "no": no}))
    expected = classifier.score(COLORS).labels
    assert classifier.score(later).labels.tolist() == expected.tolist()
    with pytest.raises(ValueError, match=r"no training row has: yess .*did you mean 'yes'"):
        classifier.score(later.with_columns(bought=pl.lit("yess")))


def test_rows_without_an_id_are_numbered_through_all_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_in_chunks(monkeypatch)
    predictor = make_predictor(COLORS.drop("id"), "bought", "binary")
    parts = list(predict_table(predictor, write_test(tmp_path)))
    assert len(parts) == 3
    assert pl.concat(parts)["id"].to_list() == list(range(40))


def test_a_number_has_no_probabilities(tmp_path: Path) -> None:
    predictor = make_predictor(COLORS, "size", "regression")
    with pytest.raises(ValueError, match="size is a number and has no probabilities"):
        predict_whole(predictor, write_test(tmp_path), probabilities=True)


@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_table_without_the_id_is_answered_by_row_number_and_it_is_said_once(
    in_chunks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = make_predictor(COLORS, "bought", "binary")
    expected = predict_whole(predictor, write_test(tmp_path))
    path = tmp_path / "nameless.csv"
    COLORS.drop("bought", "id").write_csv(path)
    said: list[str] = []
    sink = logger.add(said.append, level="WARNING", format="{message}")
    if in_chunks:
        read_in_chunks(monkeypatch)
    answers = predict_whole(predictor, path)
    logger.remove(sink)
    assert answers["id"].to_list() == list(range(40))
    assert answers["bought"].equals(expected["bought"])
    (warning,) = said
    assert "lacks the id column 'id' of the training table" in warning
