"""JoinedRanks: ranks in threads of one process agree, answer in turns, and draw masks of their own."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.distributed.group import Group
from bert_playground.training.core.interrupt import INTERRUPTED
from bert_playground.training.core.ranks import ALONE
from bert_playground.training.core.state import TrainState
from bert_playground.training.joined_ranks import JoinedRanks, OwnRandomness, Turns


class Meeting:
    """Where ranks wait for each other; one of them works at a time, as MLX promises nothing of one model in several threads."""

    def __init__(self, size: int) -> None:
        self.turn, self.said = threading.Lock(), [b""] * size
        self._barrier = threading.Barrier(size)

    def wait(self) -> None:
        self.turn.release()
        try:
            self._barrier.wait(5)
        finally:
            self.turn.acquire()


class Threads(Group):
    """A rank whose others are threads of this process."""

    def __init__(self, rank: int, size: int, meeting: Meeting) -> None:
        self.rank, self.size, self.meeting = rank, size, meeting
        self.has_parted = False

    def gather(self, content: bytes) -> list[bytes]:
        self.meeting.said[self.rank] = content
        self.meeting.wait()
        found = list(self.meeting.said)
        self.meeting.wait()
        return found

    def sum_numbers(self, numbers: Sequence[int]) -> list[int]:
        found = self.gather(np.array(numbers, dtype=np.int64).tobytes())
        return np.sum([np.frombuffer(each, dtype=np.int64) for each in found], axis=0).tolist()

    def part(self) -> None:
        self.has_parted = True


def on_ranks(size: int, work: Callable[[JoinedRanks], Any]) -> list[Any]:
    """What each rank gives."""
    meeting = Meeting(size)
    found: list[Any] = [None] * size

    def run(rank: int) -> None:
        with meeting.turn:
            try:
                found[rank] = work(JoinedRanks(Threads(rank, size, meeting)))
            except ValueError as error:
                found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return found


def test_rank_0_decides_when_to_stop() -> None:
    def work(ranks: JoinedRanks) -> tuple[str, int]:
        rank = ranks.group.rank
        state = TrainState(total_steps=10 + rank, stop_reason="the time is up" if rank == 0 else "")
        ranks.agree(state)
        return state.stop_reason, state.total_steps

    assert on_ranks(2, work) == [("the time is up", 10)] * 2


def test_what_another_rank_decides_alone_does_not_count() -> None:
    def work(ranks: JoinedRanks) -> str:
        state = TrainState(stop_reason="mine" if ranks.group.rank else "")
        ranks.agree(state)
        return state.stop_reason

    assert on_ranks(2, work) == ["", ""]


def test_one_wish_interrupts_all_and_nothing_is_exchanged_afterwards() -> None:
    def work(ranks: JoinedRanks) -> tuple[str, str, bool]:
        state = TrainState()
        wish = ranks.wish(state)
        if ranks.group.rank == 1:
            wish.stop_reason = INTERRUPTED
        before = state.stop_reason
        ranks.agree(state)
        if ranks.group.rank == 0:
            ranks.agree(state)  # alone: it would wait for ever
        return before, state.stop_reason, ranks.group.has_parted

    assert on_ranks(2, work) == [("", INTERRUPTED, True)] * 2


def test_the_rank_that_found_something_is_heard() -> None:
    def work(ranks: JoinedRanks) -> str:
        rank = ranks.group.rank
        return ranks.choose_text(f"text {rank}", is_found=rank == 1)

    assert on_ranks(2, work) == ["text 1 (rank 1)"] * 2
    assert on_ranks(2, lambda ranks: ranks.choose_text("same", is_found=False)) == ["same", "same"]


@pytest.mark.parametrize("batch_size", [4, 13])  # four batches for three ranks, and a single one
def test_answers_in_turns_are_those_of_one_process(
    make_model, make_loader, batch_size: int
) -> None:
    model = make_model(dropout=0.0)
    loader = make_loader(13, batch_size=batch_size, shuffle=False)
    expected = ALONE.predict(model, loader)
    for found in on_ranks(3, lambda ranks: ranks.predict(model, loader)):
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert found.loss == pytest.approx(expected.loss, rel=1e-12)


def test_turns_take_each_batch_once(make_loader) -> None:
    loader = make_loader(13, batch_size=3, shuffle=False)
    turns = [Turns(loader, rank, 2) for rank in (0, 1)]
    assert [len(list(each)) for each in turns] == [3, 2] == [len(each) for each in turns]
    assert sorted(np.concatenate([each.rows for each in turns]).tolist()) == list(range(13))


def test_masks_depend_on_seed_step_and_rank_alone() -> None:
    def draw(seed: int, step: int, rank: int) -> tuple[float, float]:
        OwnRandomness(seed, rank).on_step_end(TrainState(step=step))
        return mx.random.uniform().item(), np.random.random()

    places = [(0, 1, 0), (0, 1, 1), (0, 2, 0), (1, 1, 0)]
    drawn = [draw(*place) for place in places]
    assert [draw(*place) for place in places] == drawn
    assert len(set(drawn)) == 4


def test_rows_that_differ_are_refused(make_loader) -> None:
    def work(ranks: JoinedRanks) -> None:
        ranks._check_rows(make_loader(13 + ranks.group.rank // 2, shuffle=False))

    for error in on_ranks(3, work):
        assert isinstance(error, ValueError)
        assert str(error).startswith("rank 2 does not read the same training rows as rank 0")
