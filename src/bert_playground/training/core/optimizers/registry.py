"""OPTIMIZERS: name → class; optimizer_options: what each can be told."""

import inspect
from collections.abc import Callable
from typing import Any

from bert_playground.training.core.optimizer import Optimizer
from bert_playground.training.core.optimizers.adafactor import Adafactor
from bert_playground.training.core.optimizers.adam import Adam, AdamW
from bert_playground.training.core.optimizers.lion import Lion
from bert_playground.training.core.optimizers.muon import Muon
from bert_playground.training.core.optimizers.sgd import SGD

# The fields of each class are its settings; optimizer.* of the same name reaches them.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": AdamW,
    "adam": Adam,
    "sgd": SGD,
    "lion": Lion,
    "adafactor": Adafactor,
    "muon": Muon,
}


def optimizer_options(optimizer: Callable[..., Optimizer]) -> dict[str, Any]:
    """The settings that an entry of OPTIMIZERS has, with their defaults."""
    parameters = inspect.signature(optimizer).parameters
    return {name: parameter.default for name, parameter in parameters.items()}
