"""What both sides of a comparison share: sizes, token counts, the worker's conversation. Standard library and numpy only."""

import json
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

# vocabulary, width, layers, heads, feed-forward width; ModernBERT's Wi is twice that wide
SIZES = {
    "bert-base": (30522, 768, 12, 12, 3072),
    "minilm": (30522, 384, 6, 12, 1536),
    "modernbert-base": (50368, 768, 22, 12, 1152),
}


def row_lengths(case: dict) -> np.ndarray:
    """Tokens of each row, [B]: all equal, or like the sentences of Titanic rows (30 to 64, mean about 45)."""
    if case["lengths"] == "titanic":
        drawn = np.random.default_rng(0).normal(45, 7, case["batch"])
        return np.clip(drawn.round(), 30, 64).astype(np.int64)
    return np.full(case["batch"], case["length"])


def make_rows(case: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Padded ids [B, T], mask [B, T] and binary labels [B]; T is the longest row."""
    lengths = row_lengths(case)
    generator = np.random.default_rng(1)
    mask = np.arange(lengths.max())[None, :] < lengths[:, None]
    vocabulary = SIZES[case["model"]][0]
    ids = np.where(mask, generator.integers(1000, vocabulary - 100, mask.shape), 0)
    return ids, mask.astype(np.int64), generator.integers(0, 2, len(lengths))


def peak_memory_bytes() -> int:
    """The most resident memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(step: Callable[[], object], versions: dict[str, str]) -> None:
    """Answer "go" with the seconds of one evaluated step and "facts" with the peak memory, until input ends."""
    print(json.dumps({"worker": "ready", "versions": versions}), flush=True)
    for line in sys.stdin:
        if line.strip() == "go":
            start = time.perf_counter()
            step()
            answer = {"worker": "time", "seconds": time.perf_counter() - start}
        else:
            answer = {"worker": "facts", "peak_memory_bytes": peak_memory_bytes()}
        print(json.dumps(answer), flush=True)
