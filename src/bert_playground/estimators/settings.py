"""read_settings: the configuration of a run that the parameters of an estimator mean."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sklearn.utils import check_random_state

from bert_playground.config import RunConfig, load_config
from bert_playground.config.flags import model_flags

# Parameter of an estimator → setting; None leaves the setting to `config`, and else to its default.
PARAMETERS = {
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "learning_rate": "optimizer.learning_rate",
    "max_length": "data.max_length",
    "validation_fraction": "data.val_fraction",
    "patience": "training.early_stopping_patience",
    "metric": "training.metric",
    "class_weight": "head.class_weights",
}
# What X and y, or other methods, say instead.
GIVEN_OTHERWISE = {
    "data.train": "the rows are the X of fit",
    "data.val": "give them to fit as eval_set",
    "data.target": "the labels are the y of fit",
    "data.weight_column": "give sample_weight to fit",
    "data.horizon": "windows of series are trained by `bert train`",
    "data.folds": "use cross_val_predict of scikit-learn",
    "data.streaming": "rows in memory are not streamed",
    "ensemble.num_models": "use VotingClassifier or VotingRegressor of scikit-learn",
    "cross_validation.folds": "use cross_val_predict of scikit-learn",
    "checkpoint.enable_checkpointing": "an estimator is its checkpoint",
    "training.seed": "give random_state",
    "training.output_dir": "give output_dir",
}


def read_settings(
    parameters: Mapping[str, Any], output_dir: Path | None
) -> tuple[RunConfig, dict[str, str]]:
    """The configuration of the run, and where each value came from, by the rules of the command line.

    Args:
        parameters: of `get_params`; `config` is a preset, a path, or a dict with the keys of a file.
        output_dir: where the run folder stays; None: it goes after training.

    Raises:
        ValueError: values that are impossible, or that belong elsewhere; all of them are listed.
        FileNotFoundError: there is no such configuration file.
    """
    flags: dict[str, object] = {
        path: parameters[name]
        for name, path in PARAMETERS.items()
        # Weights by class are made weights of rows.
        if parameters.get(name) is not None and not isinstance(parameters[name], Mapping)
    }
    if parameters.get("model") is not None:
        flags |= model_flags(str(parameters["model"]))
    if parameters.get("random_state") is not None:
        flags["training.seed"] = read_seed(parameters["random_state"])
    config, sources = load_config(parameters.get("config"), flags=flags)
    asked = [
        f"{path}: {why}"
        for path, why in GIVEN_OTHERWISE.items()
        if sources[path] not in ("default", "flag") and not sources[path].startswith("preset")
    ]
    if asked:
        raise ValueError(f"config says what an estimator is told otherwise: {'; '.join(asked)}")
    changes: dict[str, dict[str, Any]] = {"data": {"train": None, "val": None, "target": None}}
    if output_dir is not None:
        changes["training"] = {"output_dir": output_dir}
    return config.with_changes(changes), sources


def keep_best_only(output_dir: Path) -> dict[str, dict[str, Any]]:
    """Section → setting → value of a run whose folder goes when its best checkpoint was copied."""
    return {
        "training": {"output_dir": output_dir, "report": False},
        "checkpoint": {"save_best_only": True},
    }


def read_seed(random_state: Any) -> int:
    """An integer as it is; of a generator its next number."""
    if isinstance(random_state, int):
        return random_state
    return int(check_random_state(random_state).randint(2**31 - 1))
