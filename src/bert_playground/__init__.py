"""BERT encoders on MLX, fine-tuned on tables; importing this loads nothing heavy."""

from importlib.metadata import version

__version__ = version("bert-playground")
