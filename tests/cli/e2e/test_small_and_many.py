"""bert model quantize and bert train --ensemble through the command line, down to the submission."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app

# The preset test, with widths that 4-bit groups divide.
SMALL = """
model: {hidden_size: 64, intermediate_size: 128, num_layers: 2, num_heads: 2, vocab_size: 200}
training: {epochs: 1, max_steps: 2, batch_size: 8, use_compilation: false}
data: {max_length: 64}
"""


def invoke(*arguments: object, code: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture(scope="module")
def together(passengers: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    output = tmp_path_factory.mktemp("output")
    config = output / "small.yaml"
    config.write_text(SMALL)
    train = ["--config", config, "--train", passengers / "train.csv", "--output", output]
    result = invoke("train", *train, "--ensemble", 2, "--diversity", "heads")
    (run,) = output.glob("run_*")
    return run, result.stdout


@pytest.mark.medium
def test_an_ensemble_ends_with_each_score_and_the_disagreement(together) -> None:
    run, said = together
    for words in ("seed 0, cls pooling", "seed 1, mean pooling", "mean of the models"):
        assert words in said
    assert "all 2 together" in said
    assert "two models give another answer in" in said
    assert f"--checkpoint {run}" in said.replace("\n", "")
    config = json.loads((run / "config.json").read_text())
    assert config["values"]["ensemble"] == {"num_models": 2, "diversity_strategy": "heads"}
    assert config["sources"]["ensemble.num_models"] == "flag"


def test_predict_and_evaluate_take_the_ensemble(
    together, passengers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = together
    test = ["--test", passengers / "test.csv", "--output", tmp_path / "submission.csv"]
    invoke("predict", *test, "--checkpoint", run, "--proba")
    averaged = pl.read_csv(tmp_path / "submission.csv")["Survived_1"]
    alone = []
    for member in sorted((run / "members").iterdir()):
        invoke("predict", *test, "--checkpoint", member, "--proba")
        alone.append(pl.read_csv(tmp_path / "submission.csv")["Survived_1"])
    assert ((alone[0] + alone[1]) / 2 - averaged).abs().max() < 1e-5
    data = ["--data", passengers / "train.csv", "--checkpoint", run, "--json"]
    metrics = json.loads(invoke("evaluate", *data).stdout)["metrics"]
    assert 0 <= metrics["accuracy"] <= 1
    assert "loss" not in metrics
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / run.name).symlink_to(run)
    monkeypatch.chdir(tmp_path)
    invoke("predict", *test)  # the newest in output/ is the ensemble


def test_an_unknown_strategy_is_named(passengers: Path, tmp_path: Path) -> None:
    train = ["--train", passengers / "train.csv", "--output", tmp_path]
    result = invoke("train", *train, "--ensemble", 2, "--diversity", "hats", code=2)
    assert "ensemble.diversity_strategy = 'hats' (flag --diversity)" in result.stderr
    assert "different_seeds" in result.stderr


@pytest.mark.medium
def test_quantize_prints_memory_and_scores_before_and_after(
    together, passengers: Path, tmp_path: Path
) -> None:
    member = next((together[0] / "members").iterdir())
    said = invoke(
        "model", "quantize", "--checkpoint", member, "--output", tmp_path / "mixed",
        "--mixed", "--group-size", 32, "--embeddings",
    ).stdout  # fmt: skip
    assert "what 4 bits of one layer alone do to the loss" in said
    assert "parameters in memory, MiB" in said
    assert "accuracy" in said
    answer = json.loads(
        invoke(
            "model", "quantize", "--checkpoint", member, "--output", tmp_path / "small",
            "--group-size", 32, "--bits", 8, "--json",
        ).stdout
    )  # fmt: skip
    assert answer["after"]["memory_bytes"] < answer["before"]["memory_bytes"]
    assert set(answer["after"]["metrics"]) == set(answer["before"]["metrics"])
    for folder in ("mixed", "small"):
        data = ["--data", passengers / "train.csv", "--checkpoint", tmp_path / folder, "--json"]
        assert json.loads(invoke("evaluate", *data).stdout)["metrics"]["loss"] > 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--bits", 5], "bits is 5, expected one of 4, 8"),
        (["--group-size", 128], "use group_size=64"),
        (["--data", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_bad_input_leaves_no_folder(together, tmp_path: Path, flags: list, message: str) -> None:
    member = next((together[0] / "members").iterdir())
    output = tmp_path / "small"
    result = invoke("model", "quantize", "--checkpoint", member, "--output", output, *flags, code=2)
    assert message in result.stderr
    assert not output.exists()


def test_an_ensemble_is_not_quantized_as_one(together, tmp_path: Path) -> None:
    result = invoke(
        "model", "quantize", "--checkpoint", together[0], "--output", tmp_path / "s", code=2
    )
    assert "is an ensemble of several checkpoints" in result.stderr
