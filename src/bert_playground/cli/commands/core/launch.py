"""bert launch: several processes, on one machine or more, train one model together."""

import shlex
from typing import Annotated

import typer

from bert_playground.cli.utils.options import option
from bert_playground.lookup import nearest

LAUNCHED = ("train", "pretrain")
DEFAULT_PORT = 32323
DEFAULT_TIMEOUT = 30.0


def launch(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND",
            help="the command that all processes run: train or pretrain, with its flags",
            show_default=False,
        ),
    ],
    processes: Annotated[
        int | None,
        option("-n", "--processes", metavar="N", help="on each machine (default 1)", min=1),
    ] = None,
    hosts: Annotated[
        str | None,
        option(
            "--hosts",
            metavar="A,B",
            help="machines, reached by ssh without a password (default: this one)",
        ),
    ] = None,
    port: Annotated[
        int | None,
        option(
            "--port",
            metavar="N",
            help=f"first port between machines (default {DEFAULT_PORT})",
            min=1,
            max=65000,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        option(
            "--timeout",
            metavar="SECONDS",
            help=f"a process that is not heard of for so long is lost (default {DEFAULT_TIMEOUT:g})",
            min=2.0,
            max=3600.0,
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        option("--env", metavar="NAME=VALUE", help="variable of each process; may be repeated"),
    ] = None,
    python: Annotated[
        str | None,
        option(
            "--python",
            metavar="PATH",
            help="interpreter on the machines (default: the path of this one)",
        ),
    ] = None,
) -> None:
    """Train one model by several processes: `bert launch -n 2 train --train FILE.csv`. Batches are shared, gradients summed."""
    from bert_playground.distributed.hosts import place_ranks
    from bert_playground.distributed.launch import Job, launch

    if command[0] not in LAUNCHED:
        raise ValueError(
            f"bert launch runs {' or '.join(LAUNCHED)}, not {command[0]!r}{nearest(command[0], LAUNCHED)}: only the steps of "
            "one training are shared among processes"
        )
    given = {
        "-n": processes,
        "--hosts": hosts,
        "--port": port,
        "--timeout": timeout,
        "--python": python,
    }
    words = [
        word
        for name, value in given.items()
        if value is not None
        for word in (name, f"{value:g}" if isinstance(value, float) else str(value))
    ]
    words += [word for each in env or () for word in ("--env", each)]
    machines = (hosts or "127.0.0.1").split(",")
    if "" in machines:
        raise ValueError(f"--hosts {hosts}: a name is missing between commas; expected such as a,b")
    job = Job(
        place_ranks(machines, processes or 1, port or DEFAULT_PORT),
        tuple(command),
        shlex.join(["bert", "launch", *words]),
        _read_variables(env or []),
        python,
        timeout or DEFAULT_TIMEOUT,
    )
    if code := launch(job):
        raise typer.Exit(code)


def _read_variables(given: list[str]) -> dict[str, str]:
    variables = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not (equals and name.replace("_", "a").isalnum() and not name[0].isdigit()):
            raise ValueError(f"--env {each}: expected NAME=VALUE, such as OMP_NUM_THREADS=4")
        variables[name] = value
    return variables
