"""/predict/rows: JSON and CSV get the answers of `bert predict`, and what is wrong is said."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bert_playground.predict_table import predict_table
from bert_playground.serving import engine as engine_module
from tests.serving.served import KINDS, ROWS, client_of, make_predictor, records


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with client_of() as made:
        yield made


def ask(client: Any, rows: list[dict[str, Any]], status: int = 200, **options: Any) -> Any:
    answer = client.post("/predict/rows", json={"rows": rows, **options})
    assert answer.status_code == status, answer.text
    return answer.json()


def ask_csv(client: Any, frame: pl.DataFrame, query: str = "") -> pl.DataFrame:
    headers = {"content-type": "text/csv"}
    content = frame.write_csv()
    answer = client.post(f"/predict/rows{query}", content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    return pl.read_csv(io.StringIO(answer.text), schema_overrides={"id": pl.String})


def predict_file(client: Any, folder: Path, **options: Any) -> pl.DataFrame:
    ROWS.write_csv(folder / "test.csv")
    predictor = client.engine.find(None).predictor
    return pl.concat(predict_table(predictor, folder / "test.csv", **options))


def test_json_rows_get_the_answers_of_predict(client: Any, tmp_path: Path) -> None:
    answers = ask(client, records())["answers"]
    expected = predict_file(client, tmp_path)
    assert [each["id"] for each in answers] == expected["id"].to_list()
    assert [each["answer"]["bought"] for each in answers] == expected["bought"].to_list()
    table = predict_file(client, tmp_path, probabilities=True)
    for answer, (_, no, yes) in zip(answers, table.rows(), strict=True):
        assert answer["probabilities"] == {"no": no, "yes": yes}
        assert answer["confidence"] == max(no, yes)


def test_a_csv_gets_the_submission_of_predict(client: Any, tmp_path: Path) -> None:
    assert_frame_equal(ask_csv(client, ROWS), predict_file(client, tmp_path))
    table = predict_file(client, tmp_path, probabilities=True)
    assert_frame_equal(ask_csv(client, ROWS, "?probabilities=true"), table)


def test_a_csv_is_answered_in_slices(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict_file(client, tmp_path)
    monkeypatch.setattr(engine_module, "SLICE_ROWS", 7)
    assert_frame_equal(ask_csv(client, ROWS), whole)
    without_id = ask_csv(client, ROWS.drop("id"))
    assert without_id["id"].to_list() == [str(row) for row in range(ROWS.height)]


@pytest.mark.parametrize("kind", ["regression", "uncertain", "multilabel", "ordinal", "blend"])
@pytest.mark.quick_for("multilabel", "regression")
def test_every_kind_of_answer_is_written(kind: str, tmp_path: Path) -> None:
    with client_of(KINDS[kind]) as client:
        expected = predict_file(client, tmp_path)
        document = ask(client, records(), explain=False)
        got = pl.DataFrame([{"id": a["id"], **a["answer"]} for a in document["answers"]])
        assert_frame_equal(got, expected)
        assert ("probabilities" in document["answers"][0]) == (
            kind not in ("regression", "uncertain")
        )
        explained = ask(client, records(ROWS[:1]), explain=True)["answers"][0]["columns"]
        assert {each["column"] for each in explained} == {"color", "size", "note"}


def test_columns_that_drive_an_answer_are_those_whose_cells_change_it(client: Any) -> None:
    row = records(ROWS[3:4])[0]
    answer = ask(client, [row], explain=True)["answers"][0]
    label = answer["answer"]["bought"]
    for each in answer["columns"]:
        without = ask(client, [{**row, each["column"]: None}])["answers"][0]
        effect = answer["probabilities"][label] - without["probabilities"][label]
        assert each["effect"] == pytest.approx(effect, abs=1e-6)
    effects = [abs(each["effect"]) for each in answer["columns"]]
    assert effects == sorted(effects, reverse=True)
    assert effects[0] > 0


def test_drift_and_unread_columns_are_said(client: Any) -> None:
    row = {**records(ROWS[:1])[0], "color": "RED", "size": "many", "Size": 3}
    document = ask(client, [row])
    assert document["ignored_columns"] == ["Size"]
    found = {(each["column"], each["what"]): each for each in document["drift"]}
    assert found["color", "respelled"]["read_as"] == "red"
    assert "no number" in found["size", "unreadable"]["message"]
    assert "drift" not in ask(client, [row], drift=False)
    metrics = client.get("/metrics").text
    assert 'bert_drift_rows_total{column="size",model="shop",what="unreadable"}' in metrics


def test_drift_of_a_csv_is_in_a_header(client: Any) -> None:
    table = ROWS.with_columns(color=pl.col("color").str.to_uppercase())
    answer = client.post(
        "/predict/rows", content=table.write_csv(), headers={"content-type": "text/csv"}
    )
    said = json.loads(answer.headers["x-drift"])
    assert any(each.startswith("color: ") for each in said)


def test_rows_that_lack_columns_are_refused_by_name(client: Any) -> None:
    error = ask(client, [{"colour": "red", "size": 1, "note": ""}], status=422)
    assert "'color'; did you mean 'colour'?" in error["error"]
    answer = client.post(
        "/predict/rows",
        content="id,colour,size,note\n1,red,2,x\n",
        headers={"content-type": "text/csv"},
    )
    assert answer.status_code == 422
    assert "did you mean 'colour'?" in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 400, "the body is empty"),
        (b"id,color,size,note\n", 422, "no rows"),
        (b"id,color,size,note\n1,red\n", 422, "ragged"),
        (b"id,color,color\n1,red,2\n", 422, "duplicate column names"),
        (b"id,color,size,note\n1,\xff,2,x\n", 422, "not UTF-8"),
        (b"id,color,size,note\n1,\0,2,x\n", 422, "NUL byte"),
        (b'id,color,size,note\n1,"red,2,x\n', 422, "never closed"),
        (b"PK\x03\x04 zip", 422, "body"),
    ],
)
def test_a_faulty_csv_is_refused_without_a_path(
    client: Any, content: bytes, status: int, said: str
) -> None:
    answer = client.post(
        "/predict/rows", content=content, headers={"content-type": "text/csv; charset=utf-8"}
    )
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert "/" not in answer.json()["error"].replace("and/or", "")


def test_probabilities_of_a_number_are_refused() -> None:
    with client_of(KINDS["regression"]) as client:
        answer = client.post(
            "/predict/rows?probabilities=true",
            content=ROWS.write_csv(),
            headers={"content-type": "text/csv"},
        )
        assert answer.status_code == 422
        assert "has no probabilities" in answer.json()["error"]


def test_the_schema_has_typical_values(client: Any) -> None:
    document = client.get("/schema").json()
    columns = {each["name"]: each for each in document["columns"]}
    assert set(columns) == {"color", "size", "note"}
    assert set(columns["color"]["choices"]) == {"red", "blue", "green"}
    assert columns["size"]["kind"] == "number"
    assert columns["size"]["least"] <= float(columns["size"]["example"])
    assert document["target"] == ["bought"]
    assert document["classes"] == ["no", "yes"]


def test_a_model_that_is_not_served_is_not_found(client: Any) -> None:
    assert "did you mean 'shop'?" in ask(client, records(ROWS[:1]), 404, model="shp")["error"]
    assert client.get("/schema?model=shp").status_code == 404


def test_the_model_is_loaded_in_the_thread_that_owns_mlx() -> None:
    import threading

    seen: list[str] = []

    def load() -> Any:
        seen.append(threading.current_thread().name)
        return make_predictor()

    with client_of(load) as client:
        ask(client, records(ROWS[:1]))
    assert seen == ["mlx"]
