"""Whatever a client sends, the server does not fail: no answer is a 5xx, and every one is JSON or CSV."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.served import client_of

WORDS = st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(
    st.fixed_dictionaries(
        dict.fromkeys(["id", "color", "size", "note"], VALUES), optional={"Size": VALUES}
    ),
    min_size=1,
    max_size=3,
)
PATHS = ("/predict", "/embed", "/embed_all", "/similarity", "/tokenize", "/v1/embeddings")
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["id", "color", "size", "note", "text"]),
        "shape": st.just([1]) | VALUES,
        "datatype": st.sampled_from(["BYTES", "FP32", "INT64", "x"]),
        "data": st.lists(VALUES, min_size=1, max_size=1),
    }
)
few = settings(suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with client_of(auto_truncate=True) as made:
        yield made


def require_answer(client: Any, path: str, content: bytes, kind: str = "application/json") -> int:
    answer = client.post(path, content=content, headers={"content-type": kind})
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 or kind == "application/json":
        json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return int(answer.status_code)


@few
@given(rows=ROWS, explain=st.booleans())
@pytest.mark.medium
def test_any_rows(client: Any, rows: list[dict[str, Any]], explain: bool) -> None:
    body = json.dumps({"rows": rows, "explain": explain}).encode()
    assert require_answer(client, "/predict/rows", body) in (200, 422)


@few
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode()))
def test_any_csv(client: Any, content: bytes) -> None:
    require_answer(client, "/predict/rows", content, "text/csv")
    require_answer(client, "/predict/rows", b"color,size,note\n" + content, "text/csv")


@few
@given(path=st.sampled_from(PATHS), inputs=VALUES | WORDS | st.lists(WORDS, max_size=2))
def test_any_text(client: Any, path: str, inputs: Any) -> None:
    body = {"inputs": inputs, "input": inputs, "truncate": True}
    if path == "/similarity":
        body["inputs"] = {"source_sentence": inputs, "sentences": [inputs]}
    require_answer(client, path, json.dumps(body).encode())


@few
@given(inputs=st.lists(TENSOR | VALUES, max_size=4), outputs=VALUES, parameters=VALUES)
def test_any_tensors(client: Any, inputs: Any, outputs: Any, parameters: Any) -> None:
    body = json.dumps({"inputs": inputs, "outputs": outputs, "parameters": parameters})
    require_answer(client, "/v2/models/shop/infer", body.encode())


@few
@given(content=st.binary(max_size=40), path=st.sampled_from(["/predict/rows", *PATHS]))
def test_any_body(client: Any, content: bytes, path: str) -> None:
    require_answer(client, path, content)
