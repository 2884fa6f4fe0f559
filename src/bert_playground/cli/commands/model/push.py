"""bert model push: send a checkpoint to the Hugging Face Hub, with a card of what its run measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_checkpoint
from bert_playground.cli.utils.completion import complete_checkpoints
from bert_playground.cli.utils.console import print_json, print_lines, print_result, program

if TYPE_CHECKING:
    from bert_playground.export.push import Pushed

Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="checkpoint, ensemble or run folder",
        show_default=False,
        autocompletion=complete_checkpoints,
    ),
]
Repo = Annotated[
    str,
    typer.Option(
        "--repo",
        metavar="NAME",
        help="OWNER/NAME on the Hub, or a name of your own account; made if missing",
        show_default=False,
    ),
]
Private = Annotated[
    bool,
    typer.Option("--private", metavar="", help="only you may read it", show_default=False),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="NAME",
        help="of an adapter: Hub id of its base, where it names a folder of this machine",
        show_default=False,
    ),
]
Message = Annotated[
    str | None,
    typer.Option("--message", metavar="TEXT", help="of the commit", show_default=False),
]
NewCard = Annotated[
    bool,
    typer.Option(
        "--new-card",
        metavar="",
        help="write the card anew, in place of a README.md that was written by hand or by an export",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        metavar="",
        help="list what would be sent, and send nothing",
        show_default=False,
    ),
]


def push(
    run: Run,
    repo: Repo,
    private: Private = False,
    base: Base = None,
    message: Message = None,
    new_card: NewCard = False,
    dry_run: DryRun = False,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Send a checkpoint to the Hugging Face Hub: weights, pipeline, tokenizer and a card; never rows, logs or secrets."""
    from bert_playground.export.push import push_model
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    pushed = push_model(
        choose_checkpoint(run, None),
        repo,
        is_private=private,
        base=base,
        message=message,
        new_card=new_card,
        is_dry=dry_run,
    )
    if json:
        print_json(pushed.__dict__)
        return
    print_lines(_describe(pushed))
    if pushed.url is not None:
        print_result(pushed.url)


def _describe(pushed: "Pushed") -> list[str]:
    width = max(map(len, pushed.files))
    size = f"{pushed.num_bytes / 2**20:,.1f} MiB"
    lines = [f"  {name:<{width}}  {count:>12,} bytes" for name, count in pushed.files.items()]
    lines += [f"left out, {why}: {names}" for why, names in _group(pushed.left_out).items()]
    if "pipeline.json" in {name.rpartition("/")[2] for name in pushed.files}:
        lines.append(
            "pipeline.json and the tokenizer hold column names, frequent cells and words of the training table"
        )
    if pushed.url is None:
        return [f"{pushed.checkpoint} → {pushed.repo}, {size}:", *lines, "nothing was sent"]
    who = "only you and whom you let may read it" if pushed.is_private else "everybody can read it"
    return [
        f"{pushed.checkpoint} → {pushed.repo}, {size}:",
        *lines,
        f"commit {pushed.revision}; {who}",
        "",
        "next:",
        f"  {program()} model pull {pushed.repo}",
    ]


def _group(left_out: Mapping[str, str]) -> dict[str, str]:
    from bert_playground.lookup import shorten

    return {
        why: shorten((name for name, each in left_out.items() if each == why), 3)
        for why in dict.fromkeys(left_out.values())
    }
