"""bert mlflow ui: MLflow's page for a store, served by whatever full MLflow there is."""

import shlex
from typing import Annotated

import typer

from bert_playground.cli.utils.console import print_lines, say
from bert_playground.cli.utils.tracking import StoreName, choose_address

Host = Annotated[str, typer.Option("--host", metavar="NAME", help="to listen on")]
Port = Annotated[int, typer.Option("--port", metavar="N", min=1, max=65535, help="to listen on")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="print the command alone", show_default=False)
]


def ui(
    store: StoreName = None, host: Host = "127.0.0.1", port: Port = 5000, dry_run: DryRun = False
) -> None:
    """Serve MLflow's page until Ctrl-C: by the full mlflow if there is one, else by uvx or pipx."""
    import subprocess

    from bert_playground.tracking.store import hide_secrets
    from bert_playground.tracking.ui import ui_command

    words, page = ui_command(choose_address(store), host, port)
    if not words:
        print_lines([f"the server has its own page: {hide_secrets(page)}"])
        return
    if dry_run:
        print_lines([hide_secrets(shlex.join(words))])
        return
    say(f"{page}   (Ctrl-C ends it)")
    try:
        status = subprocess.run(words, check=False).returncode
    except KeyboardInterrupt:
        return
    if status:
        raise ValueError(f"the page ended with {status}; tried: {hide_secrets(shlex.join(words))}")
