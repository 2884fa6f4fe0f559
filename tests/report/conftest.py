"""Fixtures: a made-up table of flats, and tiny runs on it that a module's tests share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_playground.config import load_config
from bert_playground.config.schema import RunConfig
from bert_playground.training import run_training
from tests.tiny_run import TINY_RUN

TINY = TINY_RUN | {
    "model.vocab_size": 300,
    "training.epochs": 4,
    "training.logging_steps": 2,
    "training.early_stopping_patience": 0,
    "optimizer.learning_rate": 1e-2,
}
TARGETS = ("sold", "price", "kind")
NASTY = "<script>alert(1)</script> & \x07bell"


@pytest.fixture(scope="session")
def flats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 120 rows: `district` decides `sold` and `kind`, `rooms` the price; `note` is free text, once a nasty one."""
    random = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("flats") / "train.csv"
    words = [
        "bright",
        "quiet",
        "small",
        "old",
        "garden",
        "balcony",
        "near",
        "station",
        "market",
        "river",
    ]
    lines = ["id,district,rooms,note,sold,price,kind"]
    for number in range(120):
        district = random.choice(["north", "south", "west"])
        rooms = int(random.integers(1, 6))
        note = " ".join(random.choice(words, size=int(random.integers(8, 14))))
        note = f"{note} {NASTY}" if number % 10 == 0 else note
        sold = int((district == "north") != (random.random() < 0.05))
        kind = {"north": "loft", "south": "house", "west": "studio"}[district]
        price = 100 + 50 * rooms + random.normal() * 5
        lines.append(f"{number},{district},{rooms},{note},{sold},{price:.1f},{kind}")
    path.write_text("\n".join(lines) + "\n")
    test = [line.rsplit(",", 3)[0] for line in lines[:20]]
    path.with_name("test.csv").write_text("\n".join(test) + "\n")
    return path


def configure(flats: Path, output: Path, target: str = "sold", **settings: object) -> RunConfig:
    """A small configuration with further settings by dotted paths."""
    flags = {
        **TINY,
        "data.train": flats,
        "data.target": target,
        "data.text_columns": ["note"],
        "data.drop_columns": sorted({*TARGETS} - {target}),
        "training.output_dir": output,
        **settings,
    }
    config, _ = load_config(None, {}, flags)
    return config


@pytest.fixture(scope="session")
def train_once(flats: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """A function of target and settings that trains the first time only; who changes a run's files copies them."""
    results: dict[str, Any] = {}

    def train(
        target: str = "sold", *, by: Callable[..., Any] = run_training, **settings: object
    ) -> Any:
        asked = repr((by.__name__, target, sorted(settings.items())))
        if asked not in results:
            output = tmp_path_factory.mktemp("trained_once")
            results[asked] = by(configure(flats, output, target, **settings))
        return results[asked]

    return train
