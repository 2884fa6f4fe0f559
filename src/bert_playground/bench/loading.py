"""How fast a table becomes batches: read, write as text, tokenise, batch; without any cache."""

import itertools
import time
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx

from bert_playground import kernels
from bert_playground.bench.timing import Timing
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.reading.table import read_table
from bert_playground.data.templates.row_text import RowText
from bert_playground.data.templates.text_pair import encode_pair
from bert_playground.data.tokens.tokenizer import without_remarks
from bert_playground.environment import describe_environment

STAGES = ("read", "write_text", "tokenize", "batch")
WARM_UP_SECONDS = 0.5
MIN_SECONDS, MAX_PASSES = (
    2.0,
    500,
)  # a small table is read again and again, until its median is steady
COUNTED = (
    "whole passes from opening the file to evaluated batches, no text and no ids kept between them, all stages one "
    "after the other; not counted: imports, starting threads, and fitting columns, template and vocabulary"
)


def run_loading_benchmark(
    table: Path, text: RowText, *, batch_size: int = 32, steps: int = 10
) -> dict[str, Any]:
    """Time the way from a file to evaluated batches.

    Args:
        table: see `read_table`.
        text: how its rows become tokens, fitted beforehand.
        batch_size: rows of a batch.
        steps: least number of timed passes, after some that are not; there are more until they have taken 2 seconds.

    Returns:
        A JSON-ready document. `rows_per_second` is from the median of whole passes, `stages` are median seconds.
    """
    num_rows = read_table(table).height
    _load_once(table, text, batch_size)  # says what it leaves out, once
    with without_remarks():
        _repeat_pass(table, text, batch_size, at_least=1, seconds=WARM_UP_SECONDS)
        passes = _repeat_pass(table, text, batch_size, at_least=steps, seconds=MIN_SECONDS)
    whole = Timing(tuple(sum(stages) for stages, _ in passes))
    stages = [Timing(tuple(stages[i] for stages, _ in passes)) for i in range(len(STAGES))]
    return {
        "rows": num_rows,
        "tokens": passes[0][1],
        "rows_per_second": num_rows / whole.median,
        "rows_per_second_best": num_rows / whole.best,
        "tokens_per_second": passes[0][1] / whole.median,
        "pass": whole.to_dict(),
        "stages": {name: timing.median for name, timing in zip(STAGES, stages, strict=True)},
        "template": text.template,
        "tokenizer": text.tokenizer_name,
        "batch_size": batch_size,
        "layout": _layout(),
        "counted": COUNTED,
        "environment": describe_environment(),
    }


def _repeat_pass(
    table: Path, text: RowText, batch_size: int, *, at_least: int, seconds: float
) -> list[tuple[list[float], int]]:
    """Passes until so many have been made and they have taken so long."""
    passes: list[tuple[list[float], int]] = []
    started = time.perf_counter()
    while len(passes) < at_least or (
        len(passes) < MAX_PASSES and time.perf_counter() - started < seconds
    ):
        passes.append(_load_once(table, text, batch_size))
    return passes


def _layout() -> Literal["packed", "padded"]:
    return "packed" if kernels.is_native() else "padded"


def _load_once(table: Path, text: RowText, batch_size: int) -> tuple[list[float], int]:
    """Seconds of each stage, and the number of tokens."""
    times = [time.perf_counter()]
    frame = read_table(table)
    times.append(time.perf_counter())
    cells = text.cells(frame)
    times.append(time.perf_counter())
    if text.form.is_pair:
        tokens = encode_pair(text.tokenizer, cells, text.max_length)
    else:
        tokens = text.tokenizer.encode_rows(cells, text.max_length, separated=text.form.separated)
    times.append(time.perf_counter())
    loader = MLXLoader(
        tokens,
        batch_size=batch_size,
        shuffle=True,
        layout=_layout(),
        pad_token_id=text.pad_token_id,
        prefetch_size=0,  # nobody computes anything meanwhile, so a thread of its own would only cost
    )
    for batch in loader.iterate():
        mx.eval(batch)
    times.append(time.perf_counter())
    return [end - start for start, end in itertools.pairwise(times)], len(tokens.ids)
