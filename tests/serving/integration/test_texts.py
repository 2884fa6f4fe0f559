"""The routes of TEI and OpenAI: shapes, and the numbers of the model itself."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.inference import Predictor
from bert_playground.tokens import Tokens
from tests.serving.served import KINDS, client_of, fit, make_predictor


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with client_of() as made:
        yield made


def ask(client: Any, path: str, status: int = 200, **asked: Any) -> Any:
    answer = client.post(path, json=asked)
    assert answer.status_code == status, answer.text
    return answer.json()


def tokens_of(predictor: Predictor, text: str) -> Tokens:
    tokenizer = predictor.pipeline.tokenizer
    ids = [*tokenizer.prefix, *tokenizer.encode_texts([text]).ids.tolist(), *tokenizer.suffix]
    numbers = mx.full((1, len(predictor.pipeline.numbers)), float("nan"))
    return Tokens(mx.array([ids]), numbers=numbers if predictor.pipeline.numbers else None)


def test_labels_have_the_probabilities_of_the_model(client: Any) -> None:
    predictor = client.engine.find(None).predictor
    model = predictor.model
    expected = float(model.head.predict(model(tokens_of(predictor, "old oak"))).item())
    answer = ask(client, "/predict", inputs="old oak")
    assert {each["label"]: each["score"] for each in answer} == pytest.approx(
        {"yes": expected, "no": 1 - expected}, abs=1e-5
    )
    assert answer[0]["score"] >= answer[1]["score"]
    assert ask(client, "/", inputs="old oak") == answer
    batch = ask(client, "/predict", inputs=[["old oak"], ["thin"]])
    assert batch[0] == answer
    assert ask(client, "/predict", inputs=["old oak"]) == answer


def test_raw_scores_are_logits_whose_softmax_is_the_answer(client: Any) -> None:
    answer = {a["label"]: a["score"] for a in ask(client, "/predict", inputs="old oak")}
    raw = {
        a["label"]: a["score"] for a in ask(client, "/predict", inputs="old oak", raw_scores=True)
    }
    assert answer["yes"] == pytest.approx(1 / (1 + np.exp(raw["no"] - raw["yes"])), abs=1e-6)


def test_a_text_that_is_too_long_is_refused_or_cut(client: Any) -> None:
    text = "oak " + "wet " * 600 + "tall"
    error = ask(client, "/predict", 413, inputs=text)
    assert error["error_type"] == "Validation"
    longest = client.get("/info").json()["max_input_length"]
    kept = " ".join(text.split()[: longest - 2])
    left = " ".join(text.split()[-(longest - 2) :])
    exact = ask(client, "/predict", inputs=kept)
    assert ask(client, "/predict", inputs=text, truncate=True) == exact
    assert ask(client, "/predict", inputs=text, truncate=True, truncation_direction="left") == ask(
        client, "/predict", inputs=left
    )


def test_embeddings_are_what_the_head_pools(client: Any) -> None:
    predictor = client.engine.find(None).predictor
    tokens = tokens_of(predictor, "red oak")
    hidden = predictor.model.encoder.encode(tokens)
    pooled = np.array(predictor.model.head.pool(hidden, tokens))[0]
    (plain,) = ask(client, "/embed", inputs="red oak", normalize=False)
    np.testing.assert_allclose(plain, pooled, atol=1e-5)
    both = ask(client, "/embed", inputs=["red oak", "thin"])
    np.testing.assert_allclose(both[0], pooled / np.linalg.norm(pooled), atol=1e-6)
    (first, second) = ask(client, "/embed_all", inputs=["red oak", "thin"])
    np.testing.assert_allclose(first, np.array(hidden)[0], atol=1e-5)
    assert len(second) == len(ask(client, "/tokenize", inputs="thin")[0])
    similar = ask(
        client,
        "/similarity",
        inputs={"source_sentence": "red oak", "sentences": ["red oak", "thin"]},
    )
    assert similar == pytest.approx([1.0, float(np.dot(both[0], both[1]))], abs=1e-5)


def test_openai_embeddings(client: Any) -> None:
    (expected,) = ask(client, "/embed", inputs="red oak")
    answer = ask(client, "/v1/embeddings", input="red oak", model="text-embedding-3-small")
    assert answer["object"] == "list"
    assert answer["data"][0] == {"object": "embedding", "index": 0, "embedding": expected}
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 2
    coded = ask(client, "/v1/embeddings", input=["red oak"], encoding_format="base64")
    raw = base64.b64decode(coded["data"][0]["embedding"])
    np.testing.assert_allclose(np.frombuffer(raw, "<f4"), expected, atol=1e-6)
    short = ask(client, "/v1/embeddings", input="red oak", dimensions=3)["data"][0]["embedding"]
    np.testing.assert_allclose(
        short, np.array(expected[:3]) / np.linalg.norm(expected[:3]), atol=1e-5
    )
    ids = [token["id"] for token in ask(client, "/tokenize", inputs="red oak")[0]]
    by_ids = ask(client, "/v1/embeddings", input=ids)["data"][0]["embedding"]
    np.testing.assert_allclose(by_ids, expected, atol=1e-6)
    assert ask(client, "/v1/embeddings", 422, input=[999_999])["error_type"] == "Tokenizer"
    assert ask(client, "/v1/embeddings", 422, input="a", dimensions=999)


def test_tokens_say_where_they_stand(client: Any) -> None:
    (tokens,) = ask(client, "/tokenize", inputs="old  oak")
    assert [token["text"] for token in tokens if not token["special"]] == ["old", "oak"]
    assert (tokens[2]["start"], tokens[2]["stop"]) == (5, 8)
    assert tokens[0]["special"]
    assert tokens[0]["start"] is None
    (bare,) = ask(client, "/tokenize", inputs="old  oak", add_special_tokens=False)
    assert bare == tokens[1:-1]


@pytest.mark.parametrize(
    ("inputs", "status", "said"),
    [
        ("", 400, "cannot be empty"),
        ([], 400, "cannot be empty"),
        ([["a", "b", "c"]], 422, "one text or a pair"),
        (["a", "b", "c"], 422, "a batch is a list of lists"),
        ([[]], 422, "list of 0 texts"),
        (3, 422, "inputs"),
        ("\ud800", 422, "UTF-16"),
    ],
)
def test_inputs_that_are_none_are_refused(client: Any, inputs: Any, status: int, said: str) -> None:
    body = json.dumps({"inputs": inputs})
    headers = {"content-type": "application/json"}
    answer = client.post("/predict", content=body, headers=headers)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert set(answer.json()) == {"error", "error_type"}


def test_a_body_without_json_is_told_the_header(client: Any) -> None:
    answer = client.post("/predict", content="inputs=a")
    assert answer.status_code == 422
    assert "Content-Type: application/json" in answer.json()["error"]


@pytest.mark.medium
def test_an_ensemble_answers_texts_and_has_no_embedding() -> None:
    with client_of(KINDS["ensemble"]) as client:
        members = client.engine.find(None).predictor.members
        scores = [
            float(m.model.head.predict(m.model(tokens_of(m, "old oak"))).item()) for m in members
        ]
        answer = {a["label"]: a["score"] for a in ask(client, "/predict", inputs="old oak")}
        expected = np.dot(scores, [0.5, 0.3, 0.2])
        assert answer["yes"] == pytest.approx(expected, abs=1e-5)
        for path in ("/embed", "/embed_all"):
            error = ask(client, path, 424, inputs="a")
            assert error["error_type"] == "Backend"
            assert "3 models that answer together" in error["error"]
        assert ask(client, "/v1/embeddings", 424, input="a")
        assert ask(client, "/predict", 424, inputs="a", raw_scores=True)


@pytest.mark.medium
def test_a_blend_with_models_beside_the_encoder_reads_no_text() -> None:
    with client_of(KINDS["blend"]) as client:
        assert "read cells and no text" in ask(client, "/predict", 424, inputs="a")["error"]
        assert client.get("/info").json()["model_dtype"] == "mixed"


@pytest.mark.parametrize(
    ("kind", "labels"),
    [("multilabel", {"is_new", "is_big"}), ("ordinal", {"a", "b", "c"}), ("regression", {"price"})],
)
def test_labels_of_other_tasks(kind: str, labels: set[str]) -> None:
    with client_of(KINDS[kind]) as client:
        answer = ask(client, "/predict", inputs="old oak")
        assert {each["label"] for each in answer} == labels
        status = 424 if kind == "ordinal" else 200
        ask(client, "/predict", status, inputs="old oak", raw_scores=True)


def test_pairs_are_read_as_the_model_was_trained_to() -> None:
    pipeline = fit(text_pair=("note", "color"))

    def load() -> Predictor:
        return make_predictor(pipeline=pipeline)

    with client_of(load) as client:
        row = {"note": "old oak", "color": "red"}
        answer = client.post("/predict/rows", json={"rows": [row]}).json()["answers"][0]
        pair = ask(client, "/predict", inputs=["old oak", "red"])
        assert {a["label"]: a["score"] for a in pair} == answer["probabilities"]
        assert ask(client, "/predict", inputs=[["old oak", "red"]])[0] == pair
        alone = ask(client, "/predict", inputs="old oak")
        assert ask(client, "/predict", inputs=[["old oak", "red"], ["old oak"]]) == [pair, alone]
        assert alone != pair
