"""Saving and loading everything that the next step depends on."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.training.core.resume import find_resumable, load_resumable, save_resumable
from bert_playground.training.core.state import TrainState


def test_a_round_trip_restores_arrays_state_and_random_numbers(tmp_path: Path) -> None:
    parameters = {"layers": [{"weight": mx.random.normal((3, 2))}, {"weight": mx.zeros(4)}]}
    moments = {
        name: {"layers": [{"weight": mx.random.normal((3, 2))}, {"weight": mx.ones(4)}]}
        for name in "mv"
    }
    state = TrainState(step=7, epoch=1, batch=3, history=[{"kind": "train", "loss": 0.1 + 0.2}])
    mx.random.seed(3)
    np.random.seed(3)
    save_resumable(tmp_path, state, parameters, moments)
    expected = (mx.random.normal((4,)).tolist(), np.random.random(4).tolist())
    mx.random.seed(99)
    np.random.seed(99)
    loaded_state, loaded_parameters, loaded_moments = load_resumable(tmp_path)
    assert (mx.random.normal((4,)).tolist(), np.random.random(4).tolist()) == expected
    assert loaded_state == state
    assert mx.array_equal(
        loaded_parameters["layers"][0]["weight"], parameters["layers"][0]["weight"]
    )
    assert mx.array_equal(
        loaded_moments["v"]["layers"][0]["weight"], moments["v"]["layers"][0]["weight"]
    )


def test_a_model_alone_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no state\.json"):
        load_resumable(tmp_path)


def test_the_newest_complete_checkpoint_of_a_run_is_found(tmp_path: Path) -> None:
    for step in (90, 100):
        folder = tmp_path / "checkpoints" / f"step_{step:06d}"
        folder.mkdir(parents=True)
        (folder / "state.json").write_text("{}")
    (tmp_path / "checkpoints" / "step_000110").mkdir()
    assert find_resumable(tmp_path).name == "step_000100"
    assert find_resumable(tmp_path / "checkpoints" / "step_000090").name == "step_000090"


def test_a_run_without_checkpoints_says_why(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no run to resume: it has no config"):
        find_resumable(tmp_path)
    member = tmp_path / "members" / "run_1"
    member.mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=f"ensemble.*give the last of them: {member}"):
        find_resumable(tmp_path)
    (tmp_path / "summary.json").touch()
    (tmp_path / "checkpoints" / "best").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"finished.*save_best_only.*--model .*best"):
        find_resumable(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_resumable(tmp_path / "nowhere")
