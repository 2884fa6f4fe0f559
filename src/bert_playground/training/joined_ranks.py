"""JoinedRanks: a trainer's part in a group of processes that train one model; active_ranks: that of this process."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from bert_playground.data.core.types import Batch, Loader
from bert_playground.distributed.group import Group, joined_group
from bert_playground.inference import Model, Predictions, predict_batches
from bert_playground.logger import logger
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.interrupt import INTERRUPTED
from bert_playground.training.core.ranks import ALONE, Ranks
from bert_playground.training.core.state import TrainState
from bert_playground.training.core.step import count_rows, count_tokens
from bert_playground.training.core.trainer import Trainer


@dataclass
class Wish:
    """A signal's wish to stop, until all processes have agreed on it."""

    stop_reason: str = ""


class JoinedRanks(Ranks):
    """One of several processes that train one model: each computes the gradients of its part of a step's rows.

    All take the same decisions: those of rank 0, and the wish of any of them to be interrupted.
    """

    def __init__(self, group: Group) -> None:
        """Take part in a group that is connected."""
        self.group = group
        self.reduce_gradients = group.sum_arrays
        self._wish = Wish()
        self._is_over = False  # all are stopping, and exchange nothing more

    def begin(self, trainer: Trainer, train_data: Loader) -> Loader:
        """Weights, moments, averages and position of rank 0, on all processes; each takes its part of the rows.

        Raises:
            TypeError: the loader cannot be shared.
            ValueError: the processes do not see the same rows.
        """
        group = self.group
        if not hasattr(train_data, "share"):
            raise TypeError(
                f"a {type(train_data).__name__} cannot be shared among processes; give a loader that "
                "pipeline.make_loader has made"
            )
        self._check_rows(train_data)
        trainer.model.update(group.spread_arrays(trainer.model.parameters()))
        trainer.moments = group.spread_arrays(trainer.moments)
        trainer.average = group.spread_arrays(trainer.average)
        state = json.loads(group.spread(json.dumps(trainer.state.to_dict()).encode()))
        if not group.is_first:
            vars(trainer.state).update(state)
        trainer.callbacks.append(OwnRandomness(getattr(train_data, "seed", 0), group.rank))
        shared: Loader = train_data.share(group.rank, group.size)
        return shared

    def wish(self, state: TrainState) -> Wish:
        """A wish of its own: a state that changes at any moment would end one process a step before another."""
        self._wish = Wish()
        return self._wish

    def count(self, batches: Sequence[Batch]) -> tuple[int, int]:
        """Rows and tokens of a step, of all processes."""
        rows, tokens = self.group.sum_numbers([count_rows(batches), count_tokens(batches)])
        return rows, tokens

    def agree(self, state: TrainState) -> None:
        """Take over from rank 0 why and when to stop; an interruption of any of them is one of all."""
        if self._is_over:
            return
        told = [state.total_steps, bool(state.stop_reason)] if self.group.is_first else [0, 0]
        wishes, state.total_steps, stops = self.group.sum_numbers(
            [bool(self._wish.stop_reason), *told]
        )
        state.stop_reason = self.group.spread(state.stop_reason.encode()).decode() if stops else ""
        if wishes:
            state.stop_reason = INTERRUPTED
            self._is_over = True
            self.group.part()

    def choose_text(self, text: str, *, is_found: bool) -> str:
        """That of the first process which found something; what none found is the same for all."""
        found = [each.decode() for each in self.group.gather(text.encode() if is_found else b"")]
        names = [f"{each} (rank {rank})" for rank, each in enumerate(found) if each]
        return names[0] if names else text

    def predict(self, model: Model, loader: Loader) -> Predictions:
        """The answers to all rows: each process answers every so manieth batch, so they are those of one alone."""
        turns = Turns(loader, self.group.rank, self.group.size)
        own = predict_batches(model, turns) if turns.rank < len(loader) else None
        parts = [_unpack(each) for each in self.group.gather(_pack(own, turns.rows))]
        parts = [part for part in parts if part]
        order = np.argsort(np.concatenate([part["rows"] for part in parts]), kind="stable")
        labels = [part["labels"] for part in parts if "labels" in part]
        loss = sum(float(part["loss"]) * len(part["rows"]) for part in parts if "loss" in part)
        return Predictions(
            np.concatenate([part["scores"] for part in parts])[order],
            np.concatenate(labels)[order] if labels else None,
            loss / len(order) if labels else None,
        )

    def _check_rows(self, data: Any) -> None:
        """All processes must have read the same rows, or a row would be trained on twice and another one never."""
        digest = hashlib.sha256(f"{len(data)} {data.num_rows}".encode())
        table = getattr(getattr(data, "loader", data), "table", None)
        for array in (
            getattr(data, "labels", None),
            *(() if table is None else (table.ids, table.offsets)),
        ):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
        digests = self.group.gather(digest.digest())
        others = [str(rank) for rank, each in enumerate(digests) if each != digests[0]]
        if others:
            raise ValueError(
                f"rank {', '.join(others)} does not read the same training rows as rank 0: tables, text or labels differ; "
                "copy the same files to all machines"
            )


class OwnRandomness(Callback):
    """Dropout masks that differ between the processes and depend on seed, step and rank alone, so that a run resumes exactly."""

    def __init__(self, seed: int, rank: int) -> None:
        """Make the callback."""
        self.seed, self.rank = seed, rank

    def on_train_begin(self, state: TrainState) -> None:
        """Before the first step."""
        self._draw(state)

    def on_step_end(self, state: TrainState) -> None:
        """Before the next step."""
        self._draw(state)

    def _draw(self, state: TrainState) -> None:
        words = np.random.SeedSequence((self.seed, state.step, self.rank)).generate_state(2)
        mx.random.seed(int(words[0]) << 32 | int(words[1]))
        np.random.seed(words)


class Turns:
    """Every so manieth batch of a loader: what one of several processes answers.

    Attributes:
        rows: [R] the rows of the batches that have been given, after they were sorted.
    """

    def __init__(self, loader: Loader, rank: int, size: int) -> None:
        """Wrap a loader."""
        self.loader, self.rank, self.size = loader, rank, size
        self.num_rows = loader.num_rows
        self._rows: list[np.ndarray[Any, Any]] = []

    @property
    def rows(self) -> np.ndarray[Any, Any]:
        """In the order in which `predict_batches` gives answers."""
        return np.sort(np.concatenate(self._rows)) if self._rows else np.zeros(0, dtype=np.int32)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(range(self.rank, len(self.loader), self.size))

    def __iter__(self) -> Iterator[Batch]:
        """The batches of epoch 0."""
        return self.iterate()

    def iterate(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from its batch number `start` on."""
        for number, batch in enumerate(self.loader.iterate(epoch)):
            if number % self.size == self.rank and number // self.size >= start:
                self._rows.append(np.array(batch.rows))
                yield batch


def _pack(answer: Predictions | None, rows: np.ndarray[Any, Any]) -> bytes:
    if answer is None:
        return b""
    arrays = {"rows": rows, "scores": answer.scores}
    if answer.labels is not None and answer.loss is not None:
        arrays |= {"labels": answer.labels, "loss": np.array(answer.loss)}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _unpack(content: bytes) -> dict[str, np.ndarray[Any, Any]]:
    if not content:
        return {}
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return dict(file)


def active_ranks() -> Ranks:
    """Those of this process: it trains by itself unless `bert launch` has started it."""
    group = joined_group()
    if group.size == 1:
        return ALONE
    logger.debug(f"rank {group.rank} of {group.size}")
    return JoinedRanks(group)
