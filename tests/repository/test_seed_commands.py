"""The command lines of the project's seed document parse, word for word; the first of each line is after bert_cli.py."""

import shlex

import pytest
import typer

from bert_playground.cli.app import app
from bert_playground.cli.utils.options import given_flags

from .files import ROOT

COMMANDS = """\
train --train data/titanic/train.csv --val data/titanic/val.csv --epochs 1 --batch-size 4 --logging-steps 1
train --train data/titanic/train.csv --val data/titanic/val.csv --epochs 5 --batch-size 32 --lr 2e-5
train --train data/titanic/train.csv --val data/titanic/val.csv --config configs/production.json
train --train data/titanic/train.csv --val data/titanic/val.csv --use-pretokenized --batch-size 64
predict --test data/titanic/test.csv --checkpoint output/run_*/checkpoints/final --output submission.csv
benchmark --batch-size 64 --seq-length 256 --steps 20
info
train --train data/titanic/train.csv --val data/titanic/val.csv --batch-size 32 --epochs 5
train --train data/titanic/train.csv --val data/titanic/val.csv --batch-size 32 --lr 2e-5 --epochs 5 --num-workers 4 --prefetch-size 4
train --train data/titanic/train.csv --val data/titanic/val.csv --config configs/best_model_only.yaml
train --logging-steps 1 --train data/titanic/train.csv
train --config configs/no_compile.yaml
train --batch-size 32
train --batch-size 16 --grad-accum 2
train --batch-size 16
train --use-pretokenized
train --batch-size 8 --grad-accum 4
train --train data/titanic/train.csv --val data/titanic/val.csv
predict --test data/titanic/test.csv --checkpoint output/run_*/checkpoints/final --output predictions.csv
train --train data/titanic/train.csv --val data/titanic/val.csv --use-pretokenized
train --train data/titanic/train.csv --val data/titanic/val.csv --experiment titanic_experiment --mlflow
train --epochs 1 --batch-size 8
benchmark --steps 50
train --config configs/production.json
train --log-level DEBUG
"""


@pytest.mark.parametrize("line", COMMANDS.splitlines())
def test_command_parses(line):
    name, *arguments = shlex.split(line)
    context = typer.main.get_command(app).commands[name].make_context(name, list(arguments))
    if name == "train":
        settings = len(
            [
                word
                for word in arguments
                if word.startswith("--") and word not in ("--config", "--log-level")
            ]
        )
        assert len(given_flags(context)) == settings


@pytest.mark.parametrize(
    "path",
    ["tests/data/unit/loaders/test_mlx_loader.py", "tests/data/integration/test_data_pipeline.py", "bert_cli.py",
     "configs/production.json", "configs/quick.yaml", "configs/best_model_only.yaml", "configs/no_compile.yaml",
     "scripts/download_titanic.py", "docs/training_hang_fix.md"],
)  # fmt: skip
def test_named_file_exists(path):
    assert (ROOT / path).is_file()
