"""The Typer app: command → function, nothing else."""

import typer

from .commands.core.benchmark import benchmark
from .commands.core.evaluate import evaluate
from .commands.core.info import info
from .commands.core.predict import predict
from .commands.core.quickstart import quickstart
from .commands.core.train import train
from .utils.errors import FriendlyGroup

app = typer.Typer(
    name="bert",
    cls=FriendlyGroup,
    help="BERT encoders on MLX for tables: from train.csv to submission.csv. Start with: bert quickstart",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (quickstart, train, predict, evaluate, benchmark, info):
    app.command()(command)


def main() -> None:
    """Run the command line; the console script `bert`."""
    app()
