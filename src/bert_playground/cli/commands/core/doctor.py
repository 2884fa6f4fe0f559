"""bert doctor: what this machine has and lacks, and what to do about it."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, print_table
from bert_playground.cli.utils.errors import BAD_INPUT
from bert_playground.cli.utils.tracking import OUTPUT

Bundle = Annotated[
    Path | None,
    typer.Option(
        "--bundle",
        metavar="FILE",
        help="write a zip file for a bug report, without paths, names and values of this machine",
        show_default=False,
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="ask no address of the network", show_default=False)
]


def doctor(bundle: Bundle = None, offline: Offline = False, json: options.Json = False) -> None:
    """Look at device, kernels, memory, disk, extras, credentials and network; exit code 2 if something is broken."""
    from bert_playground.doctor.bundle import write_bundle
    from bert_playground.doctor.examine import examine
    from bert_playground.finding import BAD

    found = examine(OUTPUT, is_offline=offline)
    if json:
        print_json([each.to_dict() for each in found])
    else:
        rows = [(each.what, each.state, each.found, each.remedy) for each in found]
        print_table("doctor", ("what", "state", "found", "to do"), rows)
    if bundle is not None:
        write_bundle(bundle, found)
        print_lines([] if json else [f"bundle   {bundle}"])
    if any(each.state == BAD for each in found):
        raise typer.Exit(BAD_INPUT)
