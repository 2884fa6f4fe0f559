"""A model of series: the rows of the series are sent, and the last moment of each is answered."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import polars as pl
from polars.testing import assert_frame_equal

from bert_playground.config.schema import DataSection
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import choose_text_options
from bert_playground.data.schema.decide import decide, plan_windows
from bert_playground.inference import Predictor
from bert_playground.models.factory import create_model
from bert_playground.predict_table import predict_table
from tests.serving.served import client_of

SALES = pl.DataFrame(
    {
        "shop": [["north", "south"][row % 2] for row in range(60)],
        "day": [f"2026-0{1 + row // 40}-{1 + row // 2 % 20:02d}" for row in range(60)],
        "weather": [["dry", "wet", "hot"][row % 3] for row in range(60)],
        "sold": [str(10 + row % 7 + row // 10) for row in range(60)],
    }
)


def load() -> Predictor:
    section = DataSection(
        target="sold", task="timeseries", time_column="day", series_column="shop", horizon=2, lags=3
    )
    windows = plan_windows(SALES, section)
    assert windows is not None
    rows = windows.label(SALES).frame
    schema = decide(rows, section, None, windows)
    pipeline = TextPipeline.fit(rows, schema, choose_text_options(section), vocab_size=200)
    mx.random.seed(0)
    model = create_model(
        "bert",
        "timeseries",
        pipeline.num_labels,
        vocab_size=pipeline.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        numeric_tokens=pipeline.number_tokens,
    ).eval()
    return Predictor(model, pipeline, Path("checkpoint"))


def test_the_last_moment_of_each_series_is_answered(tmp_path: Path) -> None:
    with client_of(load) as client:
        path = tmp_path / "test.csv"
        SALES.write_csv(path)
        expected = pl.concat(predict_table(client.engine.find(None).predictor, path))
        document = client.post("/predict/rows", json={"rows": SALES.to_dicts()}).json()
        got = pl.DataFrame([{"shop": a["id"], **a["answer"]} for a in document["answers"]])
        assert_frame_equal(got, expected)
        csv: Any = client.post(
            "/predict/rows", content=path.read_bytes(), headers={"content-type": "text/csv"}
        )
        assert csv.text == expected.write_csv()
        assert client.get("/schema").json()["has_windows"]


def test_rows_that_are_no_series_are_refused() -> None:
    with client_of(load) as client:
        rows = SALES.drop("day").to_dicts()
        answer = client.post("/predict/rows", json={"rows": rows})
        assert answer.status_code == 422
        assert "'day'" in answer.json()["error"]
        again = client.post("/predict/rows", json={"rows": SALES[:1].to_dicts() * 2})
        assert again.status_code == 422
        assert "time of another one" in again.json()["error"]
        explained = client.post("/predict/rows", json={"rows": SALES.to_dicts(), "explain": True})
        assert explained.status_code == 422
