"""Batches of tokenised tables."""

from .memory_loader import MemoryLoader as MemoryLoader
from .mlx_loader import MLXLoader as MLXLoader
from .streaming import StreamingLoader as StreamingLoader
