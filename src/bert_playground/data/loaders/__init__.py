"""Batches of tokenised tables."""

from .memory import MemoryLoader as MemoryLoader
from .mlx_loader import MLXLoader as MLXLoader
from .streaming import StreamingLoader as StreamingLoader
