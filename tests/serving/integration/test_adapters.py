"""Several adapters on one base, each with its head, labels and pipeline, chosen by a request; loaded and unloaded while it runs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_map
from starlette.testclient import TestClient

from bert_playground.data.pipeline import TextPipeline
from bert_playground.inference import Predictor
from bert_playground.models.checkpoint import save_model
from bert_playground.models.factory import create_model, load_from_huggingface
from bert_playground.serving.app import create_app
from bert_playground.serving.engine import Engine
from bert_playground.serving.settings import ServeSettings
from bert_playground.serving.start import load_adapters
from tests.serving.served import ROWS, fit, records

KEY = {"authorization": "Bearer secret-key"}
HEADS = {
    "shop": ("bought", "binary"),
    "sort": ("kind", "multiclass"),
    "later": ("bought", "binary"),
}


def save_adapter(base: Path, folder: Path, pipeline: TextPipeline, head: str, seed: int) -> None:
    mx.random.seed(seed)
    labels = None if head == "binary" else pipeline.num_labels
    model = load_from_huggingface(str(base), head, labels, add_lora=True)
    moved = tree_map(lambda p: p + mx.random.normal(p.shape) / 5, model.trainable_parameters())
    model.update(moved)
    save_model(model.eval(), folder)
    pipeline.save(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two adapters, one more that is loaded later, one of another base, and a file that is no adapter."""
    place = tmp_path_factory.mktemp("adapters")
    # A pretrained base reads numbers as words.
    pipelines = {
        name: replace(fit(target), numbers=(), number_tokens=())
        for name, (target, _) in HEADS.items()
    }
    for base, seed in (("base", 0), ("other_base", 1)):
        mx.random.seed(seed)
        model = create_model(
            "bert",
            vocab_size=max(each.vocab_size for each in pipelines.values()),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            initializer_range=0.3,
        )
        save_model(model, place / base)
    for seed, (name, (_, head)) in enumerate(HEADS.items()):
        outer = "ready" if name != "later" else "waiting"
        save_adapter(place / "base", place / outer / name, pipelines[name], head, seed)
    save_adapter(place / "other_base", place / "waiting/foreign", pipelines["shop"], "binary", 7)
    (place / "waiting/empty").mkdir()
    return place


@pytest.fixture
def client(folder: Path) -> Iterator[Any]:
    engine = Engine(ServeSettings())
    load_adapters(engine, folder / "ready", "f32")
    app = create_app(engine, api_key="secret-key", adapters_dir=folder / "waiting", write_log=None)
    with TestClient(app, headers=KEY) as made:
        made.engine = engine
        yield made


def expect(folder: Path) -> np.ndarray:
    """What `bert predict` says of an adapter, which it merges into its base."""
    predictor = Predictor.load(folder, precision="f32")
    return predictor.pipeline.probabilities(predictor.predict(ROWS)).to_numpy()


def ask(client: Any, model: str) -> np.ndarray:
    answer = client.post("/predict/rows", json={"rows": records(), "model": model})
    assert answer.status_code == 200, answer.text
    return np.array([list(each["probabilities"].values()) for each in answer.json()["answers"]])


@pytest.mark.medium
def test_each_request_chooses_its_adapter(client: Any, folder: Path) -> None:
    for name in ("shop", "sort", "shop"):
        # The adapter stands apart here, and is merged there.
        np.testing.assert_allclose(ask(client, name), expect(folder / "ready" / name), atol=2e-5)
    assert client.get("/schema?model=sort").json()["classes"] == ["a", "b", "c"]
    assert client.get("/v2/models/sort/ready").status_code == 200
    label = client.post("/predict", json={"inputs": "old oak", "model": "sort"}).json()
    assert {each["label"] for each in label} == {"a", "b", "c"}


@pytest.mark.medium
def test_adapters_come_and_go(client: Any, folder: Path) -> None:
    before = ask(client, "shop")
    answer = client.post("/v1/load_lora_adapter", json={"lora_name": "later"})
    assert answer.json()["models"] == ["shop", "sort", "later"]
    np.testing.assert_allclose(ask(client, "later"), expect(folder / "waiting/later"), atol=2e-5)
    np.testing.assert_array_equal(ask(client, "shop"), before)
    assert client.post("/v1/unload_lora_adapter", json={"lora_name": "shop"}).status_code == 200
    gone = client.post("/predict/rows", json={"rows": records(), "model": "shop"})
    assert gone.status_code == 404
    np.testing.assert_allclose(ask(client, "sort"), expect(folder / "ready/sort"), atol=2e-5)
    client.post("/v1/unload_lora_adapter", json={"lora_name": "sort"})
    last = client.post("/v1/unload_lora_adapter", json={"lora_name": "later"})
    assert last.status_code == 422
    assert "only adapter" in last.json()["error"]
    assert ask(client, "later").shape == (ROWS.height, 2)


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"lora_name": "shop"}, 422, "already"),
        ({"lora_name": "../x"}, 422, "letters, digits"),
        ({"lora_name": "x", "lora_path": "../ready/shop"}, 404, "no adapter"),
        ({"lora_name": "x", "lora_path": "latr"}, 404, "did you mean 'later'?"),
        ({"lora_name": "x", "lora_path": "foreign"}, 422, "another base"),
        ({"lora_name": "x", "lora_path": "empty"}, 422, "no checkpoint"),
    ],
)
def test_what_cannot_be_loaded_is_refused_without_a_path(
    client: Any, folder: Path, asked: dict[str, str], status: int, said: str
) -> None:
    answer = client.post("/v1/load_lora_adapter", json=asked)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert str(folder) not in answer.text
    assert list(client.engine.models) == ["shop", "sort"]


def test_nobody_without_a_key_loads_adapters(client: Any, folder: Path) -> None:
    for path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
        answer = client.post(path, json={"lora_name": "later"}, headers={"authorization": ""})
        assert answer.status_code == 401
    open_app = create_app(client.engine, adapters_dir=folder / "waiting", write_log=None)
    asked = {"lora_name": "later"}
    answer = TestClient(open_app).post("/v1/load_lora_adapter", json=asked)
    assert answer.status_code == 403
    assert "behind an API key only" in answer.json()["error"]


def test_adapters_of_different_bases_are_refused(folder: Path) -> None:
    engine = Engine(ServeSettings())
    try:
        with pytest.raises(ValueError, match="another base"):
            load_adapters(engine, _mix(folder), "f32")
        with pytest.raises(FileNotFoundError, match="has no folders"):
            load_adapters(engine, folder / "waiting/empty", "f32")
    finally:
        engine.stop()


def _mix(folder: Path) -> Path:
    mixed = folder / "mixed"
    mixed.mkdir(exist_ok=True)
    for source in (folder / "ready/shop", folder / "waiting/foreign"):
        (mixed / source.name).symlink_to(source)
    return mixed
