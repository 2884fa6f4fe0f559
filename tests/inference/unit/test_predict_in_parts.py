"""predict_in_parts: the parts together are the file of one process, to the byte; what is complete is not answered again."""

import gzip
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from bert_playground.data.kaggle.submission import write_parts
from bert_playground.data.reading.table import read_table
from bert_playground.engines.engine import EngineRequest
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.models.checkpoint import save_model
from bert_playground.predict_in_parts import (
    UNPACKED,
    PartsRequest,
    PartsResult,
    merge_parts,
    predict_in_parts,
)
from bert_playground.predict_table import predict_table
from tests.engines.pickled import PickledEngine, use_as_ray

from .test_predict_table import COLORS, make_predictor

RAY = EngineRequest("ray")
ROWS = 7  # of a part


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    predictor = make_predictor(COLORS, "bought", "binary")
    save_model(predictor.model, folder)
    predictor.pipeline.save(folder)
    return folder


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> PickledEngine:
    return use_as_ray(monkeypatch)


@pytest.fixture
def asked(checkpoint: Path, tmp_path: Path) -> PartsRequest:
    table = COLORS.drop("bought").with_columns(
        color=pl.when(pl.int_range(pl.len()) % 2 == 0).then(None).otherwise("color")
    )
    table.write_csv(tmp_path / "test.csv")
    load = partial(load_predictor, checkpoint, batch_size=16)
    return PartsRequest(
        tmp_path / "test.csv", tmp_path / "answers", load, part_rows=ROWS, probabilities=True
    )


def answer_alone(asked: PartsRequest) -> bytes:
    path = asked.folder.with_name("alone.csv")
    predictor = asked.load()
    columns = () if asked.sample is None else read_table(asked.sample).columns
    parts = predict_table(
        predictor,
        asked.source,
        probabilities=asked.probabilities,
        sample_columns=columns,
        part_rows=asked.part_rows,
    )
    write_parts(path, parts, target="bought", sample=asked.sample)
    return path.read_bytes()


def merge(result: PartsResult, sample: Path | None = None) -> bytes:
    path = result.folder.with_name("merged.csv")
    merge_parts(result, path, sample)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["local", "ray"])
def test_the_parts_are_the_file_of_one_process(
    name: str, asked: PartsRequest, engine: PickledEngine
) -> None:
    result = predict_in_parts(asked, EngineRequest(name), None)
    assert (result.rows, result.parts, result.resumed) == (40, 6, 0)
    assert merge(result) == answer_alone(asked)
    assert [finding["what"] for finding in result.drift] == ["missing"]
    assert result.peak_memory > 2**20


def test_what_is_complete_is_not_answered_again(asked: PartsRequest, engine: PickledEngine) -> None:
    first = predict_in_parts(asked, RAY, None)
    before = merge(first)
    (asked.folder / "part-000002.csv").unlink()  # of a machine that lost it
    (asked.folder / "part-000004.json").unlink()  # killed between file and record
    engine.calls.clear()
    again = predict_in_parts(asked, RAY, None)
    assert [part.number for part in engine.calls] == [4, 2]
    assert (again.resumed, again.rows) == (4, 40)
    assert merge(again) == before
    assert again.drift == first.drift


def test_another_question_is_refused(asked: PartsRequest, engine: PickledEngine) -> None:
    predict_in_parts(asked, RAY, None)
    other = replace(asked, probabilities=False, part_rows=9)
    with pytest.raises(ValueError, match="answers to something else") as caught:
        predict_in_parts(other, RAY, None)
    assert "probabilities: True, now False" in str(caught.value)
    assert "part_rows: 7, now 9" in str(caught.value)
    asked.source.write_text(asked.source.read_text().replace("blue", "teal"))
    with pytest.raises(ValueError, match="table:"):
        predict_in_parts(asked, RAY, None)


def test_another_sample_is_another_question(
    asked: PartsRequest, engine: PickledEngine, tmp_path: Path
) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text("id,bought_yes,bought_no\n0,0.5,0.5\n")
    predict_in_parts(replace(asked, sample=sample), RAY, None)
    sample.write_text("id,bought_no\n0,0.5\n")
    with pytest.raises(ValueError, match="sample:"):
        predict_in_parts(replace(asked, sample=sample), RAY, None)


def test_a_compressed_table_lies_where_all_workers_find_it_and_goes_at_the_end(
    asked: PartsRequest, engine: PickledEngine
) -> None:
    expected = answer_alone(asked)
    packed = asked.source.with_suffix(".csv.GZ")
    packed.write_bytes(gzip.compress(asked.source.read_bytes()))
    left = asked.folder / UNPACKED / "of a killed call"
    left.mkdir(parents=True)
    result = predict_in_parts(replace(asked, source=packed), RAY, None)
    assert merge(result) == expected
    assert not list((asked.folder / UNPACKED).iterdir())


def test_a_folder_of_other_files_is_left_alone(asked: PartsRequest, engine: PickledEngine) -> None:
    asked.folder.mkdir()
    (asked.folder / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"other files \(thesis.txt\).*a new folder"):
        predict_in_parts(asked, RAY, None)
    assert [path.name for path in asked.folder.iterdir()] == ["thesis.txt"]


def test_a_changed_part_is_not_joined(asked: PartsRequest, engine: PickledEngine) -> None:
    result = predict_in_parts(asked, RAY, None)
    part = result.folder / "part-000003.csv"
    part.write_bytes(part.read_bytes().replace(b"0.", b"1."))
    with pytest.raises(ValueError, match=r"part-000003\.csv is not what was written; remove it"):
        merge(result)


def test_a_sample_orders_the_columns_and_is_compared(
    asked: PartsRequest, engine: PickledEngine, tmp_path: Path
) -> None:
    sample = tmp_path / "sample.csv"
    ids = COLORS["id"]
    halves = {"bought_yes": 0.5, "bought_no": 0.5}
    pl.DataFrame({"id": ids, **halves}).write_csv(sample)
    asked = replace(asked, sample=sample)
    result = predict_in_parts(asked, RAY, None)
    assert merge(result, sample) == answer_alone(asked)
    assert merge(result, sample).startswith(b"id,bought_yes,bought_no\n")
    pl.DataFrame({"id": ids.reverse(), **halves}).write_csv(sample)
    with pytest.raises(ValueError, match="in another order"):
        merge(result, sample)


def test_a_difference_from_training_is_an_error_where_it_shall_be(
    asked: PartsRequest, engine: PickledEngine
) -> None:
    with pytest.raises(ValueError, match="--strict makes that an error"):
        predict_in_parts(replace(asked, strict=True), RAY, None)


def test_a_small_table_is_one_part_and_the_same_file(
    asked: PartsRequest, engine: PickledEngine
) -> None:
    whole = replace(asked, part_rows=None)
    result = predict_in_parts(whole, RAY, None)
    assert result.parts == 1
    assert merge(result) == answer_alone(whole)


def test_the_manifest_says_what_was_answered(asked: PartsRequest, engine: PickledEngine) -> None:
    predict_in_parts(asked, RAY, None)
    manifest = json.loads((asked.folder / "manifest.json").read_text())
    assert manifest["is_complete"]
    assert manifest["rows"] == 40
    assert manifest["question"]["table"][0]["path"] == str(asked.source)
