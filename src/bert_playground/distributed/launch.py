"""launch: start the ranks of a job, watch them, and end all of them when one is lost."""

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from bert_playground.distributed.heartbeats import LOST
from bert_playground.distributed.hosts import NO_FOLDER, Places, write_script
from bert_playground.distributed.membership import RUN_MARK, Membership
from bert_playground.signals import ENDING

POLL_SECONDS = 0.1
# A rank that fails is missed by the others after GRACE_SECONDS of heartbeats; then there is time for a message.
END_SECONDS = 20.0
SAVE_SECONDS = 600.0  # the same where ranks were asked to stop, and rank 0 saves
START_SECONDS = 2.0  # the same where a rank could not be started: the others only wait for it
KILL_SECONDS = 5.0
KEPT_LINES = 30  # of what a rank that is not rank 0 says
FAILED, MISTAKEN = 1, 2
NOT_EXECUTABLE, NOT_FOUND, SSH_FAILED = 126, 127, 255  # exit codes of a shell and of ssh
STOPPED = tuple(128 + each for each in (signal.SIGINT, *ENDING))


@dataclass(frozen=True)
class Job:
    """What is launched.

    Attributes:
        places: of its ranks.
        arguments: of `bert`, the same for all.
        command: that began it, up to these arguments: for the command that resumes it.
        environment: variables beside those of each machine.
        python: the interpreter on each machine; None: the path of this one.
        silence_seconds: after which a rank that was not heard of counts as lost.
    """

    places: Places
    arguments: tuple[str, ...]
    command: str
    environment: Mapping[str, str] = field(default_factory=dict)
    python: str | None = None
    silence_seconds: float = 30.0


class RankProcess:
    """A rank that was started; what it says is the user's if it is rank 0, else kept for the case that it fails."""

    def __init__(self, job: Job, rank: int, token: str) -> None:
        """Start it."""
        self.rank, self.place = rank, job.places.ranks[rank]
        self.run: str | None = None  # the folder of the run, once it is known
        self.said: deque[str] = deque(maxlen=KEPT_LINES)
        membership = Membership(
            rank,
            len(job.places.ranks),
            tuple(place.ring for place in job.places.ranks),
            job.places.heartbeats,
            token,
            job.silence_seconds,
            job.places.count_neighbours(rank),
            job.command,
        )
        output = subprocess.PIPE if rank else None
        script = write_script(job.arguments, job.environment, job.python)
        self.process = subprocess.Popen(
            self.place.command(script),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the launcher, which passes it on in good order
        )
        self.tell(membership.to_variable())
        self._readers = [
            threading.Thread(target=read, args=(stream,), daemon=True)
            for read, stream in (
                (self._watch, self.process.stdout),
                (self._keep, self.process.stderr),
            )
            if stream is not None
        ]
        for reader in self._readers:
            reader.start()

    def tell(self, line: str) -> None:
        """A line for the script that started it."""
        assert self.process.stdin is not None
        with suppress(OSError):  # it has ended
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()

    @property
    def code(self) -> int | None:
        """Its exit code, 128 + N for a signal; None: it runs."""
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    def explain_start(self, job: Job) -> str | None:
        """Why it could not be started, and what to do; None: it was."""
        host, python = self.place.host, job.python or sys.executable
        if self.code == SSH_FAILED and self.run is None and host is not None:
            return f"ssh does not get there without a password; try: ssh {host} true"
        if self.code in (NOT_FOUND, NOT_EXECUTABLE):
            return f"{python} is no Python that can be run there; name one by --python PATH"
        if self.code == NO_FOLDER:
            return f"there is no folder {Path.cwd()}; make it, with the tables in it, as on this machine"
        return None

    def kill(self) -> None:
        """End it at once, also where it is stopped or on another machine."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        if self.place.host is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Until it has ended; what it said is complete then."""
        try:
            self.process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:  # ssh to a machine that is gone
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(timeout=1.0)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with suppress(OSError):  # a line for it could not be written
                    stream.close()
        return self.code or 0

    def _watch(self, stream: IO[bytes]) -> None:
        for line in stream:
            text = line.decode("utf-8", "replace").rstrip("\n")
            if text.startswith(RUN_MARK):
                self.run = text.removeprefix(RUN_MARK)

    def _keep(self, stream: IO[bytes]) -> None:
        for line in stream:
            self.said.append(line.decode("utf-8", "replace").rstrip("\n"))


def launch(job: Job) -> int:
    """Run a job to its end; gives its exit code: 0 if all ranks ended well."""
    token = secrets.token_hex(16)
    ranks: list[RankProcess] = []
    try:
        with _passed_on(ranks) as signals:
            ranks += [RankProcess(job, rank, token) for rank in range(len(job.places.ranks))]
            first_to_fail = _wait(job, ranks)
            alive = [rank for rank in ranks if rank.code is None]
    finally:
        for rank in ranks:
            if rank.code is None:
                rank.kill()
    codes = [rank.wait() for rank in ranks]
    if signals:
        return 128 + signals[0]
    if first_to_fail is None:
        return 0
    if first_to_fail.explain_start(job) is not None:
        _say_what_did_not_start(job, ranks)
        return MISTAKEN
    if codes[0] in (0, LOST, SSH_FAILED) or ranks[0] in alive or codes[0] == 128 + signal.SIGKILL:
        _say(job, ranks, first_to_fail, alive)
        return FAILED
    return codes[0]  # rank 0 has said why


def _wait(job: Job, ranks: Sequence[RankProcess]) -> RankProcess | None:
    """Until all have ended well, or one has failed and the others had time to end too; gives that one."""
    while True:
        failed = next((rank for rank in ranks if rank.code), None)
        if failed is not None:
            break
        if all(rank.code is not None for rank in ranks):
            return None
        time.sleep(POLL_SECONDS)
    since = time.monotonic()
    patience = END_SECONDS if failed.explain_start(job) is None else START_SECONDS
    while any(rank.code is None for rank in ranks):
        is_stopping = all(rank.code in (None, 0, *STOPPED) for rank in ranks)
        if time.monotonic() - since > (SAVE_SECONDS if is_stopping else patience):
            break
        time.sleep(POLL_SECONDS)
    return failed


def _say_what_did_not_start(job: Job, ranks: Sequence[RankProcess]) -> None:
    """Each machine once, with what ssh or the shell said of a rank that has no terminal."""
    told: set[str] = set()
    for rank in ranks:
        reason = rank.explain_start(job)
        if reason is None or rank.place.name in told:
            continue
        told.add(rank.place.name)
        for line in (*rank.said, f"error: no process was started on {rank.place.name}: {reason}"):
            sys.stderr.write(f"{line}\n")


def _say(
    job: Job, ranks: Sequence[RankProcess], first: RankProcess, alive: Sequence[RankProcess]
) -> None:
    """Which rank was lost, what it said, and how to go on."""
    lines = []
    lost = [rank for rank in ranks if rank.code not in (0, LOST) and rank not in alive]
    for rank in lost or ([] if alive else [first]):
        lines.append(f"rank {rank.rank} on {rank.place.name} {_describe(rank.code or 0)}")
        if (rank.code or 0) < 128:  # else it had no time to say anything of it
            lines += [f"  {line}" for line in rank.said]
    lines += [
        f"rank {rank.rank} on {rank.place.name} did not answer; it was killed" for rank in alive
    ]
    run = next((rank.run for rank in ranks if rank.run), None)
    lines.append(
        "nothing was saved yet; start it again"
        if run is None
        else f"go on with: {job.command} {job.arguments[0]} --resume {run}"
    )
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _describe(code: int) -> str:
    if code == LOST:
        return "has lost another rank"
    if code == SSH_FAILED:
        return "was lost by ssh"
    if code > 128:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(code - 128).name}"
    return f"ended with exit code {code}"


@contextmanager
def _passed_on(ranks: Sequence[RankProcess]) -> Iterator[list[int]]:
    """Inside the block Ctrl-C, SIGTERM and SIGHUP reach all ranks as SIGTERM, after which they save; a second Ctrl-C kills.

    Gives the signals that have come.
    """
    came: list[int] = []

    def pass_on(signum: int, frame: FrameType | None) -> None:
        is_second = signum == signal.SIGINT and signal.SIGINT in came
        came.append(signum)
        for rank in list(ranks):
            if is_second:
                rank.kill()
            else:
                rank.tell("TERM")

    handled = [
        each for each in (signal.SIGINT, *ENDING) if signal.getsignal(each) is not signal.SIG_IGN
    ]
    before = {each: signal.signal(each, pass_on) for each in handled}
    try:
        yield came
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
