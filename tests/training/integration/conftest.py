"""Fixtures: a made-up table that can be learnt, and a configuration small enough for stock MLX."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_playground.config import load_config
from bert_playground.config.schema import RunConfig
from bert_playground.runs import RunDir
from bert_playground.training import build, run_training
from bert_playground.training.core import Callback
from bert_playground.training.core.state import TrainState
from tests.tiny_run import TINY_RUN

TINY = TINY_RUN | {"training.epochs": 2, "training.logging_steps": 2}


@pytest.fixture(scope="session")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 120 rows: two columns decide `ripe`, `price` and `kind`, one is noise."""
    random = np.random.default_rng(7)
    path = tmp_path_factory.mktemp("fruit") / "train.csv"
    lines = ["row,colour,size,shop,ripe,price,kind"]
    for row in range(120):
        colour, size = random.choice(["green", "red", "yellow"]), random.choice(["small", "large"])
        shop = random.choice(["north", "south"])
        ripe = {"green": "no", "red": "yes", "yellow": "yes"}[colour]
        price = 3 + 4 * (size == "large") + 2 * (ripe == "yes") + random.random() / 4
        kind = {"green": "lime", "red": "apple", "yellow": "banana"}[colour]
        lines.append(f"{row},{colour},{size},{shop},{ripe},{price:.2f},{kind}")
    path.write_text("\n".join(lines) + "\n")
    return path


def configure(fruit: Path, output: Path, target: str = "ripe", **settings: object) -> RunConfig:
    """A small configuration with further settings, dotted paths as in flags."""
    flags = {
        **TINY,
        "data.train": fruit,
        "data.target": target,
        "data.drop_columns": sorted({"ripe", "price", "kind"} - {target}),
        "training.output_dir": output,
        **settings,
    }
    config, _ = load_config(None, {}, flags)
    return config


@pytest.fixture
def make_config(fruit: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    """A function of target and further settings that gives a small configuration of this test's own."""
    return partial(configure, fruit, tmp_path / "output")


@pytest.fixture(scope="session")
def train_once(fruit: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """A function of target and settings that trains the first time only; who changes a run's files copies them."""
    results: dict[str, Any] = {}

    def train_once(
        target: str = "ripe", *, train: Callable[..., Any] = run_training, **settings: object
    ) -> Any:
        asked = repr((train.__name__, target, sorted(settings.items())))
        if asked not in results:
            output = tmp_path_factory.mktemp("trained_once")
            results[asked] = train(configure(fruit, output, target, **settings))
        return results[asked]

    return train_once


@pytest.fixture
def check_exact_resume(
    make_config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """A function: a run with these settings that breaks in its second epoch and is resumed ends as an unbroken one, bit for bit."""

    def check(**settings: object) -> None:
        whole = run_training(make_config(**settings)).run_dir

        class Break(Callback):
            def on_step_end(self, state: TrainState) -> None:
                # Some steps after a save, which is itself inside the epoch where one is made every 4 steps.
                if state.epoch == 1 and state.batch >= 4 and state.step % 4 == 2:
                    raise RuntimeError("power cut")

        make_callbacks = build._make_callbacks
        with monkeypatch.context() as patch:
            patch.setattr(build, "_make_callbacks", lambda *a: [*make_callbacks(*a), Break()])
            broken = make_config(**settings, **{"training.output_dir": tmp_path / "broken"})
            with pytest.raises(RuntimeError, match="power cut"):
                run_training(broken)
        (left,) = (tmp_path / "broken").iterdir()
        run_training(make_config(), resume=left)
        for folder in ("final", "best"):
            ours = getattr(RunDir(left), folder) / "model.safetensors"
            assert ours.read_bytes() == (getattr(whole, folder) / "model.safetensors").read_bytes()

    return check
