"""A blend as an ONNX folder: predict.py answers alone as `bert predict` does of the run; what is damaged is refused."""

import json
import shutil
from pathlib import Path

import pytest

from bert_playground.export import export_model
from bert_playground.export.onnx import load_onnx_predictor
from tests.export.integration.test_onnx_folder import (
    answer_alone,
    check_predictions,
    check_same,
    invoke,
)


@pytest.fixture(scope="module")
def run(passengers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("output")
    command = ["train", "--config", "test", "--train", passengers / "train.csv", "--folds", 2]
    members = ["--members", "encoder,linear,boosting,constant", "--blend", "mean"]
    done = invoke(*command, *members, "--output", output, "--json")
    assert done.exit_code == 0, done.output
    return Path(json.loads(done.stdout)["files"]["run"])


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_model(run, tmp_path_factory.mktemp("onnx") / "out", format="onnx").folder


def test_predict_py_answers_as_bert_predict(
    run: Path, folder: Path, passengers: Path, tmp_path: Path
) -> None:
    for flags in ((), ("--proba",)):
        check_predictions(run, folder, passengers / "test.csv", tmp_path, *flags)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "2 of encoder, 2 of linear, 2 of boosting, 2 of constant" in text
    assert "pip install numpy onnxruntime tokenizers\n" in text


def test_models_beside_the_encoder_were_compared_on_real_rows(folder: Path) -> None:
    report = json.loads((folder / "export_report.json").read_text(encoding="utf-8"))
    cases = [each["name"] for member in report["cases"] for each in member]
    assert {"real rows, linear", "real rows, boosting", "real rows"} <= set(cases)
    assert report["largest_score_difference"] < 1e-5


def test_onnxruntime_answers_the_folder_and_the_run(
    run: Path, folder: Path, passengers: Path, tmp_path: Path
) -> None:
    answers = [answer_alone(folder, passengers / "test.csv", tmp_path / "alone.csv", "--proba")]
    for number, checkpoint in enumerate((folder, run)):
        output = tmp_path / f"{number}.csv"
        command = ["predict", "--engine", "onnx", "--checkpoint", checkpoint, "--proba"]
        done = invoke(*command, "--test", passengers / "test.csv", "--output", output)
        assert done.exit_code == 0, done.output
        text = output.read_text(encoding="utf-8")
        answers.append([line.split(",") for line in text.splitlines()])
    check_same(answers[1], answers[0])
    check_same(answers[2], answers[0])


def test_the_format_that_takes_one_of_them_names_the_one_that_takes_all(
    run: Path, tmp_path: Path
) -> None:
    done = invoke("model", "export", "--checkpoint", run, "--output", tmp_path / "out")
    assert done.exit_code == 2
    assert f"--checkpoint {run} --output NEW_FOLDER --format onnx" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"members": {"encoder": [0, 99]}}, "names model 99 of a blend"),
        ({"members": {"encoder": ["a"]}}, "blend"),
        ({"stack": {"names": ["encoder"]}}, "blend"),
    ],
)
def test_a_plan_that_was_changed_is_refused(
    folder: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    plan = json.loads((copy / "plan.json").read_text(encoding="utf-8"))
    plan["blend"] |= change
    (copy / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        load_onnx_predictor(copy)
