"""Group: what processes that train together exchange; joined_group: that of this process, which may be alone."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_map, tree_unflatten

from bert_playground.distributed.buckets import join_arrays, split_arrays
from bert_playground.distributed.heartbeats import Heartbeats, active_heartbeats

Arrays = dict[str, Any]  # a tree of arrays


class Group:
    """One process by itself: what it has is what all have."""

    rank = 0
    size = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def sum_arrays(self, tree: Arrays) -> Arrays:
        """The sums over all processes of the arrays of a tree, the same bits on each."""
        return tree

    def sum_numbers(self, numbers: Sequence[int]) -> list[int]:
        """The sums over all processes of a few whole numbers."""
        return list(numbers)

    def gather(self, content: bytes) -> list[bytes]:
        """What each process gives, in the order of their ranks, on all of them."""
        return [content]

    def part(self) -> None:
        """Say that no exchange follows, so that this process may end before the others."""

    def spread(self, content: bytes) -> bytes:
        """What rank 0 gives, on all processes."""
        return self.gather(content if self.is_first else b"")[0]

    def spread_arrays(self, tree: Arrays) -> Arrays:
        """The arrays of rank 0, on all processes; the others give arrays of the same shapes."""
        if self.size == 1 or not tree:
            return tree
        return self.sum_arrays(tree if self.is_first else tree_map(mx.zeros_like, tree))


class JoinedGroup(Group):
    """Several processes, connected by `mx.distributed`.

    Args:
        group: of MLX.
        heartbeats: that run already.
    """

    def __init__(self, group: mx.distributed.Group, heartbeats: Heartbeats) -> None:
        """Take over what is connected."""
        self.group, self.heartbeats = group, heartbeats
        self.rank, self.size = group.rank(), group.size()

    def sum_arrays(self, tree: Arrays) -> Arrays:
        """The sums over all processes, exchanged in few large buckets."""
        buckets = join_arrays(dict(tree_flatten(tree)))
        mx.eval([bucket.values for bucket in buckets])  # nothing else is computed meanwhile
        summed = [bucket._replace(values=self._sum(bucket.values)) for bucket in buckets]
        return cast("Arrays", tree_unflatten(list(split_arrays(summed).items())))

    def sum_numbers(self, numbers: Sequence[int]) -> list[int]:
        """The sums over all processes of a few whole numbers."""
        return [int(each) for each in np.array(self._sum(mx.array(list(numbers), dtype=mx.int64)))]

    def gather(self, content: bytes) -> list[bytes]:
        """What each process gives; first their sizes are exchanged, then the bytes."""
        sizes = self.sum_numbers(
            [len(content) if rank == self.rank else 0 for rank in range(self.size)]
        )
        ends = np.cumsum([0, *sizes])
        if not ends[-1]:
            return [b""] * self.size
        everything = np.zeros(int(ends[-1]), dtype=np.uint8)
        everything[ends[self.rank] : ends[self.rank + 1]] = np.frombuffer(content, dtype=np.uint8)
        received = np.array(self._sum(mx.array(everything))).tobytes()
        return [received[ends[rank] : ends[rank + 1]] for rank in range(self.size)]

    def part(self) -> None:
        """Say that no exchange follows."""
        self.heartbeats.part()

    def _sum(self, values: mx.array) -> mx.array:
        with self.heartbeats.collective(values.nbytes):
            # The ring works on the CPU, whatever the default device.
            try:
                summed = mx.distributed.all_sum(values, group=self.group, stream=mx.cpu)
                mx.eval(summed)
            except RuntimeError as error:
                self.heartbeats.wait_for_end(str(error))
                raise
        return summed


@cache
def joined_group() -> Group:
    """The group of this process: the ring of its job, which is connected at the first call; else itself.

    Raises:
        ValueError: the ring cannot be connected.
    """
    heartbeats = active_heartbeats()
    if heartbeats is None:
        return Group()
    heartbeats.meet()
    membership = heartbeats.membership
    with _ring_file(membership.ring) as path:
        os.environ |= {"MLX_RANK": str(membership.rank), "MLX_HOSTFILE": str(path)}
        try:
            with heartbeats.collective():
                group = mx.distributed.init(strict=True, backend="ring")
        except RuntimeError as error:
            raise ValueError(
                f"the ring of {', '.join(membership.ring)} cannot be connected: {error}; see that these ports are free, "
                "and open between the machines, or choose others by --port"
            ) from error
    return JoinedGroup(group, heartbeats)


@contextmanager
def _ring_file(addresses: Sequence[str]) -> Iterator[Path]:
    """The addresses as MLX reads them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ring.json"
        path.write_text(json.dumps([[address] for address in addresses]), encoding="utf-8")
        yield path
