"""Flags: each sets an existing setting, the seeds' are all there, and stated defaults are true."""

import json
import re

import pytest
import typer
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.cli.utils.options import ARCHITECTURES, CONFIG_PATHS, given_flags
from bert_playground.config.load import paths
from bert_playground.config.schema import ModelSection
from tests.cli.commands import commands_of

COMMANDS = commands_of(typer.main.get_command(app))
OPTIONS = {
    name: {option: parameter for parameter in command.params for option in parameter.opts}
    for name, command in COMMANDS.items()
}
# Of the seed documents and of the first issue.
DOCUMENTED = {
    "train": (
        "--train --val --epochs --batch-size --lr --logging-steps --config --use-pretokenized --num-workers "
        "--prefetch-size --grad-accum --experiment --mlflow --log-level --model --target --id-column --task --template "
        "--max-length --seed --output --precision --resume --show-config --metric --max-steps --lora --no-compile --json"
    ),
    "pretrain": (
        "--train --test --target --unlabeled --model --mask-probability --epochs --batch-size --lr --seed --output "
        "--config --resume --json"
    ),
    "predict": "--test --checkpoint --output --sample --proba --batch-size --json",
    "evaluate": "--data --checkpoint --json",
    "benchmark": "--model --batch-size --seq-length --steps --precision --test-compilation --json",
    "info": "--json",
    "quickstart": "--output --seed --json",
}


def test_every_path_is_a_setting():
    assert set(CONFIG_PATHS.values()) <= set(paths())


def test_every_configured_parameter_is_a_flag_of_train():
    names = {parameter.name for parameter in COMMANDS["train"].params}
    assert set(CONFIG_PATHS) <= names


def test_architectures_are_those_of_the_configuration():
    annotation = ModelSection.model_fields["architecture"].annotation
    assert set(ARCHITECTURES) == set(annotation.__args__)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_flags_exist(name):
    assert set(DOCUMENTED[name].split()) <= set(OPTIONS[name])


@pytest.mark.parametrize("name", CONFIG_PATHS)
def test_stated_default_is_the_default(name):
    parameter = next(p for p in COMMANDS["train"].params if p.name == name)
    stated = re.search(r"\(default ([\w-]+)\)", parameter.help or "")
    default = paths()[CONFIG_PATHS[name]]
    if stated:
        assert stated[1] == str(default)
    else:
        assert default is None or default is False or "default:" in (parameter.help or "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_one_line_of_help(name):
    for parameter in COMMANDS[name].params:
        if not getattr(parameter, "hidden", False):
            assert parameter.help
            assert "\n" not in parameter.help


def test_flags_that_were_not_given_are_absent():
    assert given_flags({"epochs": None, "train": None, "model": None, "lora": None}) == {}


def test_model_names_an_architecture_or_a_checkpoint():
    assert given_flags({"model": "bert"}) == {"model.architecture": "bert"}
    assert given_flags({"model": "modernbert_with_head"}) == {"model.architecture": "modernbert"}
    assert given_flags({"model": "some/checkpoint"}) == {"model.pretrained": "some/checkpoint"}


def test_combined_flags():
    assert given_flags({"lora": "efficient"}) == {"lora.enabled": True, "lora.preset": "efficient"}
    assert given_flags({"no_compile": True}) == {"training.use_compilation": False}


def test_show_config_has_every_setting_with_its_source():
    arguments = ["train", "--config", "quick", "--seed", "3", "--show-config", "--json"]
    result = CliRunner().invoke(app, arguments, env={"BERT_TRAINING__EPOCHS": "9"})
    assert result.exit_code == 0, result.output

    shown = json.loads(result.stdout)
    assert set(shown) == set(paths())
    assert shown["training.seed"] == {"value": 3, "source": "flag"}
    assert shown["training.epochs"] == {"value": 9, "source": "environment BERT_TRAINING__EPOCHS"}
    assert shown["training.batch_size"] == {"value": 16, "source": "preset quick"}
    assert shown["training.precision"]["source"] == "default"
