"""Engine: models, the thread that computes them and the threads that read for them; rows in, answers out."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl

from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.drift.finding import Finding
from bert_playground.data.reading.table import require_columns
from bert_playground.data.tokens.token_table import TokenizedTable
from bert_playground.ensemble_predictor import EnsemblePredictor
from bert_playground.inference import AnyPredictor
from bert_playground.predict_table import write_answers
from bert_playground.serving.forward import EncoderLeaf
from bert_playground.serving.joiner import Joiner
from bert_playground.serving.json_rows import to_frame
from bert_playground.serving.metrics import ServeMetrics
from bert_playground.serving.request_error import RequestError, bad_input
from bert_playground.serving.row_reader import RowReader
from bert_playground.serving.scheduler import Computed, Scheduler
from bert_playground.serving.served_model import ServedModel, find_model
from bert_playground.serving.settings import ServeSettings

if TYPE_CHECKING:
    from bert_playground.serving.adapters import AdapterSet

Array = np.ndarray[Any, Any]
Result = TypeVar("Result")
WARM_SECONDS = 1.0
# Of requests that are answered together: of more, what a call costs hardly counts.
JOINED_ROWS = 768
ENOUGH_ROWS = 128  # wait together, for which a further call starts
CALLS = 3  # at once: one computes, one reads, one waits to be computed
LONE_ROWS = 8  # are read by the thread that computes them where nothing else waits for it
SLICE_ROWS = 1024  # of a CSV, that are queued at once: others get a batch between them


@dataclass(frozen=True)
class ScoredRows:
    """What the models say of some rows.

    Attributes:
        scores: as `predictor.predict` gives them.
        ids: what names the rows; None: their numbers.
        findings: how the rows differ from training; empty where nobody asks.
        ignored: columns that came and nobody reads.
        stages: seconds by stage: the longest wait of any model, the inference of all.
    """

    scores: Array
    ids: pl.Series | None
    findings: list[Finding]
    ignored: list[str]
    stages: dict[str, float]


class Engine:
    """All that answers requests, without HTTP.

    Args:
        settings: limits.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.metrics = ServeMetrics()
        self.scheduler = Scheduler(
            max_batch_tokens=settings.max_batch_tokens,
            max_batch_rows=settings.max_batch_requests,
            max_wait_seconds=settings.max_wait_seconds,
            metrics=self.metrics,
        )
        self.reader = RowReader(self.scheduler, settings.tokenization_workers)
        self.threads = ThreadPoolExecutor(
            max_workers=max(4, 2 * (os.cpu_count() or 1)), thread_name_prefix="requests"
        )
        self.joiner = Joiner(self._run_joined, most=JOINED_ROWS, enough=ENOUGH_ROWS, at_once=CALLS)
        self.models: dict[str, ServedModel] = {}
        self.adapters: AdapterSet | None = None
        self.is_ready = False

    def load(self, name: str, load: Callable[[], AnyPredictor]) -> ServedModel:
        """Load a model in the thread that owns MLX.

        Raises:
            ValueError: it cannot be served with these settings; or what `load` raises.
        """
        served = ServedModel.of(name, self.scheduler.call(load).result())
        self.add(served)
        return served

    def add(self, served: ServedModel) -> None:
        """Serve a model.

        Raises:
            ValueError: a row of it may be larger than a batch.
        """
        if served.max_length > self.settings.max_batch_tokens:
            raise ValueError(
                f"rows of {served.name} have up to {served.max_length} tokens, more than the {self.settings.max_batch_tokens} of a "
                "batch; raise --max-batch-tokens"
            )
        self.models[served.name] = served

    def warm_up(self) -> None:
        """Answer a typical row, and compute a few batches, so that no client waits for packing, compiling or first imports."""
        for served in list(self.models.values()):
            for leaf in served.parts.leaves:
                if isinstance(leaf, EncoderLeaf):
                    self._warm_up(leaf, min(served.max_length, 32))
            if served.pipeline.windows is None:
                typical = {
                    each["name"]: [each["example"]] * 2 for each in served.describe_columns()
                }
                frame = pl.DataFrame(typical, schema=dict.fromkeys(typical, pl.String))
                _, drift, frames = _read(served, frame)
                computed = [future.result() for future in self._submit(served, frames)]
                self.combine(served, computed).result()
                drift.findings()
        self.is_ready = True

    def _warm_up(self, leaf: EncoderLeaf, length: int) -> None:
        """Batches of growing size, as far as a second goes: MLX keeps their buffers for those to come."""
        began = time.perf_counter()
        for power in range(8):
            most = self.settings.max_batch_tokens // length
            if 2**power > max(1, most) or time.perf_counter() - began > WARM_SECONDS:
                return
            self.scheduler.submit(leaf, _any_rows(leaf, 2**power, length)).result()

    def estimate_wait(self) -> float:
        """Seconds until a request that is being answered now is done, by those of the last ones."""
        return self.scheduler.estimate_wait()

    def stop(self) -> None:
        """Answer what waits, then end all threads."""
        self.is_ready = False
        self.reader.stop()
        self.scheduler.stop()
        self.threads.shutdown()

    def find(self, name: str | None) -> ServedModel:
        """The model that a client names; see `find_model`."""
        return find_model(self.models, name)

    async def in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run what takes longer than a moment without holding up other requests."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, function, *arguments)

    def _run_joined(self, answer: Callable[[], Result], num_rows: int) -> "Future[Result]":
        """Start a call: a few rows that come alone stay in the thread that owns MLX, for changes of threads take longer."""
        if num_rows <= LONE_ROWS and (running := self.scheduler.call_if_idle(answer)):
            return running
        return self.threads.submit(answer)

    async def in_time(self, work: Awaitable[Result]) -> Result:
        """The result of work.

        Raises:
            RequestError: it takes too long.
        """
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                return await work
        except TimeoutError as error:
            raise self._too_late() from error

    def _too_late(self) -> RequestError:
        return RequestError(
            "Timeout",
            f"no answer within {self.settings.timeout_seconds:g} seconds; send fewer rows, or ask again later",
        )

    async def score_rows(
        self, served: ServedModel, frame: pl.DataFrame, *, with_drift: bool = True
    ) -> ScoredRows:
        """Scores of a table of text, as `bert predict` would give them of the same table.

        Raises:
            RequestError: the table lacks columns, or the models fail.
        """
        began = time.perf_counter()
        ids, drift, frames = await self.in_thread(_read, served, frame)
        futures = self._submit(served, frames)
        computed = await asyncio.gather(*map(asyncio.wrap_future, futures))
        scores = await asyncio.wrap_future(self.combine(served, computed))
        findings: list[Finding] = []
        if with_drift:
            findings = await self.in_thread(drift.findings)
            self.metrics.observe_drift(served.name, findings)
        return ScoredRows(
            scores,
            ids,
            findings,
            served.ignored(frame.columns),
            stages_of(computed, began),
        )

    def _submit(
        self, served: ServedModel, frames: Sequence[pl.DataFrame]
    ) -> "list[Future[Computed]]":
        return [
            self.reader.submit(leaf, frame)
            for leaf, frame in zip(served.parts.leaves, frames, strict=True)
        ]

    def combine(self, served: ServedModel, computed: Sequence[Computed]) -> "Future[Array]":
        """Scores of the whole; the mean of an ensemble is MLX's, and so is made where MLX lives."""
        values = [each.values for each in computed]
        if isinstance(served.predictor, EnsemblePredictor):
            return self.scheduler.call(lambda: served.parts.combine(values))
        done: Future[Array] = Future()
        done.set_result(served.parts.combine(values))
        return done

    def iterate_answers(
        self,
        served: ServedModel,
        frames: Iterator[pl.DataFrame],
        drift: TableDrift,
        *,
        probabilities: bool = False,
    ) -> Iterator[pl.DataFrame]:
        """Ids and answers of a table, slice by slice, as `predict_table` writes them; blocks, so it wants a thread.

        Raises:
            RequestError: the table lacks columns, a slice takes too long, or the models fail.
        """
        first_row = 0
        for frame in frames:
            rows, ids = _select(served, frame)
            read = served.parts.read(rows, drift)
            for start in range(0, rows.height, SLICE_ROWS):
                slices = [each[start : start + SLICE_ROWS] for each in read]
                scores, _ = self.wait_for(served, self._submit(served, slices))
                yield write_answers(
                    served.predictor,
                    scores,
                    None if ids is None else ids[start : start + SLICE_ROWS],
                    probabilities=probabilities,
                    first_row=first_row + start,
                )
            first_row += frame.height

    def wait_for(
        self,
        served: ServedModel,
        futures: "Sequence[Future[Computed]]",
        wanted: "Future[None] | None" = None,
    ) -> tuple[Array, list[Computed]]:
        """Scores of rows that are queued, and what each leaf says of them; blocks, so it wants a thread.

        Args:
            served: the model.
            futures: for each leaf.
            wanted: is cancelled when nobody waits any more.

        Raises:
            RequestError: it takes too long, or the models fail.
            CancelledError: nobody waits.
        """
        if wanted is not None:
            wanted.add_done_callback(lambda _: [future.cancel() for future in futures])
        seconds = self.settings.timeout_seconds
        try:
            computed = [future.result(seconds) for future in futures]
            return self.combine(served, computed).result(seconds), computed
        except FutureTimeout as error:
            for future in futures:
                future.cancel()
            raise self._too_late() from error


def stages_of(computed: Sequence[Computed], began: float) -> dict[str, float]:
    """Seconds of each stage of a request that began then."""
    return {
        "tokenization": max(each.enqueued for each in computed) - began,
        "queue": max(each.queue_seconds for each in computed),
        "inference": sum(each.inference_seconds for each in computed),
    }


def frame_of(served: ServedModel, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """The table that a client's records are; see `to_frame`."""
    return to_frame(rows, served.needed)


def _select(served: ServedModel, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series | None]:
    """The rows that are asked about, and what names them.

    Raises:
        RequestError: columns are missing, or a series cannot be cut.
    """
    try:
        require_columns(frame, served.needed, "the table")
        return served.pipeline.prediction_rows(frame)
    except ValueError as error:
        raise bad_input(str(error)) from error


def _read(
    served: ServedModel, frame: pl.DataFrame
) -> tuple[pl.Series | None, TableDrift, list[pl.DataFrame]]:
    rows, ids = _select(served, frame)
    drift = served.pipeline.watch_drift()
    return ids, drift, served.parts.read(rows, drift)


def _any_rows(leaf: EncoderLeaf, num_rows: int, length: int) -> TokenizedTable:
    """Rows that mean nothing, of the form that the model takes."""
    ids = np.full(num_rows * length, leaf.predictor.pipeline.pad_token_id, dtype=np.int32)
    offsets = np.arange(num_rows + 1, dtype=np.int64) * length
    num_numbers = leaf.predictor.model.num_numbers
    numbers = np.full((num_rows, num_numbers), np.nan, np.float32) if num_numbers else None
    return TokenizedTable(ids, offsets, numbers=numbers)
