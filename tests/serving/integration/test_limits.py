"""What is too much, too late or not allowed: 413, 429, 504, 401; no answer names a path of this machine."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bert_playground.logger import logger
from bert_playground.serving.app import create_app
from bert_playground.serving.engine import Engine
from bert_playground.serving.security import OPEN_PATHS
from bert_playground.serving.settings import ServeSettings
from tests.serving.served import ROWS, client_of, make_predictor, records

ONE = {"rows": records(ROWS[:1])}


@pytest.fixture
def caplog_of_loguru() -> Iterator[list[str]]:
    """What is logged."""
    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    yield said
    logger.remove(sink)


def hold_mlx(client: Any) -> threading.Event:
    """Keep the thread that owns MLX busy until the event."""
    release, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        release.wait(20)

    client.engine.scheduler.call(wait)
    assert begun.wait(10)
    return release


@pytest.fixture(scope="module")
def small() -> Iterator[Any]:
    with client_of(
        max_rows=3, payload_limit=2000, csv_limit=3000, max_client_batch_size=2
    ) as client:
        yield client


def test_too_many_rows_texts_or_bytes_are_413(small: Any) -> None:
    answer = small.post("/predict/rows", json={"rows": records(ROWS[:4])})
    assert answer.status_code == 413
    assert "at most 3" in answer.json()["error"]
    answer = small.post("/predict", json={"inputs": [["a"], ["b"], ["c"]]})
    assert answer.status_code == 413
    assert "batch size 3 > maximum allowed batch size 2" in answer.json()["error"]
    answer = small.post("/predict", json={"inputs": "a" * 2000})
    assert (answer.status_code, answer.json()["error_type"]) == (413, "Validation")
    answer = small.post("/predict", json={"inputs": "word " * 300})
    assert answer.status_code == 413
    assert "tokens. Given:" in answer.json()["error"]


def test_a_body_without_length_is_cut_off_too(small: Any) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(10):
            yield b" " * 500

    kinds = [("application/json", "/predict"), ("text/csv", "/predict/rows")]
    for kind, path in kinds:
        answer = small.post(path, content=chunks(), headers={"content-type": kind})
        assert answer.status_code == 413, kind


def test_overload_is_429_and_says_when_to_come_again() -> None:
    with client_of(max_concurrent_requests=2) as client, ThreadPoolExecutor(2) as pool:
        release = hold_mlx(client)
        waiting = [pool.submit(client.post, "/predict/rows", json=ONE) for _ in range(2)]
        deadline = time.monotonic() + 10
        while "bert_concurrent_requests 2.0" not in client.get("/metrics").text:
            assert time.monotonic() < deadline
        refused = client.post("/predict/rows", json=ONE)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error_type"] == "Overloaded"
        assert client.get("/health").status_code == 200
        release.set()
        assert [each.result(20).status_code for each in waiting] == [200, 200]
        assert client.post("/predict/rows", json=ONE).status_code == 200


def test_what_takes_too_long_is_504_and_is_not_computed() -> None:
    with client_of(timeout_seconds=0.3) as client:
        release = hold_mlx(client)
        for path, asked in (("/predict/rows", ONE), ("/predict", {"inputs": "a"})):
            answer = client.post(path, json=asked)
            assert (answer.status_code, answer.json()["error_type"]) == (504, "Timeout"), path
        csv = {"content-type": "text/csv"}
        answer = client.post("/predict/rows", content=ROWS.write_csv(), headers=csv)
        assert answer.status_code == 504
        batches = client.engine.metrics.batch_size._sum.get()
        release.set()
        client.engine.scheduler.call(lambda: None).result(10)
        assert client.engine.metrics.batch_size._sum.get() == batches


def test_a_key_is_asked_of_all_but_health_and_page() -> None:
    with client_of(app={"api_key": "secret-key"}) as client:
        for path in client.get("/openapi.json").json().get("paths", {}) or ["/info", "/metrics"]:
            if path not in OPEN_PATHS:
                assert client.get(path).status_code == 401, path
        for header in ("Bearer wrong", "Basic secret-key", "secret-key", "Bearer secret-keys", ""):
            answer = client.get("/info", headers={"authorization": header})
            assert answer.status_code == 401, header
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "secret-key" not in answer.text
        assert client.post("/predict/rows", json=ONE).status_code == 401
        right = {"authorization": "Bearer secret-key"}
        assert client.post("/predict/rows", json=ONE, headers=right).status_code == 200
        for path in ("/health", "/", "/v2/health/ready", "/page.js"):
            assert client.get(path).status_code == 200, path
        assert client.post("/", json={"inputs": "a"}).status_code == 401


def test_no_other_origin_may_ask_unless_it_is_named(small: Any) -> None:
    ask = {"origin": "https://other.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in small.options("/predict", headers=ask).headers
    assert "access-control-allow-origin" not in small.get("/info", headers=ask).headers
    with client_of(cors_allow_origin=("https://friend.example",)) as client:
        assert "access-control-allow-origin" not in client.get("/info", headers=ask).headers
        friend = {**ask, "origin": "https://friend.example"}
        allowed = client.options("/predict", headers=friend).headers
        assert allowed["access-control-allow-origin"] == "https://friend.example"


def test_each_request_is_a_record_with_an_id_and_without_its_body() -> None:
    lines: list[dict[str, Any]] = []
    with client_of(app={"write_log": lines.append, "api_key": "secret-key"}) as client:
        headers = {"authorization": "Bearer secret-key", "x-request-id": "mine-1"}
        answer = client.post("/predict/rows", json=ONE, headers=headers)
        assert answer.headers["x-request-id"] == "mine-1"
        assert int(answer.headers["x-total-time"]) >= int(answer.headers["x-inference-time"]) >= 0
        bad = client.post("/predict", json={}, headers={**headers, "x-request-id": "a b\tc"})
        assert bad.headers["x-request-id"] != "a b\tc"
        client.get("/nowhere", headers=headers)
    lines = [line for line in lines if line["route"] != "/health"]  # not ready at first
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/predict/rows", 200),
        ("/predict", 422),
        ("other", 404),
    ]
    assert lines[0]["request_id"] == "mine-1"
    assert lines[0]["rows"] == 1
    assert {"queue_ms", "tokenization_ms", "inference_ms", "milliseconds"} <= set(lines[0])
    assert "secret-key" not in str(lines)


def test_metrics_are_split_as_tei_does(small: Any) -> None:
    small.post("/predict", json={"inputs": "a b c"})
    text = small.get("/metrics").text
    for name in (
        'bert_request_count_total{route="/predict"}',
        'bert_request_success_total{route="/predict"}',
        "bert_request_duration_seconds_bucket",
        "bert_request_queue_duration_seconds_count",
        "bert_request_tokenization_duration_seconds_count",
        "bert_request_inference_duration_seconds_count",
        "bert_request_input_length_bucket",
        "bert_batch_next_size_bucket",
        "bert_batch_next_tokens_bucket",
        "bert_queue_size",
    ):
        assert name in text, name


def test_an_unforeseen_error_says_nothing_about_this_machine(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str | None) -> None:
        raise RuntimeError(f"cannot read {Path.cwd()}/secret")

    monkeypatch.setattr(small.engine, "find", fail)
    answer = small.get("/info")
    assert answer.status_code == 500
    assert answer.json()["error"].startswith("the server failed; its log has request ")


def test_no_model_is_ready_before_it_is_warm(small: Any) -> None:
    small.engine.is_ready = False
    try:
        for path in ("/health", "/v2/health/ready", "/v2/models/shop/ready"):
            assert small.get(path).status_code == 503, path
        assert small.get("/v2/health/live").status_code == 200
    finally:
        small.engine.is_ready = True


def test_a_model_that_fails_is_never_ready(caplog_of_loguru: list[str]) -> None:
    def load() -> Any:
        predictor = make_predictor()
        predictor.model.head.classifier.weight = predictor.model.head.classifier.weight[:, :3]
        return predictor

    engine = Engine(ServeSettings())
    engine.load("shop", load)
    with TestClient(create_app(engine, write_log=None)) as client:
        deadline = time.monotonic() + 20
        while not any("never be ready" in each for each in caplog_of_loguru):
            assert time.monotonic() < deadline
        assert client.get("/health").status_code == 503
