"""The routes of KServe v2: columns as tensors, in JSON and in bytes."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bert_playground.serving.kserve_tensors import HEADER_LENGTH
from tests.serving.served import KINDS, ROWS, client_of, records

COLUMNS = ("id", "color", "size", "note")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with client_of() as made:
        yield made


def tensors(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "shape": [len(rows), 1],
            "datatype": "FP64" if name == "size" else "BYTES",
            "data": [
                float(row[name]) if name == "size" and row[name] is not None else row[name]
                for row in rows
            ],
        }
        for name in COLUMNS
    ]


def infer(client: Any, status: int = 200, **asked: Any) -> Any:
    answer = client.post("/v2/models/shop/infer", json=asked)
    assert answer.status_code == status, answer.text
    return answer.json()


def outputs_of(document: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each for each in document["outputs"]}


def test_columns_as_tensors_get_the_answers_of_rows(client: Any) -> None:
    rows = records(ROWS[:7])
    answers = client.post("/predict/rows", json={"rows": rows}).json()["answers"]
    document = infer(client, id="7", inputs=tensors(rows))
    assert (document["id"], document["model_name"], document["model_version"]) == ("7", "shop", "1")
    found = outputs_of(document)
    assert found["bought"]["data"] == [each["answer"]["bought"] for each in answers]
    assert found["probabilities"]["shape"] == [7, 2]
    flat = [value for each in answers for value in each["probabilities"].values()]
    assert found["probabilities"]["data"] == pytest.approx(flat, abs=1e-6)
    assert found["id"]["data"] == [row["id"] for row in rows]


def test_bytes_get_the_same_answers(client: Any) -> None:
    rows = records(ROWS[:4])
    described, behind = [], b""
    for tensor in tensors(rows):
        if tensor["datatype"] == "BYTES":
            texts = [str(value or "").encode() for value in tensor.pop("data")]
            content = b"".join(struct.pack("<I", len(text)) + text for text in texts)
        else:
            content = np.array(tensor.pop("data"), "<f8").tobytes()
        described.append({**tensor, "parameters": {"binary_data_size": len(content)}})
        behind += content
    head = json.dumps({"inputs": described, "parameters": {"binary_data_output": True}}).encode()
    answer = client.post(
        "/v2/models/shop/infer", content=head + behind, headers={HEADER_LENGTH: str(len(head))}
    )
    assert answer.status_code == 200, answer.text
    length = int(answer.headers[HEADER_LENGTH])
    found = outputs_of(json.loads(answer.content[:length]))
    rest = answer.content[length:]
    expected = outputs_of(infer(client, inputs=tensors(rows)))
    for name, entry in found.items():
        size = entry["parameters"]["binary_data_size"]
        content, rest = rest[:size], rest[size:]
        if entry["datatype"] == "FP64":
            assert np.frombuffer(content, "<f8").tolist() == expected[name]["data"]
        else:
            texts = b"".join(
                struct.pack("<I", len(text)) + text.encode() for text in expected[name]["data"]
            )
            assert content == texts
    assert not rest


def test_only_outputs_that_are_asked_for_come(client: Any) -> None:
    document = infer(client, inputs=tensors(records(ROWS[:1])), outputs=[{"name": "bought"}])
    assert list(outputs_of(document)) == ["bought"]
    error = infer(
        client, 422, inputs=tensors(records(ROWS[:1])), outputs=[{"name": "probabilites"}]
    )
    assert "did you mean 'probabilities'?" in error["error"]


def test_texts_come_in_one_tensor(client: Any) -> None:
    inputs = [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["old oak", "thin"]}]
    found = outputs_of(infer(client, inputs=inputs))
    expected = client.post("/predict", json={"inputs": [["old oak"], ["thin"]]}).json()
    assert found["bought"]["data"] == [each[0]["label"] for each in expected]


def test_metadata_and_health(client: Any) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    document = client.get("/v2/models/shop").json()
    assert [each["name"] for each in document["inputs"]] == ["color", "size", "note"]
    assert document["outputs"] == [
        {"name": "bought", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
        {"name": "confidence", "datatype": "FP64", "shape": [-1]},
    ]
    assert client.get("/v2/models/shop/ready").json() == {"name": "shop", "ready": True}
    assert client.get("/v2/models/shp").status_code == 404


def one(**changes: Any) -> dict[str, Any]:
    return {
        "inputs": [{"name": "color", "shape": [1], "datatype": "BYTES", "data": ["red"]} | changes]
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "inputs"),
        ({"inputs": []}, "empty"),
        ({"inputs": [3]}, "no record"),
        (one(name=3), "no name"),
        (one(datatype="TEXT"), "known: BOOL"),
        (one(shape=[2, 2]), "no shape"),
        (one(shape="x"), "no shape"),
        (one(shape=[2]), "has 1 values, but its shape [2] has 2"),
        (one(data="red"), "no list of values"),
        (one(parameters={"binary_data_size": 9}), "0 bytes are left"),
        (one(), "lack 2 column(s)"),
        ({"inputs": one()["inputs"] * 2}, "same name"),
        ({**one(), "outputs": [3]}, "no record"),
        ({**one(), "outputs": [{}]}, "no name"),
    ],
)
def test_tensors_that_are_no_columns_are_refused(
    client: Any, asked: dict[str, Any], said: str
) -> None:
    assert said in infer(client, 422, **asked)["error"]


@pytest.mark.parametrize("length", ["-1", "x", "0", "999"])
def test_a_wrong_length_of_the_json_is_refused(client: Any, length: str) -> None:
    answer = client.post("/v2/models/shop/infer", content=b"{}", headers={HEADER_LENGTH: length})
    assert answer.status_code == 422


@pytest.mark.parametrize("kind", ["multilabel", "regression", "ordinal", "blend", "tabular"])
@pytest.mark.quick_for("multilabel", "tabular")
def test_metadata_of_every_kind_names_the_outputs(kind: str) -> None:
    with client_of(KINDS[kind]) as client:
        said = client.get("/v2/models/shop").json()["outputs"]
        document = infer(client, inputs=tensors(records(ROWS[:1])))
        came = {each["name"]: each["datatype"] for each in document["outputs"]}
        assert {each["name"]: each["datatype"] for each in said}.items() <= came.items()


def test_a_number_is_an_fp64_output() -> None:
    with client_of(KINDS["uncertain"]) as client:
        found = outputs_of(infer(client, inputs=tensors(records(ROWS[:2]))))
        assert found["price"]["datatype"] == found["price_std"]["datatype"] == "FP64"
        assert "probabilities" not in found
