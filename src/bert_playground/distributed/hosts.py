"""Place: where a rank runs and by which command it is started there; place_ranks: as many as are asked for, with their ports."""

import shlex
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bert_playground.distributed.membership import VARIABLE

LOOPBACK = ("127.0.0.1", "localhost")
CONNECT_SECONDS = 20
NO_FOLDER = 66  # exit code of the script below
SSH = ("ssh", "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}", "-o", "LogLevel=ERROR")  # fmt: skip
# The first line of stdin is the rank's membership, with a secret that no list of processes shall show. Each further one
# is a signal for the rank; the end of stdin, as when the launcher dies, is the end of the rank, also of a stopped one.
SCRIPT = """exec 3<&0
IFS= read -r {variable} <&3
export {variable}
cd {folder} || exit {no_folder}
{exports}{command} </dev/null 3<&- &
rank=$!
(while read -r name <&3; do kill -s "$name" $rank; done; kill -s KILL $rank) 2>/dev/null &
reader=$!
wait $rank 2>/dev/null
code=$?
kill $reader 2>/dev/null
exit $code"""


@dataclass(frozen=True)
class Place:
    """Where one rank runs.

    Attributes:
        host: as the user named it, for ssh; None: this machine.
        ring: where it listens for its neighbour, as host:port.
    """

    host: str | None
    ring: str

    @property
    def name(self) -> str:
        """For messages."""
        return "this machine" if self.host is None else self.host

    def command(self, script: str) -> list[str]:
        """What starts a script of the shell there."""
        if self.host is None:
            return ["/bin/sh", "-c", script]
        return [*SSH, self.host, f"exec /bin/sh -c {shlex.quote(script)}"]


@dataclass(frozen=True)
class Places:
    """Where a job runs.

    Attributes:
        ranks: of each rank.
        heartbeats: where rank 0 listens for signs of life, as host:port.
    """

    ranks: tuple[Place, ...]
    heartbeats: str

    def count_neighbours(self, rank: int) -> int:
        """Ranks on the same machine as this one, which is among them."""
        return sum(place.host == self.ranks[rank].host for place in self.ranks)


def place_ranks(hosts: Sequence[str], ranks_per_host: int, port: int) -> Places:
    """Ranks host by host.

    Args:
        hosts: names or addresses; ssh starts ranks on those that are not this machine's loopback.
        ranks_per_host: on each.
        port: of heartbeats between machines; the ring takes the following ones. On one machine free ports are chosen.

    Raises:
        ValueError: there is one rank alone, or a host has no address that others could reach.
    """
    named = [host for host in hosts for _ in range(ranks_per_host)]
    if len(named) < 2:
        raise ValueError(
            f"{len(named)} process is no group; ask for several by -n 2 or --hosts a,b, or leave out `launch`"
        )
    if all(host in LOOPBACK for host in named):
        first, *rest = choose_free_ports(len(named) + 1)
        ranks = tuple(Place(None, f"127.0.0.1:{each}") for each in rest)
        return Places(ranks, f"127.0.0.1:{first}")
    addresses = [_resolve(host) for host in named]
    ranks = tuple(
        Place(host, f"{address}:{port + 1 + rank}")
        for rank, (host, address) in enumerate(zip(named, addresses, strict=True))
    )
    return Places(ranks, f"{addresses[0]}:{port}")


def choose_free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def write_script(
    arguments: Sequence[str], environment: Mapping[str, str], python: str | None = None
) -> str:
    """The script of the shell that starts a rank, passes signals on, and ends it with its launcher.

    Args:
        arguments: of `bert`.
        environment: variables beside those of the machine.
        python: of the machine; None: the one that runs here.
    """
    command = [python or sys.executable, "-m", "bert_playground.cli.rank", *arguments]
    return SCRIPT.format(
        variable=VARIABLE,
        no_folder=NO_FOLDER,
        folder=shlex.quote(str(Path.cwd())),
        exports="".join(
            f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()
        ),
        command=shlex.join(command),
    )


def _resolve(host: str) -> str:
    if host in LOOPBACK:
        raise ValueError(
            f"{host} among other machines: they cannot reach it by that name; give the address of this machine in their network"
        )
    try:
        address = socket.gethostbyname(host.rpartition("@")[2])
    except OSError as error:
        raise ValueError(
            f"--hosts {host}: no address is known for it ({error}); give a name that `ssh {host} true` reaches, or an address"
        ) from error
    if address.startswith("127."):
        raise ValueError(
            f"--hosts {host}: here it means {address}, which other machines cannot reach; give its address in their network"
        )
    return address
