"""model.word_vectors: words that share their rows begin alike, numbers as ever."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.config.schema import RunConfig
from bert_playground.inference import Predictor
from bert_playground.training import run_training

UNTRAINED = {
    "data.drop_columns": [],
    "model.hidden_size": 64,
    "training.max_steps": 1,
    "optimizer.learning_rate": 1e-9,
    "checkpoint.save_best_only": True,
}


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in which town and colour tell each other, and size tells neither."""
    random = np.random.default_rng(3)
    number = random.integers(0, 4, 120)
    columns = {
        "town": np.array(["ulm", "bonn", "kiel", "jena"])[number],
        "colour": np.array(["red", "green", "blue", "white"])[number],
        "size": random.random(120).round(3),
        "sold": np.where(random.random(120) < 0.5, "yes", "no"),
    }
    path = tmp_path_factory.mktemp("shops") / "train.csv"
    pl.DataFrame(columns).write_csv(path)
    return path


@pytest.mark.medium
def test_words_that_share_their_rows_begin_alike(
    make_config: Callable[..., RunConfig], shops: Path
) -> None:
    asked = {"data.train": shops, "model.word_vectors": "cooccurrence"}
    kept = run_training(make_config("sold", **UNTRAINED | asked)).run_dir.kept
    predictor = Predictor.load(kept, precision="f32")
    words = np.array(predictor.model.encoder.embeddings.words.weight)
    find = predictor.pipeline.tokenizer.tokenizer.token_to_id
    unit = words / np.linalg.norm(words, axis=1, keepdims=True)
    ulm, red, green = (
        unit[find(name)] for name in ("[town=ulm]", "[colour=red]", "[colour=green]")
    )
    assert ulm @ red > ulm @ green + 0.3
    ((first, last),) = predictor.pipeline.number_tokens
    assert words[first:last].std() == pytest.approx(0.02, rel=0.2)
    assert words[find("[town=ulm]")].std() == pytest.approx(0.02 * 2**0.5, rel=0.3)


def test_streamed_rows_are_refused(make_config: Callable[..., RunConfig], shops: Path) -> None:
    asked = {"data.train": shops, "data.streaming": True, "model.word_vectors": "cooccurrence"}
    with pytest.raises(ValueError, match=r"word_vectors cooccurrence needs the whole table"):
        run_training(make_config("sold", **UNTRAINED | asked))
