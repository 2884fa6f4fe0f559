"""Heartbeats: signs of life beside the ring, over plain TCP, as a collective whose partner is gone never returns."""

import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from bert_playground.distributed.membership import Membership

LOST = os.EX_TEMPFAIL  # exit code of a process that ends because another one is lost
BEAT_SECONDS = 1.0
GRACE_SECONDS = (
    3.0  # when another process has failed, this one may end by itself: often for the same reason
)
SLOWEST_BYTES_PER_SECOND = 1e6  # a collective that takes longer although all are in it is stuck
FIRST_PAUSE = 0.05  # before another attempt to connect


class LostError(RuntimeError):
    """Another process of the job is gone, or cannot be heard."""


@dataclass
class Peer:
    """The other end of a connection.

    Attributes:
        rank: of the process; -1: it has not said yet.
        heard: when it was last heard, by the monotonic clock.
        is_done: it needs nobody any more.
        is_ready: it waits for all others to be.
        collective: number of the one that it is in, 0: none; and since how many seconds.
    """

    connection: socket.socket
    rank: int = -1
    heard: float = field(default_factory=time.monotonic)
    is_done: bool = False
    is_ready: bool = False
    collective: tuple[int, float] = (0, 0.0)
    unread: bytes = b""


def end_process(reason: str) -> None:
    """Say why and end at once: the main thread may wait in a collective for ever, where no exception reaches it."""
    with suppress(OSError):
        hidden_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
        os.write(2, f"{hidden_cursor}{reason}\n".encode())
    os._exit(LOST)


class Heartbeats:
    """A thread that tells the others that this process lives, and ends it when one of them does not.

    Rank 0 listens, the others connect to it; all send a line each second. What a line says: `beat N S` (in collective N
    for S seconds, N = 0: in none), `ready`, `go`, `done`, `failed`.

    Args:
        membership: of this process.
        lose: what ends the process, given the reason.
    """

    def __init__(self, membership: Membership, lose: Callable[[str], None] = end_process) -> None:
        """Listen, where this is rank 0; nothing is sent before `start`."""
        self.membership = membership
        self.lose = lose
        self._peers: list[Peer] = []
        self._lock = threading.Lock()
        self._go = threading.Event()
        self._is_over = False
        self._failure: tuple[float, str] | None = None  # when, and what
        self._number = 0  # of collectives so far
        self._inside: tuple[float, float] | None = None  # since when, and how long it may take
        self._listener: socket.socket | None = None
        self._is_ready = False
        if membership.rank == 0:
            host, port = split_address(membership.heartbeats)
            self._listener = socket.create_server((host, port), backlog=membership.size)
            self._listener.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)

    def start(self) -> None:
        """Begin to send and to watch."""
        self._deadline = time.monotonic() + 1.5 * self.membership.silence_seconds
        self._thread.start()

    def meet(self) -> None:
        """Wait until all processes of the job have come here: the ring is patient for some seconds only."""
        self._is_ready = True
        if self.membership.rank:
            self._send_all("ready")
        with self.collective():
            self._go.wait()

    @contextmanager
    def collective(self, num_bytes: int = 0) -> Iterator[None]:
        """Around a collective of so many bytes, so that one which all are in for too long is noticed."""
        self._number += 1
        allowed = self.membership.silence_seconds + num_bytes / SLOWEST_BYTES_PER_SECOND
        self._inside = (time.monotonic(), allowed)
        try:
            yield
        finally:
            self._inside = None

    def wait_for_end(self, reason: str) -> None:
        """Of a process whose collective has failed: end it, by what the others say of themselves or else for this reason."""
        time.sleep(2 * GRACE_SECONDS)
        self.lose(f"rank {self.membership.rank}: {reason}")

    def part(self) -> None:
        """No collective follows: this process can end, and the others may, without being missed."""
        self._send_all("done")
        self._is_over = True

    def finish(self, *, failed: bool = False) -> None:
        """Say that this process ends."""
        if not self._is_over:
            self._send_all("failed" if failed else "done")
        self._is_over = True
        self._thread.join(timeout=2 * BEAT_SECONDS)

    def _run(self) -> None:
        try:
            if self.membership.rank:
                self._peers.append(self._connect())
                if self._is_ready:
                    self._send_all("ready")
            beaten = 0.0
            while not self._is_over:
                if time.monotonic() - beaten >= BEAT_SECONDS:
                    beaten = time.monotonic()
                    number, seconds = self._collective()
                    self._send_all(f"beat {number} {seconds:.3f}")
                self._listen(BEAT_SECONDS / 4)
                self._judge()
        except LostError as error:
            if not self._is_over:
                self.lose(f"rank {self.membership.rank}: {error}")
        finally:
            for peer in self._peers:
                peer.connection.close()
            if self._listener is not None:
                self._listener.close()

    def _connect(self) -> Peer:
        host, port = split_address(self.membership.heartbeats)
        pause = FIRST_PAUSE
        while True:
            try:
                connection = socket.create_connection((host, port), timeout=self._seconds_left())
            except OSError as error:
                if self._seconds_left() <= pause:
                    raise LostError(
                        f"rank 0 cannot be reached at {host}:{port} ({error})"
                    ) from error
                time.sleep(pause)
                pause = min(2 * pause, BEAT_SECONDS)
                continue
            peer = Peer(connection, rank=0)
            self._send(peer, f"{self.membership.token} {self.membership.rank}")
            connection.setblocking(False)
            return peer

    def _seconds_left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.001)

    def _collective(self) -> tuple[int, float]:
        inside = self._inside
        return (0, 0.0) if inside is None else (self._number, time.monotonic() - inside[0])

    def _send_all(self, line: str) -> None:
        for peer in list(self._peers):
            if peer.rank >= 0:
                self._send(peer, line)

    def _send(self, peer: Peer, line: str) -> None:
        with self._lock, suppress(OSError):  # who cannot be reached is missed soon
            peer.connection.send(f"{line}\n".encode())

    def _listen(self, seconds: float) -> None:
        """Read what has come within these seconds."""
        with selectors.DefaultSelector() as selector:
            if self._listener is not None:
                selector.register(self._listener, selectors.EVENT_READ, None)
            for peer in self._peers:
                if not (peer.is_done and peer.connection.fileno() < 0):
                    selector.register(peer.connection, selectors.EVENT_READ, peer)
            for key, _ in selector.select(seconds):
                if key.data is not None:
                    self._read(key.data)
                elif self._listener is not None:
                    connection, _ = self._listener.accept()
                    connection.setblocking(False)
                    self._peers.append(Peer(connection))

    def _read(self, peer: Peer) -> None:
        try:
            received = peer.connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            peer.connection.close()
            if peer.rank < 0:
                self._peers.remove(peer)
            elif not peer.is_done:
                self._fail(f"rank {peer.rank} has ended before its work was done")
                peer.is_done = True
            return
        peer.heard = time.monotonic()
        *lines, peer.unread = (peer.unread + received).split(b"\n")
        for line in lines:
            self._take(peer, line.decode("ascii", "replace").split())

    def _take(self, peer: Peer, words: list[str]) -> None:
        if peer.rank < 0:
            self._admit(peer, words)
            return
        match words:
            case ["beat", number, seconds]:
                peer.collective = (int(number), float(seconds))
            case ["ready"]:
                peer.is_ready = True
            case ["go"]:
                self._go.set()
            case ["done"]:
                peer.is_done = True
            case ["failed"]:
                peer.is_done = True
                self._fail(f"rank {peer.rank} has failed")

    def _admit(self, peer: Peer, words: list[str]) -> None:
        """Know who has connected; a stranger is sent away."""
        if len(words) == 2 and words[0] == self.membership.token and words[1].isdigit():
            peer.rank = int(words[1])
        else:
            peer.connection.close()
            self._peers.remove(peer)

    def _fail(self, reason: str) -> None:
        self._failure = self._failure or (time.monotonic(), reason)

    def _judge(self) -> None:
        """End the process where another one is lost.

        Raises:
            LostError: it is.
        """
        now, silence = time.monotonic(), self.membership.silence_seconds
        # Outside a collective the main thread comes to its next one, or ends by itself, such as for the same reason.
        is_waiting = self._collective()[1] >= GRACE_SECONDS
        if self._failure and is_waiting and now - self._failure[0] >= GRACE_SECONDS:
            raise LostError(self._failure[1])
        for peer in self._peers:
            if peer.rank >= 0 and not peer.is_done and now - peer.heard > silence:
                raise LostError(f"rank {peer.rank} has not been heard of for {silence:g} s")
        if self.membership.rank:
            return
        known = {peer.rank for peer in self._peers if peer.rank >= 0}
        missing = sorted(set(range(1, self.membership.size)) - known)
        if missing:
            if now > self._deadline:
                names = ", ".join(map(str, missing))
                raise LostError(f"rank {names} did not come within {1.5 * silence:g} s")
            return
        if self._is_ready and not self._go.is_set() and all(peer.is_ready for peer in self._peers):
            self._send_all("go")
            self._go.set()
        self._judge_collective()

    def _judge_collective(self) -> None:
        inside, (number, seconds) = self._inside, self._collective()
        if inside is None or seconds <= inside[1]:
            return
        others = [peer.collective for peer in self._peers]
        if all(n == number and s > inside[1] for n, s in others):
            raise LostError(
                f"all ranks have been in the same exchange for {seconds:.0f} s: the ring is stuck"
            )


_active: list[Heartbeats] = []


def active_heartbeats() -> Heartbeats | None:
    """Those of this process; None: it belongs to no job."""
    return _active[-1] if _active else None


@contextmanager
def heard(membership: Membership) -> Iterator[None]:
    """Inside the block this process is alive for the others of its job; how the block ends is told to them."""
    heartbeats = Heartbeats(membership)
    heartbeats.start()
    _active.append(heartbeats)
    has_failed = True
    try:
        yield
        has_failed = False
    except SystemExit as error:
        has_failed = bool(error.code)
        raise
    finally:
        _active.remove(heartbeats)
        heartbeats.finish(failed=has_failed)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of host:port."""
    host, _, port = address.rpartition(":")
    return host, int(port)
