"""How fast a table becomes batches: read, write as text, tokenise, batch; without any cache."""

import itertools
import time
from pathlib import Path
from typing import Any

import mlx.core as mx

from bert_playground import kernels
from bert_playground.bench.timing import Timing
from bert_playground.data.core.table import read_table
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.row_text import RowText
from bert_playground.training.environment import describe_environment

STAGES = ("read", "write_text", "tokenize", "batch")


def run_loading_benchmark(
    table: Path, text: RowText, *, batch_size: int = 32, steps: int = 10
) -> dict[str, Any]:
    """Time the way from a file to evaluated batches.

    Args:
        table: see `read_table`.
        text: how its rows become tokens, fitted beforehand.
        batch_size: rows of a batch.
        steps: timed repetitions, after one that is not.

    Returns:
        A JSON-ready document. `rows_per_second` is from the median of whole passes, `stages` are median seconds.
    """
    num_rows = read_table(table).height
    _load_once(table, text, batch_size)
    passes = [_load_once(table, text, batch_size) for _ in range(steps)]
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
        "environment": describe_environment(),
    }


def _load_once(table: Path, text: RowText, batch_size: int) -> tuple[list[float], int]:
    """Seconds of each stage, and the number of tokens."""
    times = [time.perf_counter()]
    frame = read_table(table)
    times.append(time.perf_counter())
    cells = text.cells(frame)
    times.append(time.perf_counter())
    tokens = text.tokenizer.encode_rows(cells, text.max_length)
    times.append(time.perf_counter())
    loader = MLXLoader(
        tokens,
        batch_size=batch_size,
        shuffle=True,
        layout="packed" if kernels.is_native() else "padded",
        pad_token_id=text.pad_token_id,
    )
    for batch in loader.iterate():
        mx.eval(batch.tokens.input_ids)
    times.append(time.perf_counter())
    return [end - start for start, end in itertools.pairwise(times)], len(tokens.ids)
