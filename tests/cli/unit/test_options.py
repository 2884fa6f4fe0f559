"""Flags: made from the fields of RunConfig, the seeds' are all there, and what is typed is merged or refused."""

import json
import re

import pytest
import typer
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.cli.utils.options import given_flags
from bert_playground.config import RunConfig
from bert_playground.config.flags import Unset, settings
from bert_playground.config.load import paths
from bert_playground.models.lora.config import LORA_PRESETS
from bert_playground.runs import RunDir
from bert_playground.training.run_folder import read_run_config
from tests.cli.commands import commands_of, parameters_of

COMMANDS = commands_of(typer.main.get_command(app))
OPTIONS = {
    name: {option: parameter for parameter in parameters_of(command) for option in parameter.opts}
    for name, command in COMMANDS.items()
}
FLAGS = {path: setting for path, setting in settings().items() if setting.flag is not None}
# Of the seed documents and of the first issue.
DOCUMENTED = {
    "train": (
        "--train --val --epochs --batch-size --lr --logging-steps --config --use-pretokenized --num-workers "
        "--prefetch-size --grad-accum --experiment --mlflow --log-level --model --target --id-column --task --template "
        "--max-length --seed --output --precision --resume --show-config --metric --max-steps --lora --no-compile --json "
        "--output-dir --set"
    ),
    "pretrain": (
        "--train --test --target --unlabeled --model --mask-probability --epochs --batch-size --lr --seed --output "
        "--config --resume --json --output-dir --set"
    ),
    "predict": "--test --checkpoint --output --sample --proba --batch-size --json",
    "evaluate": "--data --checkpoint --json",
    "benchmark": "--model --batch-size --seq-length --steps --precision --test-compilation --json",
    "info": "--json",
    "quickstart": "--output --output-dir --seed --json",
}


def flags_of(*arguments: str) -> dict[str, object]:
    command = COMMANDS["train"]
    return given_flags(command.make_context("train", list(arguments)))


def show(
    *arguments: str, command: str = "train", **environment: str
) -> dict[str, dict[str, object]]:
    result = CliRunner().invoke(
        app, [command, *arguments, "--show-config", "--json"], env=environment
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["train", "--show-config", *arguments])
    assert result.exit_code == 2
    return result.stderr


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_flags_exist(name):
    assert set(DOCUMENTED[name].split()) <= set(OPTIONS[name])


def test_no_two_settings_share_a_flag():
    names = [name for setting in FLAGS.values() for name in setting.flag.names.split()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", FLAGS)
def test_every_flag_is_taken_by_a_command_and_sets_its_setting(path):
    parameter = path.replace(".", "__")
    assert any(
        item.name == parameter for command in COMMANDS.values() for item in parameters_of(command)
    )


@pytest.mark.parametrize("path", FLAGS)
def test_stated_default_is_the_default(path):
    stated = re.search(r"\(default ([\w.-]+)\)", FLAGS[path].help)
    default = paths()[path]
    if stated and path != "model.pretrained":
        assert stated[1] == str(default)
    elif stated:
        assert stated[1] == paths()["model.architecture"]
    else:
        is_said = "default:" in FLAGS[path].help
        assert is_said or default in (None, True, False, ()) or path == "lora.preset"


def test_presets_of_adapters_are_all_named():
    assert set(re.findall(r"\w+", FLAGS["lora.preset"].help)) >= set(LORA_PRESETS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_one_line_of_help(name):
    for parameter in parameters_of(COMMANDS[name]):
        if not getattr(parameter, "hidden", False):
            assert parameter.help
            assert "\n" not in parameter.help


@pytest.mark.parametrize("path", settings())
def test_every_setting_says_what_it_is_and_what_none_means(path):
    field = settings()[path].field
    assert field.description
    if field.default is None:
        assert any(isinstance(item, Unset) for item in field.metadata)


def test_flags_that_were_not_given_are_absent():
    assert flags_of() == {}


def test_model_names_an_architecture_or_a_checkpoint():
    assert flags_of("--model", "bert") == {"model.architecture": "bert"}
    assert flags_of("--model", "modernbert_with_head") == {"model.architecture": "modernbert"}
    assert flags_of("--model", "some/checkpoint") == {"model.pretrained": "some/checkpoint"}


def test_combined_flags():
    assert flags_of("--lora", "efficient") == {"lora.enabled": True, "lora.preset": "efficient"}
    assert flags_of("--no-compile") == {"training.use_compilation": False}
    assert flags_of("--mlflow") == {"tracking.mlflow": True}


@pytest.mark.parametrize("flag", ["--output", "--output-dir"])
def test_both_names_of_the_run_folder(flag):
    assert flags_of(flag, "runs") == {"training.output_dir": "runs"}


def test_a_value_that_does_not_fit_names_its_flag_and_all_are_listed():
    said = refused("--epochs", "three", "--batch-size", "0", "--task", "binry")
    assert "training.epochs = 'three' (flag --epochs): should be a valid integer" in said
    assert "training.batch_size = 0 (flag --batch-size): should be greater than 0" in said
    assert "did you mean 'binary'?" in said


def test_show_config_has_every_setting_with_its_source():
    shown = show("--config", "quick", "--seed", "3", BERT_TRAINING__EPOCHS="9")
    assert set(shown) == set(paths())
    assert shown["training.seed"] == {"value": 3, "source": "flag"}
    assert shown["training.epochs"] == {"value": 9, "source": "environment BERT_TRAINING__EPOCHS"}
    assert shown["training.batch_size"] == {"value": 16, "source": "preset quick"}
    assert shown["training.precision"]["source"] == "default"


def test_set_reaches_every_setting():
    shown = show(
        "--set", "model.num_layers=6", "--set", "data.drop_columns=[Name, Ticket]",
        "--set", "data.target=price: net", "--set", "training.learning_rate=2e-5",
    )  # fmt: skip
    assert shown["model.num_layers"] == {"value": 6, "source": "--set"}
    assert shown["data.drop_columns"]["value"] == ["Name", "Ticket"]
    assert shown["data.target"]["value"] == "price: net"
    assert shown["optimizer.learning_rate"] == {"value": 2e-5, "source": "--set"}


def test_set_beats_environment_and_file():
    shown = show("--config", "quick", "--set", "training.epochs=7", BERT_TRAINING__EPOCHS="9")
    assert shown["training.epochs"] == {"value": 7, "source": "--set"}


def test_a_flag_and_a_set_may_say_the_same_but_not_disagree():
    assert show("--lr", "2e-5", "--set", "optimizer.learning_rate=0.00002")
    said = refused("--lr", "1e-4", "--set", "optimizer.learning_rate=2e-5")
    assert "optimizer.learning_rate = 0.0001 (flag --lr), but = 2e-05 (--set)" in said
    said = refused("--set", "training.seed=1", "--set", "training.seed=2")
    assert "training.seed = 1 (--set), but = 2 (--set)" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("traning.epochs=3", "did you mean 'training.epochs'?"),
        ("epochs=3", "did you mean 'training.epochs'?"),
        ("training=3", "is a section, expected keys under it such as epochs"),
        ("training.epochs", "--set training.epochs: expected section.key=value"),
        ("training.epochs=some", "training.epochs = 'some' (--set): should be a valid integer"),
    ],
)
def test_a_set_that_cannot_be_says_what_could(text, words):
    assert words in refused("--set", text)


@pytest.mark.parametrize("source", ["flag", "--set"])
def test_what_was_typed_cannot_change_a_resumed_run(tmp_path, source):
    run = RunDir(tmp_path)
    run.config.write_text(json.dumps({"values": RunConfig().model_dump(mode="json")}))
    asked = RunConfig(training={"batch_size": 4, "epochs": 9})
    with pytest.raises(ValueError, match=r"training\.batch_size \(32, asked 4\)"):
        read_run_config(run, asked, {"training.batch_size": source})
    assert read_run_config(run, asked, {"training.epochs": source}).training.epochs == 9
    assert read_run_config(run, asked, {"training.batch_size": "preset quick"}) == RunConfig()


def test_show_config_says_what_the_recipe_will_choose():
    assert show()["optimizer.learning_rate"]["meaning"] == "by recipe: 0.0005 or 0.001"
    assert show("--lora", "dora")["optimizer.learning_rate"]["meaning"] == "by recipe: 0.001"
    assert show("--model", "some/checkpoint")["optimizer.learning_rate"]["meaning"] == (
        "by recipe: 5e-05 or 0.0002 or 0.0004"
    )
    epochs = show("--task", "binary")["training.epochs"]
    assert epochs == {
        "value": None,
        "source": "default",
        "meaning": "by recipe: 4 to 16, by the number of rows",
    }
    assert show(command="pretrain")["optimizer.learning_rate"]["meaning"] == "by recipe: 0.001"


def test_show_config_has_no_empty_cell():
    result = CliRunner().invoke(app, ["train", "--show-config"], env={"COLUMNS": "200"})
    rows = [line.split("│") for line in result.stdout.splitlines() if line.startswith("│")]
    assert len(rows) == len(paths())
    assert all(cell.strip() for row in rows for cell in row[1:4])


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (["data", "preview", "--train", "a.csv"], "preview FILE"),
        (["data", "describe", "--train=a.csv"], "describe FILE"),
        (["data", "compare", "--train", "a.csv", "--test", "b.csv"], "compare TRAIN TEST"),
    ],
)
def test_a_table_by_the_flag_of_another_command_is_told_where_it_goes(
    words: list[str], usage: str
) -> None:
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert usage in result.stderr
    assert "without a flag" in result.stderr
