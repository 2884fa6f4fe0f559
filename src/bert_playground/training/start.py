"""start_run, write_run_config, is_former_run: what every run does and writes down first."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from bert_playground.config.schema import RunConfig
from bert_playground.environment import describe_environment
from bert_playground.files import write_text
from bert_playground.run_record import read_settings
from bert_playground.runs import RunDir
from bert_playground.training.callbacks.own_callbacks import check_own_callbacks


def start_run(run: RunDir, config: RunConfig) -> None:
    """Seeds, and the record of what the run is computed with."""
    check_own_callbacks(config.training.callbacks, config.training.callbacks_dir)
    seed_everything(config.training.seed)
    write_json(run.environment, {"seed": config.training.seed, **describe_environment()})


def seed_everything(seed: int) -> None:
    """Begin the random states of MLX and NumPy, which are all that a run draws from."""
    mx.random.seed(seed)
    np.random.seed(seed)


def write_run_config(
    run: RunDir,
    config: RunConfig,
    sources: Mapping[str, str] | None,
    command: str | None = None,
    num_ranks: int = 1,
) -> None:
    """The resolved configuration, where each value came from, the command of `bert` that began the run, and its ranks."""
    began: dict[str, Any] = {} if command is None else {"command": command}
    if num_ranks > 1:
        began["ranks"] = num_ranks
    values = config.model_dump(mode="json")
    write_json(run.config, {**began, "values": values, "sources": dict(sources or {})})


def read_sources(run: RunDir) -> dict[str, str]:
    """Where each value of a run's configuration came from."""
    return read_settings(run).sources


def read_command(run: RunDir) -> str | None:
    """The command of `bert` that began a run; None: another way."""
    settings = read_settings(run)
    return settings.command if "command" in settings.model_fields_set else None


def is_former_run(run: RunDir) -> bool:
    """Whether a run began before weights were averaged: its configuration does not speak of it."""
    return "ema_decay" not in read_settings(run).values.get("training", {})


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write one of the JSON files of a run."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
