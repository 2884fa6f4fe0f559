"""claim_process: a forked process that would wait for ever says so at once: MLX, OpenMP and Polars lose their threads in a fork."""

import os

_owner: int | None = None  # the process that has computed


def claim_process() -> None:
    """Note that this process computes.

    Raises:
        RuntimeError: it was forked from one that had computed already.
    """
    global _owner
    if _owner is None:
        _owner = os.getpid()
    elif _owner != os.getpid():
        raise RuntimeError(
            f"process {os.getpid()} was forked from {_owner}, which had computed already, and a fork has none of the threads "
            'that compute; make processes by multiprocessing.get_context("spawn"), or os.fork() before anything is loaded'
        )
