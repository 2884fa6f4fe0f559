"""answer_rows_jointly: the rows of several small requests, read, computed and described together."""

from collections.abc import Sequence
from concurrent.futures import Future
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.drift.finding import Finding
from bert_playground.data.drift.screening import screen_tables
from bert_playground.serving.engine import Engine, stages_of
from bert_playground.serving.json_rows import Cells, frame_of_cells
from bert_playground.serving.parts import pipeline_of
from bert_playground.serving.served_model import ServedModel, describe_answers


class RowsAsked(NamedTuple):
    """What one request asks.

    Attributes:
        cells: columns of text, of at least one row.
        num_rows: of each.
        with_drift: whether to say how the rows differ from training.
        began: when it came, by `time.perf_counter`.
    """

    cells: Cells
    num_rows: int
    with_drift: bool
    began: float


class RowsAnswered(NamedTuple):
    """What one request gets.

    Attributes:
        answers: see `describe_answers`.
        findings: how its rows differ from training; empty where nobody asks.
        stages: see `stages_of`.
    """

    answers: list[dict[str, Any]]
    findings: list[Finding]
    stages: dict[str, float]


def answer_rows_jointly(
    engine: Engine, served: ServedModel, asked: Sequence[RowsAsked], wanted: Future[None]
) -> list[RowsAnswered]:
    """What each request would get alone, bit for bit; blocks, so it wants a thread.

    Args:
        engine: computes.
        served: a model whose rows stand alone, not series of them.
        asked: the requests.
        wanted: is cancelled when nobody waits any more.

    Raises:
        RequestError: the models fail, or it takes too long.
    """
    ends = np.cumsum([0, *(each.num_rows for each in asked)]).tolist()
    frames, findings = _read(served, asked, ends)
    futures = [
        engine.reader.read_here(leaf, frame)
        for leaf, frame in zip(served.parts.leaves, frames, strict=True)
    ]
    scores, computed = engine.wait_for(served, futures, wanted)
    answers = describe_answers(served, scores)
    return [
        RowsAnswered(answers[start:end], found, stages_of(computed, each.began))
        for each, found, (start, end) in zip(asked, findings, pairwise(ends), strict=True)
    ]


def _read(
    served: ServedModel, asked: Sequence[RowsAsked], ends: list[int]
) -> tuple[list[pl.DataFrame], list[list[Finding]]]:
    """The rows of all for each leaf, and what is found in each request.

    Other spellings are repaired by all rows of a request, so that requests with cells that may be rewritten are read alone.
    """
    whole = frame_of_cells(
        {
            name: list(chain.from_iterable(each.cells[name] for each in asked))
            for name in served.needed
        }
    )
    may_change = _of_each(whole, served.may_rewrite, ends)
    has_drift = any(each.with_drift for each in asked)
    is_odd = _of_each(whole, served.is_odd, ends) if has_drift else may_change
    may_differ = [has_drift] * len(asked)
    if has_drift and served.checks_all:
        screened = screen_tables(served.pipeline.profiles, whole, ends)
        may_differ = [odd or found for odd, found in zip(is_odd, screened, strict=True)]
    findings: list[list[Finding]] = []
    rewritten: dict[int, list[pl.DataFrame]] = {}
    for place, each in enumerate(asked):
        if not (may_change[place] or (each.with_drift and may_differ[place])):
            findings.append([])
            continue
        drift = served.pipeline.watch_drift()
        if may_change[place]:
            rewritten[place] = served.parts.read(frame_of_cells(each.cells), drift)
        else:
            _count(served, each, drift, is_plain=not is_odd[place])
        findings.append(drift.findings() if each.with_drift else [])
    return _put_together(served, whole, ends, rewritten), findings


def _of_each(whole: pl.DataFrame, condition: pl.Expr | None, ends: list[int]) -> list[bool]:
    """Whether a condition holds of any row of each request; None: of none."""
    if condition is None:
        return [False] * (len(ends) - 1)
    rows = whole.select(condition).to_series().to_numpy()
    return [bool(rows[start:end].any()) for start, end in pairwise(ends)]


def _count(served: ServedModel, asked: RowsAsked, drift: TableDrift, *, is_plain: bool) -> None:
    """Show rows that are not rewritten to `drift`."""
    names = [name for name in asked.cells if name not in served.pipeline.targets]
    rows = frame_of_cells({name: asked.cells[name] for name in names})
    drift.read(rows, is_plain=is_plain and served.checks_all)


def _put_together(
    served: ServedModel,
    whole: pl.DataFrame,
    ends: list[int],
    rewritten: dict[int, list[pl.DataFrame]],
) -> list[pl.DataFrame]:
    """For each leaf the rows of all, those of some requests as they were rewritten."""
    if not rewritten:
        return [whole] * len(served.parts.leaves)
    frames = []
    for number, leaf in enumerate(served.parts.leaves):
        columns = pipeline_of(leaf).columns
        parts = [
            rewritten[place][number] if place in rewritten else whole[start:end]
            for place, (start, end) in enumerate(pairwise(ends))
        ]
        frames.append(pl.concat([part.select(columns) for part in parts]))
    return frames
