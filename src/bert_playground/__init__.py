"""BERT encoders on MLX, fine-tuned on tables; importing this loads nothing heavy."""

from typing import Any

__all__ = ["BertClassifier", "BertEmbedder", "BertRegressor", "__version__"]


def __getattr__(name: str) -> Any:
    """What is heavy is loaded when somebody asks for it; the version alone costs a tenth of what `bert --help` takes."""
    if name == "__version__":
        from importlib.metadata import version

        return version("bert-playground")
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("bert_playground.estimators"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The names that can be asked for, for completion in notebooks."""
    return sorted(__all__)
