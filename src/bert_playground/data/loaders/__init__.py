"""Batches of tokenised tables."""

from .mlx_loader import MLXLoader as MLXLoader
