"""settings_of_fold: how an encoder is trained on a fold, so that the rows to answer do not choose its epoch."""

from typing import Any

from bert_playground.config.schema import RunConfig
from bert_playground.models.hub_files import fetch_folder

LARGE = 32 * 2**20  # bytes of weights, of which one copy for each epoch would fill a disk


def settings_of_fold(config: RunConfig, seconds: float | None) -> RunConfig:
    """The configuration of an encoder on one fold.

    A small encoder is kept after each epoch, and the other folds choose among them (`choose_epochs`). A large checkpoint is
    trained to the end of its few epochs, whose rate has then fallen to zero, and nothing is chosen.

    Args:
        config: of the member.
        seconds: that training may take; None: no limit.
    """
    is_large = config.model.pretrained is not None and _weigh(config.model.pretrained) > LARGE
    patience = config.training.early_stopping_patience
    changes: dict[str, dict[str, Any]] = {
        "checkpoint": {
            "keep_epochs": not is_large,
            "save_best_model": False,
            "save_best_only": False,
            "save_steps": None,
            "keep_last": 1,
        },
        "training": {
            "refit": False,
            "max_time": _less(config.training.max_time, seconds),
            "early_stopping_patience": 0 if is_large and patience is None else patience,
        },
    }
    return config.with_changes(changes)


def _less(first: float | None, second: float | None) -> float | None:
    known = [seconds for seconds in (first, second) if seconds is not None]
    return max(min(known), 1.0) if known else None


def _weigh(checkpoint: str) -> int:
    """Bytes of the weights of a checkpoint."""
    folder = fetch_folder(checkpoint)
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
