"""python -m bert_playground.cli.rank: a command of `bert` as one process of a job; `bert launch` starts it."""

import os

from bert_playground.distributed.heartbeats import heard
from bert_playground.distributed.membership import Membership


def main() -> None:
    """Share the cores with the other ranks of this machine, be heard by all of them, and run the command."""
    membership = Membership.read()
    if membership is None:
        raise SystemExit("this is for `bert launch`, which says in the environment who is who")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # Before MLX is imported, whose kernels look at it once.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (cores or 1) // membership.neighbours)))
    with heard(membership):
        from bert_playground.cli.app import app

        app(prog_name="bert")


if __name__ == "__main__":
    main()
