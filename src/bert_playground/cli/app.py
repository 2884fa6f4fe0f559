"""The Typer app: command → function, nothing else."""

import os
import sys
from typing import Annotated

import typer

from .commands.core.benchmark import benchmark
from .commands.core.blend import blend
from .commands.core.compress import compress
from .commands.core.doctor import doctor
from .commands.core.evaluate import evaluate
from .commands.core.info import info
from .commands.core.launch import launch
from .commands.core.predict import predict
from .commands.core.pretrain import pretrain
from .commands.core.quickstart import quickstart
from .commands.core.train import train
from .commands.core.tune import tune
from .commands.data.compare import compare
from .commands.data.describe import describe
from .commands.data.folds import folds
from .commands.data.preview import preview
from .commands.kaggle.competitions import competitions
from .commands.kaggle.download import download
from .commands.kaggle.files import files
from .commands.kaggle.info import info as kaggle_info
from .commands.kaggle.leaderboard import leaderboard
from .commands.kaggle.ledger import ledger
from .commands.kaggle.limits import limits
from .commands.kaggle.pack import pack
from .commands.kaggle.run import run
from .commands.kaggle.start import start
from .commands.kaggle.submissions import submissions
from .commands.kaggle.submit import submit
from .commands.kaggle.whoami import whoami
from .commands.mlflow.best import best
from .commands.mlflow.compare import compare as mlflow_compare
from .commands.mlflow.doctor import doctor as mlflow_doctor
from .commands.mlflow.export import export as mlflow_export
from .commands.mlflow.promote import promote
from .commands.mlflow.register import register
from .commands.mlflow.runs import runs
from .commands.mlflow.show import show as mlflow_show
from .commands.mlflow.ui import ui
from .commands.model.calibrate import calibrate
from .commands.model.export import export
from .commands.model.inspect import inspect
from .commands.model.merge import merge
from .commands.model.pull import pull
from .commands.model.push import push
from .commands.model.quantize import quantize
from .commands.model.serve import serve
from .commands.runs.compare import compare as runs_compare
from .commands.runs.list import list_
from .commands.runs.open import open_
from .commands.runs.remove import remove
from .commands.runs.report import report
from .commands.runs.show import show as runs_show
from .utils.errors import FriendlyGroup
from .utils.next_steps import print_next_steps
from .utils.options import SettingsCommand
from .utils.terminal import spell_for_terminal

COMPLETION = "_BERT_COMPLETE"  # set by a shell that asks for completions

app = typer.Typer(
    name="bert",
    cls=FriendlyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from bert_playground import __version__

        typer.echo(f"bert-playground {__version__}")
        raise typer.Exit


@app.callback(
    help="BERT encoders on MLX for tables: from train.csv to submission.csv. Start with: bert quickstart"
)
def _options_of_all(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """What the program answers without a command."""


for command in (
    quickstart,
    train,
    tune,
    pretrain,
    predict,
    evaluate,
    blend,
    compress,
    serve,
    benchmark,
    info,
    doctor,
):
    app.command(cls=SettingsCommand)(command)
app.command(
    cls=SettingsCommand,
    # What follows the name of the command belongs to it.
    context_settings={"allow_interspersed_args": False},
)(launch)
app.command("automl", cls=SettingsCommand, help="The same as `bert tune`.", hidden=True)(tune)

model_group = typer.Typer(
    help="Inspect, calibrate, quantize, merge, export, push, pull and serve models.",
    no_args_is_help=True,
)
for model_command in (
    inspect,
    calibrate,
    export,
    quantize,
    merge,
    push,
    pull,
    serve,
):
    model_group.command(cls=SettingsCommand)(model_command)
app.add_typer(model_group, name="model")

data_group = typer.Typer(
    help="Describe, preview and compare tables, and assign cross-validation folds.",
    no_args_is_help=True,
)
for data_command in (describe, preview, compare, folds):
    data_group.command(cls=SettingsCommand)(data_command)
app.add_typer(data_group, name="data")

runs_group = typer.Typer(
    help="List, show, compare, open and remove runs; write the report of one.", no_args_is_help=True
)
runs_group.command("list")(list_)
runs_group.command("show")(runs_show)
runs_group.command("compare")(runs_compare)
runs_group.command()(report)
runs_group.command("open")(open_)
runs_group.command()(remove)
app.add_typer(runs_group, name="runs")

kaggle_group = typer.Typer(
    help="Competitions on Kaggle: a project folder, checked submissions, a ledger of scores.",
    no_args_is_help=True,
)
kaggle_group.command()(start)
kaggle_group.command(cls=SettingsCommand)(run)
kaggle_group.command()(submit)
kaggle_group.command()(ledger)
kaggle_group.command()(pack)
kaggle_group.command()(whoami)
kaggle_group.command()(competitions)
kaggle_group.command("info")(kaggle_info)
kaggle_group.command()(files)
kaggle_group.command()(download)
kaggle_group.command()(submissions)
kaggle_group.command()(leaderboard)
kaggle_group.command()(limits)
app.add_typer(kaggle_group, name="kaggle")

mlflow_group = typer.Typer(
    help="What was tracked by `--mlflow`: runs, their models, MLflow's page.", no_args_is_help=True
)
mlflow_group.command()(ui)
mlflow_group.command()(runs)
mlflow_group.command("show")(mlflow_show)
mlflow_group.command("compare")(mlflow_compare)
mlflow_group.command()(best)
mlflow_group.command()(register)
mlflow_group.command()(promote)
mlflow_group.command("export")(mlflow_export)
mlflow_group.command("doctor")(mlflow_doctor)
app.add_typer(mlflow_group, name="mlflow")


def main() -> None:
    """Run the command line; the console script `bert`."""
    spell_for_terminal()
    if len(sys.argv) == 1 and COMPLETION not in os.environ:
        print_next_steps()  # at once: building all commands takes longer than to look around
        return
    app()
