"""Make tests/fixtures/caa11f4: what commit caa11f4 wrote, and what it predicted from it.

Run with that commit's package, so that later code is tested against files of earlier code and not against its own:

    git worktree add ../caa11f4 caa11f4
    BERT_KERNELS=require BERT_KERNELS_ISA=avx2 OMP_NUM_THREADS=1 PYTHONPATH=../caa11f4/src:. python scripts/make_compatibility_fixture.py

Imports and patched names below are those of caa11f4. Never make the fixture again to get a test to pass.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from typer.testing import CliRunner

from bert_playground.cli.app import app
from tests.compatibility.answers import describe_computer

ROOT = Path(__file__).parents[1]
FIXTURE = ROOT / "tests/fixtures/caa11f4"
ANSWERS = ROOT / "tests/compatibility/answers.py"
KERNELS = {"native": {"BERT_KERNELS": "require"}, "mlx": {"BERT_KERNELS": "off"}}
TARGETS = ("Survived", "Comfort", "Price", "Tags")

TINY: dict[str, Any] = {
    "model": {
        "hidden_size": 16, "intermediate_size": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 200,
    },
    "training": {"epochs": 2, "batch_size": 8, "use_compilation": False, "logging_steps": 2},
    "optimizer": {"learning_rate": 5e-3},
    "checkpoint": {"save_best_only": True},
    "data": {"train": "table/train.csv", "max_length": 48},
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "run": {
        "data": {"target": "Survived", "task": "binary", "numeric_features": "auto"},
        "augmentation": {
            "column_shuffle": 0.5, "column_dropout": 0.1, "token_masking": 0.1,
            "number_jitter": 0.05, "value_swap": 0.1,
        },
        "model": {"num_layers": 2},
        "training": {"gradient_accumulation_steps": 2, "epochs": 3},
        "checkpoint": {"save_best_only": False, "save_steps": 4},
    },
    "adapter": {
        "data": {"target": "Survived"},
        "model": {"pretrained": "pretrained"},
        "lora": {"enabled": True},
    },
    "ensemble": {
        "data": {"target": "Survived", "template": "key_value"},
        "model": {"architecture": "bert"},
        "ensemble": {"num_models": 2, "diversity_strategy": "heads"},
    },
    "regression": {
        "data": {"target": "Price", "template": "sentence", "numeric_features": ["Age", "Boarded"]},
        "model": {"architecture": "neobert"},
        "head": {"uncertainty_estimation": True},
    },
    "ordinal": {
        "data": {"target": "Comfort", "task": "ordinal", "class_order": ["poor", "fair", "good"]},
    },
    "multilabel": {
        "data": {"target": "Tags", "task": "multilabel", "template": "key_value"},
        "head": {"adaptive_threshold": True, "pos_weight": "balanced"},
        "augmentation": {"templates": ["natural"]},
    },
}  # fmt: skip

# A run that breaks after step 6, with its last resumable checkpoint after step 4.
BROKEN_RUN = """
import sys
import bert_playground.training.build as assemble
from bert_playground.cli.app import app
from tests.compatibility.answers import describe_computer
from bert_playground.training.core import Callback

class Break(Callback):
    def on_step_end(self, state):
        if state.step == 6:
            raise RuntimeError("power cut")

make_callbacks = assemble._make_callbacks
assemble._make_callbacks = lambda *a: [*make_callbacks(*a), Break()]
app(["train", "--config", sys.argv[1], "--output", sys.argv[2]])
"""


def write_table(folder: Path) -> None:
    """A made-up table with numbers, categories, text, dates, and a target of each kind."""
    random = np.random.default_rng(0)
    places, moods = ["Cork", "Le Havre", "Southampton"], ["calm", "loud", "merry", "ill"]
    train: list[str] = []
    test: list[str] = []
    for number in range(1, 61):
        sex = random.choice(["male", "female"])
        age = "" if random.random() < 0.2 else f"{random.uniform(1, 70):.1f}"
        fare = random.uniform(5, 90)
        mood, other = random.choice(moods, 2, replace=False)
        cells = [
            number, sex, age, random.choice(places), f"T{number // 2}", f"{fare:.2f}",
            f"1912-{random.integers(1, 13):02d}-{random.integers(1, 29):02d}",
            f"A {mood} passenger of {sex} voice number {number} who was {other} at sea",
        ]  # fmt: skip
        survived = int((sex == "female") != (random.random() < 0.1))
        comfort = ["poor", "fair", "good"][int(fare // 31)]
        tags = ";".join(sorted({mood} | ({"rich"} if fare > 50 else set())))
        row = ",".join(map(str, cells))
        (train if number <= 48 else test).append(row)
        if number <= 48:
            train[-1] += f",{survived},{comfort},{2 * fare + survived:.2f},{tags}"
    head = "PassengerId,Sex,Age,Port,Ticket,Fare,Boarded,Note"
    folder.mkdir()
    (folder / "train.csv").write_text("\n".join([",".join([head, *TARGETS]), *train]) + "\n")
    (folder / "test.csv").write_text("\n".join([head, *test]) + "\n")


def write_config(case: str) -> str:
    """The YAML of a case, beside it; gives its name."""
    own = CASES[case]
    config = {name: TINY.get(name, {}) | own.get(name, {}) for name in TINY | own}
    others = sorted(set(TARGETS) - {config["data"]["target"]})
    config["data"] = config["data"] | {"drop_columns": others}
    Path(f"{case}.yaml").write_text(yaml.safe_dump(config))
    return f"{case}.yaml"


def invoke(*arguments: object) -> None:
    """Run a command of bert in this process."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output


def take_run(output: str, name: str) -> Path:
    """The run folder under `output`, moved to `name`."""
    (run,) = Path(output).glob("run_*")
    run.rename(name)
    Path(output).rmdir()
    return Path(name)


def make_pretrained() -> None:
    """A folder of `bert pretrain`."""
    pretrain = [
        "--train", "table/train.csv", "--target", "Survived",
        "--epochs", 1, "--batch-size", 16, "--output", "out",
    ]  # fmt: skip
    config = {"model": TINY["model"], "data": {"max_length": 48}}
    Path("pretrained.yaml").write_text(yaml.safe_dump(config))
    invoke("pretrain", "--config", "pretrained.yaml", *pretrain)
    run = take_run("out", "whole")
    (run / "checkpoints/best").rename("pretrained")
    shutil.rmtree(run)


def make_checkpoint(case: str) -> None:
    """The best checkpoint of a finished run."""
    invoke("train", "--config", write_config(case), "--output", "out")
    run = take_run("out", "whole")
    (run / "checkpoints/best").rename(case)
    shutil.rmtree(run)


def make_ensemble() -> None:
    """The folder of an ensemble, with the best checkpoint of each member."""
    invoke("train", "--config", write_config("ensemble"), "--output", "out")
    run = take_run("out", "ensemble")
    for path in run.rglob("metrics.jsonl"):
        path.unlink()


def make_broken_run() -> None:
    """A run folder with one resumable checkpoint."""
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_RUN, write_config("run"), "out"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "power cut" in done.stderr, done.stderr
    take_run("out", "run")


def forget_the_machine() -> None:
    """What tells of the machine goes, and paths become relative to the fixture."""
    here = str(Path.cwd())
    for path in Path().rglob("environment.json"):
        environment = json.loads(path.read_text()) | {
            "platform": "Linux-x86_64",
            "command": ["bert"],
        }
        path.write_text(json.dumps(environment, indent=2) + "\n")
    for path in Path().rglob("*.json"):
        path.write_text(path.read_text().replace(f"{here}/", ""))


def main() -> None:
    """Make the fixture anew."""
    shutil.rmtree(FIXTURE, ignore_errors=True)
    FIXTURE.mkdir(parents=True)
    os.chdir(FIXTURE)
    write_table(Path("table"))
    make_pretrained()
    for case in ("adapter", "regression", "ordinal", "multilabel"):
        make_checkpoint(case)
    make_ensemble()
    make_broken_run()
    forget_the_machine()
    for path in (*Path().glob("*.yaml"), *Path().rglob("*.png"), *Path().rglob("*.log")):
        if path.name != "adapter.yaml":  # which continues from the pretrained folder once more
            path.unlink()
    Path("expected").mkdir()
    Path("expected/made_with.json").write_text(json.dumps(describe_computer()) + "\n")
    for name, environment in KERNELS.items():
        copy = FIXTURE.with_name("copy")
        shutil.copytree(FIXTURE, copy)
        done = subprocess.run(
            [sys.executable, str(ANSWERS)],
            cwd=copy, env=os.environ | environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        shutil.rmtree(copy)
        assert done.returncode == 0, done.stderr
        Path(f"expected/{name}.json").write_text(done.stdout)


if __name__ == "__main__":
    main()
