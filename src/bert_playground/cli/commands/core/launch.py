"""bert launch: several processes, on one machine or more, train one model together."""

import shlex
from collections.abc import Mapping
from typing import Annotated

import typer

from bert_playground.cli.utils.options import option
from bert_playground.lookup import nearest

LAUNCHED = ("train", "pretrain")
DEFAULT_PORT = 32323
DEFAULT_TIMEOUT = 30.0

Command = Annotated[
    list[str],
    typer.Argument(
        metavar="COMMAND",
        help="the command that all processes run: train or pretrain, with its flags",
        show_default=False,
    ),
]
Processes = Annotated[
    int | None,
    option("-n", "--processes", metavar="N", help="on each machine (default 1)", min=1),
]
Hosts = Annotated[
    str | None,
    option(
        "--hosts",
        metavar="A,B",
        help="machines, reached by ssh without a password (default: this one)",
    ),
]
Port = Annotated[
    int | None,
    option(
        "--port",
        metavar="N",
        help=f"first port between machines (default {DEFAULT_PORT})",
        min=1,
        max=65000,
    ),
]
Timeout = Annotated[
    float | None,
    option(
        "--timeout",
        metavar="SECONDS",
        help=f"a process that is not heard of for so long is lost (default {DEFAULT_TIMEOUT:g})",
        min=2.0,
        max=3600.0,
    ),
]
Variables = Annotated[
    list[str] | None,
    option("--env", metavar="NAME=VALUE", help="variable of each process; may be repeated"),
]
Python = Annotated[
    str | None,
    option(
        "--python",
        metavar="PATH",
        help="interpreter on the machines (default: the path of this one)",
    ),
]


def launch(
    command: Command,
    processes: Processes = None,
    hosts: Hosts = None,
    port: Port = None,
    timeout: Timeout = None,
    env: Variables = None,
    python: Python = None,
) -> None:
    """Train one model by several processes: `bert launch -n 2 train --train FILE.csv`. Batches are shared, gradients summed."""
    from bert_playground.distributed.hosts import place_ranks
    from bert_playground.distributed.launch import Job, launch

    if command[0] not in LAUNCHED:
        raise ValueError(
            f"bert launch runs {' or '.join(LAUNCHED)}, not {command[0]!r}{nearest(command[0], LAUNCHED)}: only the steps of "
            "one training are shared among processes"
        )
    machines = (hosts or "127.0.0.1").split(",")
    if "" in machines:
        raise ValueError(f"--hosts {hosts}: a name is missing between commas; expected such as a,b")
    given = {
        "-n": processes,
        "--hosts": hosts,
        "--port": port,
        "--timeout": timeout,
        "--python": python,
    }
    job = Job(
        place_ranks(machines, processes or 1, port or DEFAULT_PORT),
        tuple(command),
        _spell(given, env or []),
        _read_variables(env or []),
        python,
        timeout or DEFAULT_TIMEOUT,
    )
    if code := launch(job):
        raise typer.Exit(code)


def _spell(given: Mapping[str, int | float | str | None], env: list[str]) -> str:
    """The command that began a job, for the one that resumes it."""
    words = ["bert", "launch"]
    for name, value in given.items():
        if value is not None:
            words += [name, f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join([*words, *(word for each in env for word in ("--env", each))])


def _read_variables(given: list[str]) -> dict[str, str]:
    variables = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not (equals and name.isidentifier() and name.isascii()):
            raise ValueError(f"--env {each}: expected NAME=VALUE, such as OMP_NUM_THREADS=4")
        variables[name] = value
    return variables
