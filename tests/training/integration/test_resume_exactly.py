"""A run killed with SIGKILL and resumed ends with the weights, bit for bit, of one that was not."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from bert_playground.config.schema import RunConfig
from bert_playground.runs import RunDir
from bert_playground.training import build, run_training
from bert_playground.training.core import Callback, TrainState
from bert_playground.training.core.resume import ARRAYS_NAME

SETTINGS = {
    "training.gradient_accumulation_steps": 2,
    "training.batch_size": 8,
    "checkpoint.save_steps": 4,
    "training.epochs": 3,
    "optimizer.learning_rate": 2e-3,
}
TIMES = {"seconds", "rows_per_second", "tokens_per_second"}

# A process that trains as the configuration on its command line says, and kills itself at a given moment.
VICTIM = """
import json, os, signal, sys
import bert_playground.training.build as story
from bert_playground.training import run_training
from bert_playground.config.schema import RunConfig
from bert_playground.training.core import Callback

config, moment, step = RunConfig.model_validate(json.loads(sys.argv[1])), sys.argv[2], int(sys.argv[3])

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class DieAfterStep(Callback):
    def on_step_end(self, state):
        if state.step == step:
            die()

make_callbacks, save_model = story._make_callbacks, story.save_model

def die_while_saving(model, folder, labels):
    save_model(model, folder, labels)
    if len(list(folder.parent.glob("step_*"))) == step:
        die()

if moment == "first":
    story._make_callbacks = lambda *a: [DieAfterStep(), *make_callbacks(*a)]
elif moment == "last":
    story._make_callbacks = lambda *a: [*make_callbacks(*a), DieAfterStep()]
else:
    story.save_model = die_while_saving
run_training(config)
"""


def kill(config: RunConfig, moment: str, step: int) -> RunDir:
    """Train in a process of its own that dies; gives what is left of the run."""
    arguments = [json.dumps(config.model_dump(mode="json")), moment, str(step)]
    victim = subprocess.run(
        [sys.executable, "-c", VICTIM, *arguments], capture_output=True, text=True, timeout=120
    )
    assert victim.returncode == -signal.SIGKILL, victim.stderr
    (run,) = (config.training.output_dir).iterdir()
    return RunDir(run)


def outcome(run: RunDir) -> dict[str, object]:
    """All that must be equal: weights, moments and metrics; not what a clock measured."""
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return {
        "final": (run.final / "model.safetensors").read_bytes(),
        "best": (run.best / "model.safetensors").read_bytes(),
        "moments": {
            name: array.tobytes()
            for name, array in load_file(run.resumable()[-1] / ARRAYS_NAME).items()
        },
        "metrics": [
            {key: value for key, value in line.items() if key not in TIMES} for line in lines
        ],
    }


def assert_same_after_kill(
    make_config, train_once, tmp_path: Path, moment: str, step: int, **more: object
) -> None:
    settings = {**SETTINGS, **more}
    whole = train_once(**settings)
    config = make_config(**settings, **{"training.output_dir": tmp_path / "killed"})
    run = kill(config, moment, step)
    run_training(config, resume=run.path)
    expected, found = outcome(whole.run_dir), outcome(run)
    assert found["metrics"] == expected["metrics"]
    for part in ("final", "best", "moments"):
        assert found[part] == expected[part], part
    assert list(run.checkpoints.glob(".*")) == []


@pytest.mark.parametrize(
    ("moment", "step"),
    [
        pytest.param("first", 7, id="inside an epoch"),
        pytest.param("first", 2, id="before its first checkpoint"),
        pytest.param("saving", 2, id="while a checkpoint is written"),
        pytest.param("last", 12, id="at the last step of an epoch", marks=pytest.mark.slow),
    ],
)
@pytest.mark.quick_for("inside an epoch")
def test_a_killed_run_continues_exactly(
    make_config, train_once, tmp_path: Path, moment: str, step: int
) -> None:
    assert_same_after_kill(make_config, train_once, tmp_path, moment, step)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_a_run_killed_at_a_random_step_continues_exactly(
    make_config, train_once, tmp_path: Path, number: int
) -> None:
    dice = random.Random(number)
    step = dice.randint(5, 18)
    assert_same_after_kill(make_config, train_once, tmp_path, dice.choice(["first", "last"]), step)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"lora.enabled": True, "training.ema_decay": 0.9}, id="adapters, average"),
        pytest.param(
            {"optimizer.layer_decay": 0.8, "training.swa_start": 0.3, "training.mixup": 0.4},
            id="rates by layer, swa, mixup",
        ),
        pytest.param(
            {"training.gradual_unfreezing": True, "training.adversarial": "fgm"},
            id="gradual unfreezing, fgm",
        ),
    ],
)
def test_a_killed_run_with_muon_continues_exactly(
    make_config, train_once, tmp_path: Path, more: dict[str, object]
) -> None:
    more = {"optimizer.type": "muon", **more}
    assert_same_after_kill(make_config, train_once, tmp_path, "first", 9, **more)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"lora.enabled": True, "lora.preset": "efficient"}, id="adapters"),
        pytest.param(
            {"training.gradient_checkpointing": True, "training.precision": "bf16"},
            id="gradient checkpointing in bf16",
        ),
        pytest.param({"checkpoint.save_minutes": 1e-9}, id="checkpoints by time"),
    ],
)
@pytest.mark.medium
def test_a_run_that_failed_continues_exactly(
    make_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]
) -> None:
    settings = {**SETTINGS, **settings}
    whole = run_training(make_config(**settings, **{"training.output_dir": tmp_path / "whole"}))
    config = make_config(**settings, **{"training.output_dir": tmp_path / "failed"})
    run = fail(config, monkeypatch)
    resumed = run_training(config, resume=run.path)
    assert outcome(resumed.run_dir) == outcome(whole.run_dir)


@pytest.mark.medium
def test_the_best_only_mode_keeps_one_checkpoint_to_go_on_from_until_its_end(
    make_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SETTINGS, "checkpoint.save_best_only": True, "checkpoint.save_minutes": 1e-9}
    whole = run_training(make_config(**settings, **{"training.output_dir": tmp_path / "whole"}))
    config = make_config(**settings, **{"training.output_dir": tmp_path / "failed"})
    run = fail(config, monkeypatch)
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["best", "step_000010"]
    run_training(config, resume=run.path)
    for each in (run, whole.run_dir):
        assert [path.name for path in each.checkpoints.iterdir()] == ["best"]
    ours, theirs = (each.best / "model.safetensors" for each in (run, whole.run_dir))
    assert ours.read_bytes() == theirs.read_bytes()


def fail(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """Train until an error after step 10; gives what is left."""

    class Fail(Callback):
        def on_step_end(self, state: TrainState) -> None:
            if state.step == 10:
                raise RuntimeError("as a broken kernel would")

    with monkeypatch.context() as patch:
        make_callbacks = build._make_callbacks
        patch.setattr(build, "_make_callbacks", lambda *a: [*make_callbacks(*a), Fail()])
        with pytest.raises(RuntimeError, match="broken kernel"):
            run_training(config)
    (folder,) = config.training.output_dir.iterdir()
    return RunDir(folder)
