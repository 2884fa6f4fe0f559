"""The outbox: in order, again where it failed, bounded, and never in the way."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bert_playground.tracking import outbox as module
from bert_playground.tracking.outbox import Letter, Outbox


@pytest.fixture
def make_outbox(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outbox]:
    """An outbox to which a ConnectionError passes and all other errors stay; it waits for little."""
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    monkeypatch.setattr(module, "OUTAGE_PATIENCE", 0.3)

    def make(capacity: int = 100) -> Outbox:
        return Outbox(lambda error: isinstance(error, ConnectionError), str, capacity)

    return make


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a hanging server waits for."""
    event = threading.Event()
    yield event
    event.set()


def test_letters_arrive_in_order(make_outbox) -> None:
    outbox, arrived = make_outbox(), []
    for number in range(50):
        outbox.put(Letter("number", lambda number=number: arrived.append(number)))
    assert not outbox.close().counts
    assert arrived == list(range(50))


def test_what_fails_in_passing_is_sent_again_before_the_next(make_outbox) -> None:
    outbox, arrived, faults = make_outbox(), [], [ConnectionError("away")]

    def send() -> None:
        if faults:
            raise faults.pop()
        arrived.append("first")

    outbox.put(Letter("first", send))
    outbox.put(Letter("second", lambda: arrived.append("second")))
    for _ in range(100):
        if len(arrived) == 2:
            break
        time.sleep(0.02)
    assert not outbox.close().counts
    assert arrived == ["first", "second"]


def test_what_can_never_be_sent_is_lost_alone(make_outbox) -> None:
    outbox, arrived = make_outbox(), []

    def refuse() -> None:
        raise ValueError("too long")

    outbox.put(Letter("a setting", refuse))
    outbox.put(Letter("the end", lambda: arrived.append("end")))
    loss = outbox.close()
    assert arrived == ["end"]
    assert str(loss) == "a setting: too long"


def test_a_hanging_server_holds_up_neither_the_run_nor_its_end(make_outbox, gate) -> None:
    outbox = make_outbox()
    outbox.put(Letter("a curve", gate.wait))
    started = time.monotonic()
    for _ in range(20):
        outbox.put(Letter("metrics", lambda: None))
    assert time.monotonic() - started < 0.2
    loss = outbox.close()
    assert time.monotonic() - started < 2
    assert loss.counts == {"a curve": 1, "metrics": 20}
    assert "did not answer in time" in str(loss)


def test_a_server_that_is_away_costs_the_end_little(make_outbox) -> None:
    outbox = make_outbox()

    def fail() -> None:
        raise ConnectionError("nobody is there")

    outbox.put(Letter("metrics", fail))
    started = time.monotonic()
    loss = outbox.close()
    assert time.monotonic() - started < 2
    assert str(loss) == "metrics: nobody is there"


def test_a_large_file_is_given_the_time_that_it_takes() -> None:
    assert Letter("model", lambda: None, size=2**30).patience > 30 * 60
    assert Letter("metrics", lambda: None).patience < 60


def test_a_full_queue_loses_what_comes_later_and_says_so(make_outbox, gate) -> None:
    outbox = make_outbox(capacity=3)
    for _ in range(3):
        assert outbox.put(Letter("early", gate.wait))
    assert not outbox.put(Letter("late", lambda: None))
    gate.set()
    loss = outbox.close()
    assert loss.counts == {"late": 1}
    assert "full" in loss.reason
