"""Routes that are answered before the framework's router answer as it would."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.serving.served import ROWS, client_of, records

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def logged() -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    said: list[dict[str, Any]] = []
    with client_of(app={"write_log": said.append}) as client:
        yield client, said


def test_an_option_in_the_address_goes_through_the_router_and_changes_no_answer(
    logged: tuple[Any, list[dict[str, Any]]],
) -> None:
    client, said = logged
    body = {"rows": records(ROWS[:5])}
    for path, asked in (("/predict/rows", body), ("/predict", {"inputs": [["a"], ["b"]]})):
        direct = client.post(path, json=asked)
        routed = client.post(f"{path}?x=1", json=asked)
        assert direct.json() == routed.json()
        assert direct.headers["content-type"] == routed.headers["content-type"]
        assert int(direct.headers["content-length"]) == len(direct.content)
        assert {"x-request-id", "x-queue-time", "x-tokenization-time"} <= {*direct.headers}
        assert [(line["route"], line["status"]) for line in said[-2:]] == [(path, 200)] * 2
        assert said[-2]["rows"] == said[-1]["rows"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", b"{"),
        ("/predict", b'{"inputs": 3}'),
        ("/predict", b'{"inputs": "a", "truncate": "perhaps"}'),
        ("/predict", b'{"inputs": "\\ud800"}'),
        ("/predict", b'{"inputs": []}'),
        ("/predict", b'{"inputs": "a", "model": "nobody"}'),
        ("/predict/rows", b"{"),
        ("/predict/rows", b'{"rows": []}'),
        ("/predict/rows", b'{"rows": [{"colour": "red"}]}'),
        ("/predict/rows", b'{"rows": [{"color": "\\ud800", "size": 1, "note": "a"}]}'),
        ("/predict/rows", b'{"rows": [{"color": 1}], "model": 7}'),
    ],
)
def test_faults_are_told_in_the_same_words(
    logged: tuple[Any, list[dict[str, Any]]], path: str, body: bytes
) -> None:
    client, _ = logged
    direct = client.post(path, content=body, headers=JSON)
    routed = client.post(f"{path}?x=1", content=body, headers=JSON)
    assert direct.status_code == routed.status_code >= 400
    assert direct.json() == routed.json()


def test_one_bad_request_among_many_fails_alone(
    logged: tuple[Any, list[dict[str, Any]]],
) -> None:
    client, _ = logged
    bodies = [{"inputs": "word"}, {"inputs": "word " * 300}] * 8
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: client.post("/predict", json=body), bodies))
    assert [answer.status_code for answer in answers] == [200, 413] * 8
    assert len({answer.content for answer in answers[::2]}) == 1


def test_the_document_describes_the_direct_routes(
    logged: tuple[Any, list[dict[str, Any]]],
) -> None:
    client, _ = logged
    paths = client.get("/openapi.json").json()["paths"]
    assert "post" in paths["/predict/rows"]
    assert "post" in paths["/predict"]
