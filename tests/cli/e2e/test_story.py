"""The story through the command line: train, predict, evaluate, resume, benchmark, info, quickstart."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app

SMALL = ["--config", "test", "--no-compile"]


def invoke(*arguments: object):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


@pytest.fixture(scope="module")
def run(passengers, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("output")
    invoke("train", *SMALL, "--train", passengers / "train.csv", "--output", output)
    (run,) = output.glob("run_*")
    return run


def test_train_ends_with_metrics_baseline_files_and_next_command(passengers, tmp_path):
    result = invoke("train", *SMALL, "--train", passengers / "train.csv", "--output", tmp_path)
    assert "val_loss *" in result.stdout
    assert "baseline" in result.stdout
    assert "curves.png" in result.stdout
    assert "bert predict --test" in result.stdout
    assert "target: Survived, binary" in result.stderr


def test_run_folder_is_complete(run):
    for name in (
        "config.json",
        "environment.json",
        "train.log",
        "metrics.jsonl",
        "summary.json",
        "curves.png",
    ):
        assert (run / name).stat().st_size > 0
    sources = json.loads((run / "config.json").read_text())["sources"]
    assert sources["data.train"] == "flag"
    assert sources["model.hidden_size"] == "preset test"


def test_json_is_alone_on_stdout(passengers, tmp_path):
    result = invoke(
        "train", *SMALL, "--train", passengers / "train.csv", "--output", tmp_path, "--json"
    )
    assert "val_accuracy" in json.loads(result.stdout)["metrics"]


def test_default_table_is_used_when_it_is_there(passengers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/titanic").mkdir(parents=True)
    (tmp_path / "data/titanic/train.csv").write_text((passengers / "train.csv").read_text())
    invoke("train", *SMALL, "--epochs", "1", "--batch-size", "8")
    assert list(tmp_path.glob("output/run_*/checkpoints/best"))


def test_predict_writes_what_a_competition_wants(run, passengers, tmp_path):
    output = tmp_path / "submission.csv"
    invoke("predict", "--test", passengers / "test.csv", "--checkpoint", run, "--output", output)
    submission = pl.read_csv(output)
    assert submission.columns == ["PassengerId", "Survived"]
    assert (
        submission["PassengerId"].to_list()
        == pl.read_csv(passengers / "test.csv")["PassengerId"].to_list()
    )
    assert set(submission["Survived"].to_list()) <= {0, 1}


def test_predict_takes_the_newest_of_several_checkpoints(run, passengers, tmp_path):
    older = tmp_path / "older"
    older.mkdir()
    for file in (run / "checkpoints/best").rglob("*"):
        if file.is_file():
            copy = older / file.relative_to(run / "checkpoints/best")
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(file.read_bytes())
    os.utime(older / "model.safetensors", (1, 1))
    arguments = [
        "--test",
        passengers / "test.csv",
        "--output",
        tmp_path / "submission.csv",
        "--json",
    ]
    result = invoke("predict", "--checkpoint", older, run / "checkpoints/best", *arguments)
    assert json.loads(result.stdout)["checkpoint"] == str(run / "checkpoints/best")
    assert "the newest of 2" in result.stderr


def test_probabilities_sum_to_one(run, passengers, tmp_path):
    output = tmp_path / "probabilities.csv"
    invoke(
        "predict",
        "--test",
        passengers / "test.csv",
        "--checkpoint",
        run,
        "--output",
        output,
        "--proba",
    )
    table = pl.read_csv(output)
    assert table.columns == ["PassengerId", "Survived_0", "Survived_1"]
    sums = (table["Survived_0"] + table["Survived_1"]).to_numpy()
    assert abs(sums - 1).max() < 1e-6


def test_probabilities_follow_a_two_column_sample(run, passengers, tmp_path):
    sample = tmp_path / "sample.csv"
    ids = pl.read_csv(passengers / "test.csv")["PassengerId"]
    pl.DataFrame({"PassengerId": ids, "Survived": [0.5] * len(ids)}).write_csv(sample)
    output = tmp_path / "probabilities.csv"
    arguments = ["--test", passengers / "test.csv", "--checkpoint", run, "--sample", sample]
    invoke("predict", *arguments, "--proba", "--output", output)
    table = pl.read_csv(output)
    assert table.columns == ["PassengerId", "Survived"]
    assert table["Survived"].is_between(0, 1).all()


def test_evaluate_scores_beside_the_constant_answer(run, passengers):
    arguments = ["--data", passengers / "train.csv", "--checkpoint", run]
    result = json.loads(invoke("evaluate", *arguments, "--json").stdout)
    labels = pl.read_csv(passengers / "train.csv")["Survived"]
    assert result["rows"] == len(labels)
    assert result["constant_answer"]["accuracy"] == pytest.approx(
        max(labels.mean(), 1 - labels.mean())
    )
    assert 0 <= result["metrics"]["accuracy"] <= 1
    assert "best constant answer" in invoke("evaluate", *arguments).stdout.replace("\n", " ")


def test_evaluate_adds_a_metric_and_refuses_one_that_does_not_fit(run, passengers):
    arguments = ["--data", passengers / "train.csv", "--checkpoint", run]
    plain = json.loads(invoke("evaluate", *arguments, "--json").stdout)["metrics"]
    more = json.loads(invoke("evaluate", *arguments, "--metric", "matthews", "--json").stdout)
    assert set(more["metrics"]) - set(plain) == {"matthews"}
    command = ["evaluate", *map(str, arguments), "--metric", "rmsle"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "does not fit a binary task" in result.stderr.replace("\n", " ")


def test_resume_takes_no_other_configuration(run, passengers):
    result = CliRunner().invoke(app, ["train", "--resume", str(run), "--batch-size", "3"])
    assert result.exit_code == 2
    assert "training.batch_size" in result.stderr


def test_info_as_json():
    facts = json.loads(invoke("info", "--json").stdout)
    assert {"system", "mlx", "versions"} <= set(facts)
    assert facts["mlx"]["computed_by"]


def test_benchmark_as_json(tmp_path):
    tiny = tmp_path / "tiny.yaml"
    tiny.write_text("model: {hidden_size: 32, num_layers: 2, num_heads: 2, vocab_size: 100}")
    sizes = ["--batch-size", 2, "--seq-length", 8, "--steps", 2]
    result = json.loads(invoke("benchmark", "--config", tiny, *sizes, "--json").stdout)
    for key in ("forward_tokens_per_second", "step_tokens_per_second", "peak_memory_bytes"):
        assert result[key] > 0
    assert {"device", "versions"} <= set(result)


@pytest.mark.parametrize("name", ["quick", "titanic_lora", "qlora"])
def test_preset_trains_two_steps(name, passengers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sizes = ("HIDDEN_SIZE=32", "INTERMEDIATE_SIZE=64", "NUM_LAYERS=2", "NUM_HEADS=2")
    for setting in (*sizes, "VOCAB_SIZE=200"):
        key, _, value = setting.partition("=")
        monkeypatch.setenv(f"BERT_MODEL__{key}", value)
    monkeypatch.setenv("BERT_LORA__GROUP_SIZE", "32")  # rows of 32 weights have no groups of 64
    arguments = ["--max-steps", 2, "--batch-size", 4, "--no-compile", "--json"]
    result = invoke("train", "--config", name, "--train", passengers / "train.csv", *arguments)
    assert json.loads(result.stdout)["steps"] == 2


@pytest.mark.medium
def test_ctrl_c_saves_and_says_how_to_go_on(passengers, tmp_path):
    command = [sys.executable, "-c", "from bert_playground.cli.app import main; main()"]
    arguments = ["train", *SMALL, "--train", passengers / "train.csv", "--output", tmp_path]
    long = ["--max-steps", "100000", "--epochs", "100000"]
    process = subprocess.Popen(
        [*command, *map(str, [*arguments, *long])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(tmp_path.glob("run_*/checkpoints/step_*")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped by Ctrl-C" in stderr
    assert "bert train --resume" in stderr
    (run,) = tmp_path.glob("run_*")
    assert not list(run.rglob(".*.partial"))
    step = max(int(folder.name.removeprefix("step_")) for folder in run.glob("checkpoints/step_*"))
    resumed = invoke("train", "--resume", run, "--max-steps", step + 3, "--json")
    assert json.loads(resumed.stdout)["steps"] == step + 3


@pytest.mark.slow
@pytest.mark.usefixtures("_real_pictures")
def test_quickstart_stack_is_level_with_its_members_or_ahead(tmp_path):
    result = json.loads(invoke("quickstart", "--output", tmp_path, "--json").stdout)
    stack, *others = result["scores"]
    assert {score["name"] for score in others} == {"encoder", "boosting", "TF-IDF + linear"}
    for name in ("accuracy", "roc_auc"):
        best = max(others, key=lambda score: score[name])
        assert stack[name] >= best[name] - best[f"{name}_error"] - stack[f"{name}_error"]
    assert stack["accuracy"] > 0.51 + 0.2
    assert result["cpu_seconds"] < 120
    submission = pl.read_csv(result["files"]["submission"])
    assert submission.columns == ["film", "hit"]
    assert set(submission["hit"]) <= {"no", "yes"}
    assert submission.height == pl.read_csv(result["files"]["test"]).height == 849
    assert result["num_test_rows"] == 2546
    assert Path(result["files"]["picture"]).stat().st_size > 1000
