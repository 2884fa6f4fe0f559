"""bert kaggle download: the files of a competition, checked and unpacked; goes on where it was broken off."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.competition import Name, choose_competition, connect, find_entry
from bert_playground.cli.utils.console import print_json, print_lines

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FOLDER", help="folder to fill (default data/NAME)", show_default=False
    ),
]
File = Annotated[
    list[str] | None,
    typer.Option(
        "--file", metavar="NAME", help="only this file; may be repeated", show_default=False
    ),
]
MaxSize = Annotated[
    float, typer.Option("--max-size", metavar="GIB", min=0, help="most GiB of unpacked files")
]
Force = Annotated[
    bool, typer.Option("--force", help="replace files that are there", show_default=False)
]


def download(
    name: Name = None,
    output: Output = None,
    file: File = None,
    max_size: MaxSize = 20.0,
    force: Force = False,
    json: options.Json = False,
) -> None:
    """Download the files of a competition; those that are there with the right size are not fetched again."""
    from bert_playground.data.kaggle.download import download_competition
    from bert_playground.data.kaggle.unpack import GIB
    from bert_playground.lookup import count_of, shorten

    slug = choose_competition(name)
    folder = output or Path("data") / (name if name and find_entry(name) else slug)
    got = download_competition(
        connect(), slug, folder, names=file or (), most_bytes=int(max_size * GIB), force=force
    )
    if json:
        print_json({"folder": folder, "files": got.files, "fetched": got.fetched})
        return
    kept = len(got.files) - len(got.fetched)
    there = f", {kept} were there" if kept else ""
    print_lines(
        [f"{count_of(len(got.fetched), 'file')} fetched{there}: {shorten(got.files)} in {folder}"]
    )
