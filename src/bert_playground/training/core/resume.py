"""Save and load optimizer, random state and position."""

import json
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np
from mlx.utils import tree_unflatten

from bert_playground.documents import Document, check, read_json, schema_of
from bert_playground.files import save_arrays, write_text
from bert_playground.lookup import expand_home, expand_pattern, name_neighbours
from bert_playground.runs import RunDir
from bert_playground.training.core.optimizer import Moments, Tree, flatten
from bert_playground.training.core.state import TrainState

ARRAYS_NAME = "optimizer.safetensors"
STATE_NAME = "state.json"


def save_resumable(folder: Path, state: TrainState, parameters: Tree, moments: Moments) -> None:
    """Write everything that the next step depends on, exactly: `optimizer.safetensors` and `state.json`.

    The trained parameters are among the arrays because `model.safetensors` is written for readers: it may hold merged
    adapters.
    """
    keys, position = _numpy_random_state()
    arrays = flatten({"parameters": parameters, **moments})
    arrays["random.mlx"] = random_key()
    arrays["random.numpy"] = mx.array(keys)
    save_arrays(folder / ARRAYS_NAME, arrays)
    document = {"numpy_random_position": position, "state": state.to_dict()}
    write_text(folder / STATE_NAME, json.dumps(document))


class StateDocument(Document):
    """state.json."""

    numpy_random_position: int
    state: dict[str, Any]


def load_resumable(folder: Path) -> tuple[TrainState, Tree, Moments]:
    """Read what `save_resumable` wrote, and set the random states of MLX and NumPy.

    Raises:
        FileNotFoundError: the folder holds a model but no state to resume from.
    """
    if not (folder / STATE_NAME).is_file() or not (folder / ARRAYS_NAME).is_file():
        raise FileNotFoundError(
            f"{folder} cannot be resumed: it has no {STATE_NAME} and {ARRAYS_NAME}; "
            "give a run folder, or one of its checkpoints/step_* folders"
        )
    document = read_json(folder / STATE_NAME)
    check(StateDocument, document, folder / STATE_NAME)
    check(
        schema_of(TrainState, nullable=False, finite=False),
        document["state"],
        f"{folder / STATE_NAME}, state",
    )
    arrays = mx.load(str(folder / ARRAYS_NAME))
    assert isinstance(arrays, dict)
    set_random_key(arrays.pop("random.mlx"))
    keys = np.array(arrays.pop("random.numpy"), dtype=np.uint32)
    np.random.set_state(("MT19937", keys, document["numpy_random_position"], 0, 0.0))
    trees: dict[str, Any] = dict(tree_unflatten(list(arrays.items())))
    mx.eval(trees, mx.random.state)  # loading is lazy, and the file may be deleted soon
    parameters = trees.pop("parameters")
    return TrainState.from_dict(document["state"]), parameters, trees


def random_key() -> mx.array:
    """The random state of MLX."""
    key: mx.array = cast("Any", mx.random.state)[0]
    return key


def set_random_key(key: mx.array) -> None:
    """Set the random state of MLX.

    It can be set through a seed only, and the key of a seed is its two 32-bit halves.
    """
    high, low = np.array(key)
    mx.random.seed((int(high) << 32) | int(low))


def find_resumable(path: Path) -> Path:
    """The checkpoint to resume from: `path` itself, or the newest `step_*` of a run folder.

    A pattern, such as `output/run_*`, means the last of the runs that can be resumed.

    Raises:
        FileNotFoundError: there is none; says what the folder holds instead.
    """
    path = expand_home(path)
    for each in reversed(expand_pattern(path)):
        if (each / STATE_NAME).is_file():
            return each
        run = RunDir(each.parent if each.name == "checkpoints" else each)
        complete = [folder for folder in run.resumable() if (folder / STATE_NAME).is_file()]
        if complete:
            return complete[-1]
    if not expand_pattern(path):
        raise FileNotFoundError(
            f"no run to resume at {path}: the folder does not exist{name_neighbours(path)}"
        )
    raise FileNotFoundError(_why_not_resumable(path, RunDir(expand_pattern(path)[-1])))


def _why_not_resumable(path: Path, run: RunDir) -> str:
    if run.members() and not run.summary.is_file():
        return f"{path} is an ensemble, whose members go on one by one; give the last of them: {run.members()[-1].path}"
    if run.summary.is_file():
        kept = "" if run.kept is None else f", or one from its weights: --model {run.kept}"
        return (
            f"{path} is finished, and has no checkpoints/step_* to go on from, as with checkpoint.save_best_only; start a "
            f"new run{kept}"
        )
    return f"{path} is no run to resume: it has no {run.config.name} and no checkpoints/step_*; give the folder of a run"


def _numpy_random_state() -> tuple[np.ndarray[Any, np.dtype[np.uint32]], int]:
    _, keys, position, _, _ = np.random.get_state(legacy=True)
    return np.asarray(keys, dtype=np.uint32), int(position)
