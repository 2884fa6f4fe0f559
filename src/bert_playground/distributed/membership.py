"""Membership: which process of which job this one is, as its launcher says in the environment."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass

VARIABLE = "BERT_PLAYGROUND_RANK"
RUN_MARK = "\x1erun "  # begins the line by which a rank tells its launcher the folder of the run


@dataclass(frozen=True)
class Membership:
    """One process of a job.

    Attributes:
        rank: its number, from 0; rank 0 alone writes.
        size: the number of processes.
        ring: where each listens for its neighbour in the ring, as host:port.
        heartbeats: where rank 0 listens for the others' signs of life, as host:port.
        token: a secret of the job, so that no stranger joins it.
        silence_seconds: after which a process that was not heard of counts as lost.
        neighbours: processes of the job on the same machine, this one included, which share its cores.
        command: that began the job, up to the command that all its processes run, such as "bert launch -n 2".
    """

    rank: int
    size: int
    ring: tuple[str, ...]
    heartbeats: str
    token: str
    silence_seconds: float
    neighbours: int
    command: str

    def to_variable(self) -> str:
        """The value of the environment variable."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Membership | None":
        """That of this process; None: it works by itself."""
        text = environment.get(VARIABLE)
        if not text:
            return None
        values = json.loads(text)
        return cls(**{**values, "ring": tuple(values["ring"])})


def tell_run(path: str) -> None:
    """Tell the launcher the folder of the run; the stdout of ranks other than 0 is its alone."""
    sys.stdout.write(f"{RUN_MARK}{path}\n")
    sys.stdout.flush()


def spell_command(command: str) -> str:
    """What a user types to run a command of `bert` the way this process runs it, such as "bert launch -n 2 train"."""
    membership = Membership.read()
    return f"bert {command}" if membership is None else f"{membership.command} {command}"
