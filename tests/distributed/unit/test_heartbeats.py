"""Heartbeats: who is silent, gone or stuck ends the others; who has done its work does not."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bert_playground.distributed import heartbeats as module
from bert_playground.distributed.heartbeats import Heartbeats
from bert_playground.distributed.hosts import choose_free_ports
from bert_playground.distributed.membership import Membership

SILENCE = 0.3


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.04)
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.05)


class Job:
    """Some ranks in threads of one process; what would end one is remembered instead."""

    def __init__(self, size: int) -> None:
        port = choose_free_ports(1)[0]
        first = Membership(0, size, (), f"127.0.0.1:{port}", "secret", SILENCE, size, "bert launch")
        self.port = port
        self.lost: dict[int, str] = {}
        self.ranks: list[Heartbeats] = []
        for rank in range(size):
            self.ranks.append(
                Heartbeats(
                    replace(first, rank=rank), lambda why, rank=rank: self.lost.update({rank: why})
                )
            )

    def start(self, *numbers: int) -> None:
        for number in numbers:
            self.ranks[number].start()

    def wait_for_loss(self, rank: int) -> str:
        deadline = time.monotonic() + 5
        while rank not in self.lost:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self.lost[rank]


@pytest.fixture
def job(request: pytest.FixtureRequest) -> Iterator[Job]:
    made = Job(getattr(request, "param", 2))
    yield made
    for rank in made.ranks:
        if rank._thread.ident is None:
            rank.start()  # it closes what is open
        rank._is_over = True
        rank._thread.join(timeout=5)


def meet(job: Job) -> None:
    job.start(*range(len(job.ranks)))
    waiting = [threading.Thread(target=rank.meet, daemon=True) for rank in job.ranks]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join(timeout=5)
        assert not thread.is_alive()


@pytest.mark.parametrize("job", [3], indirect=True)
def test_ranks_wait_for_each_other_and_end_in_any_order(job: Job) -> None:
    meet(job)
    for rank in (1, 0, 2):
        job.ranks[rank].finish()
    assert job.lost == {}


def test_a_rank_that_says_nothing_is_lost(job: Job) -> None:
    job.start(0)
    with socket.create_connection(("127.0.0.1", job.port)) as silent:
        silent.send(b"secret 1\n")
        assert job.wait_for_loss(0) == "rank 0: rank 1 has not been heard of for 0.3 s"


def test_a_rank_that_never_comes_is_lost(job: Job) -> None:
    job.start(0)
    with socket.create_connection(("127.0.0.1", job.port)) as stranger:
        stranger.send(b"guess 1\n")
        assert job.wait_for_loss(0) == "rank 0: rank 1 did not come within 0.45 s"


def test_rank_0_that_never_listens_is_lost(job: Job) -> None:
    job.ranks[1].membership = replace(job.ranks[1].membership, heartbeats="127.0.0.1:1")
    job.start(1)
    assert "rank 0 cannot be reached" in job.wait_for_loss(1)


@pytest.mark.parametrize(("failing", "other"), [(0, 1), (1, 0)])
def test_a_failure_ends_the_others(job: Job, failing: int, other: int) -> None:
    meet(job)
    job.ranks[failing].finish(failed=True)
    with job.ranks[other].collective():
        assert job.wait_for_loss(other) == f"rank {other}: rank {failing} has failed"


def test_a_closed_connection_ends_the_others(job: Job) -> None:
    meet(job)
    job.ranks[1]._is_over = True
    job.ranks[1]._peers[0].connection.shutdown(socket.SHUT_RDWR)
    with job.ranks[0].collective():
        assert job.wait_for_loss(0) == "rank 0: rank 1 has ended before its work was done"


def test_who_needs_nobody_may_end_by_itself_after_a_failure(job: Job) -> None:
    meet(job)
    job.ranks[1].finish(failed=True)
    time.sleep(0.3)
    assert job.lost == {}


def test_after_all_have_agreed_to_stop_nobody_is_missed(job: Job) -> None:
    meet(job)
    job.ranks[0].part()
    job.ranks[1].part()
    job.ranks[1].finish(failed=True)  # its exit code is that of a signal
    time.sleep(0.15)
    assert job.lost == {}


def test_an_exchange_that_all_are_in_for_too_long_is_stuck(job: Job) -> None:
    meet(job)
    with job.ranks[0].collective(), job.ranks[1].collective():
        assert "the ring is stuck" in job.wait_for_loss(0)


def test_who_waits_for_a_slow_rank_is_not_stuck(job: Job) -> None:
    meet(job)
    with job.ranks[0].collective():
        time.sleep(2 * SILENCE)
        with job.ranks[1].collective():
            time.sleep(0.1)
    assert job.lost == {}
