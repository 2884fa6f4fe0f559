"""settle_batch_size: the number that training.batch_size auto means here, from the memory that steps take."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
import numpy as np

from bert_playground.config.schema import RunConfig
from bert_playground.data.loaders import MLXLoader
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import Prepared
from bert_playground.logger import logger
from bert_playground.lookup import count_of
from bert_playground.memory import available_memory_bytes
from bert_playground.runs import RunDir
from bert_playground.training.fit_data import make_loaders
from bert_playground.training.start import read_command, read_sources, write_run_config
from bert_playground.training.trial_steps import make_trial

# Of the memory that is free: other programs, validation and the fragments of the allocator want the rest.
SHARE = {"cpu": 0.5, "gpu": 0.8}
FEWEST_STEPS = 8  # of an epoch: larger batches would leave too few
LARGEST = 1024  # rows; beyond that a batch only takes steps away


@dataclass(frozen=True)
class BatchSize:
    """A choice and its reason.

    Attributes:
        rows: of a batch.
        peak_bytes: that a step of them took.
        reason: why not twice as many.
    """

    rows: int
    peak_bytes: int
    reason: str


def settle_batch_size(
    config: RunConfig, prepared: Prepared, pipeline: TextPipeline, run: RunDir
) -> RunConfig:
    """The configuration with a number where `training.batch_size` is auto, which the run folder then records.

    Steps are taken on a model of their own, on the longest rows of the table, so the run that follows is to the last bit
    the one that the number asks for.

    Raises:
        ValueError: the table is streamed, or not even one row fits.
    """
    if config.training.batch_size != "auto":
        return config
    if prepared.stream is not None:
        raise ValueError(
            "training.batch_size auto measures steps on the longest rows, which a streamed table does not tell; give a "
            "number, such as --batch-size 32"
        )
    with _kept_random_state():
        chosen = _measure(config, prepared, pipeline)
    logger.info(
        f"batch size: {count_of(chosen.rows, 'row')}, a step takes {_spell(chosen.peak_bytes)}; {chosen.reason}"
    )
    config = config.with_changes({"training": {"batch_size": chosen.rows}})
    write_run_config(run, config, read_sources(run), read_command(run))
    return config


def _measure(config: RunConfig, prepared: Prepared, pipeline: TextPipeline) -> BatchSize:
    trial = config.with_changes({"training": {"batch_size": 1}})
    loader, _ = make_loaders(pipeline, prepared, trial)
    assert isinstance(loader, MLXLoader)
    assert loader.labels is not None
    take_step = make_trial(trial, pipeline, loader.labels)
    longest = np.argsort(-loader.table.lengths, kind="stable")

    def peak_of(rows: int) -> int:
        batch = loader.make_batch(longest[:rows])
        mx.eval(batch)
        mx.clear_cache()
        mx.reset_peak_memory()
        take_step([batch] * min(2, config.training.gradient_accumulation_steps), 1e-6)
        return mx.get_peak_memory()

    kind = "cpu" if mx.default_device() == mx.cpu else "gpu"
    return choose_batch_size(
        peak_of, round(SHARE[kind] * available_memory_bytes()), loader.table.num_rows
    )


def choose_batch_size(peak_of: Callable[[int], int], most_bytes: int, num_rows: int) -> BatchSize:
    """The largest power of two whose step fits, of which an epoch has at least FEWEST_STEPS batches.

    Args:
        peak_of: rows of a batch → bytes at the peak of a step. Sizes are tried from 1 on, and one that would exceed
            the limit by the growth so far is not tried.
        most_bytes: that a step may take.
        num_rows: of the table.

    Raises:
        ValueError: not even one row fits.
    """
    most_rows = 2 ** int(math.log2(max(1, min(num_rows // FEWEST_STEPS, LARGEST))))
    fits: dict[int, int] = {}
    rows = 1
    while rows <= most_rows:
        peak = _foresee(fits, rows)
        if peak <= most_bytes:
            peak = peak_of(rows)
        if peak > most_bytes:
            if not fits:
                raise ValueError(
                    f"a step on one row takes {_spell(peak)}, more than the {_spell(most_bytes)} that it may; take a "
                    "smaller model, or lower --max-length"
                )
            largest = rows // 2
            reason = f"twice as many would take more than the {_spell(most_bytes)} that a step may"
            return BatchSize(largest, fits[largest], reason)
        fits[rows], rows = peak, 2 * rows
    largest = rows // 2
    what = (
        f"{num_rows // largest} batches of {count_of(num_rows, 'row')}"
        if largest < LARGEST
        else "the most that auto takes"
    )
    return BatchSize(
        largest, fits[largest], f"{_spell(most_bytes)} would allow more, but these are {what}"
    )


def _foresee(fits: dict[int, int], rows: int) -> int:
    """Bytes of a step, along the line through the last two sizes; 0 while there are fewer."""
    if rows // 4 not in fits:
        return 0
    last, before = fits[rows // 2], fits[rows // 4]
    return last + 2 * max(0, last - before)


def _spell(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"


@contextmanager
def _kept_random_state() -> Iterator[None]:
    """Leave the random states of MLX and NumPy as they were."""
    high, low = np.array(cast("Any", mx.random.state)[0])
    of_numpy = np.random.get_state()
    try:
        yield
    finally:
        mx.random.seed((int(high) << 32) | int(low))
        np.random.set_state(of_numpy)
