"""BERT encoders on MLX, fine-tuned on tables; importing this loads nothing heavy."""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """Look the version up when somebody asks: it costs a tenth of what `bert --help` takes."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("bert-playground")
