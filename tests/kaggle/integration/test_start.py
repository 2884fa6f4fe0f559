"""bert kaggle start and pack: a project that is made step by step, and never over a user's edits."""

import json
import runpy
from pathlib import Path

import polars as pl
import pytest
import yaml

from bert_playground.data.kaggle.submission_check import check_submission
from tests.kaggle.fake_server import FakeKaggle, Fault
from tests.kaggle.integration.test_wrong_states import read_json, refused, run

PROJECT = Path("titanic")
MADE = ("README.md", "bert.yaml", "competition.json", "folds.csv", "ledger.sqlite")
TINY = {
    "model": {"hidden_size": 32, "num_layers": 1, "num_heads": 2},
    "training": {"max_steps": 2, "metric": "accuracy", "use_compilation": False},
    "cross_validation": {"folds": "folds.csv", "members": ["constant", "encoder"]},
}


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files but the ledger, which SQLite touches."""
    files = (path for path in folder.rglob("*") if path.is_file() and "ledger" not in path.name)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.medium
def test_a_project_is_made(signed_in: FakeKaggle) -> None:
    result = run("start", "titanic")
    assert result.exit_code == 0, result.output
    assert {path.name for path in PROJECT.iterdir()} == {*MADE, "data"}
    config = yaml.safe_load((PROJECT / "bert.yaml").read_text())
    assert config == {
        "data": {
            "train": "data/train.csv",
            "target": "Survived",
            "task": "binary",
            "id_column": "PassengerId",
            "split": "stratified_grouped",
            "group_column": "Ticket",
        },
        "cross_validation": {"folds": "folds.csv"},
        "training": {"metric": "accuracy"},
    }
    folds = pl.read_csv(PROJECT / "folds.csv")
    assert folds.columns == ["PassengerId", "fold"]
    assert sorted(folds["fold"].unique()) == [0, 1, 2, 3, 4]
    readme = (PROJECT / "README.md").read_text()
    assert "bert kaggle run" in readme
    assert "`data/gender_submission.csv`" in readme
    assert "Categorization Accuracy" in readme


def test_what_is_there_is_kept(signed_in: FakeKaggle) -> None:
    run("start", "titanic")
    (PROJECT / "bert.yaml").write_text("data: {train: data/train.csv, target: Pclass}\n")
    (PROJECT / "data/train.csv").write_text("mine\n")
    (PROJECT / "README.md").unlink()
    before = contents(PROJECT)
    found = read_json("start", "titanic")
    whats = {Path(step["path"]).name: step["what"] for step in found["steps"]}  # type: ignore[index]
    assert whats == dict.fromkeys((*MADE, "data"), "kept") | {"README.md": "made"}
    after = contents(PROJECT)
    assert after.pop("README.md")
    assert after == before


def test_a_start_that_was_broken_off_goes_on(signed_in: FakeKaggle) -> None:
    signed_in.faults["DownloadDataFiles"] = Fault(403, "You must accept the rules")
    assert "https://www.kaggle.com/competitions/titanic/rules" in refused_start("titanic")
    assert {path.name for path in PROJECT.iterdir()} == {"competition.json"}
    signed_in.faults.clear()
    assert run("start", "titanic").exit_code == 0
    assert {path.name for path in PROJECT.iterdir()} == {*MADE, "data"}


def refused_start(*words: object) -> str:
    result = run("start", *words)
    assert result.exit_code == 2
    return result.stderr


def test_a_folder_of_another_competition_is_left_alone(signed_in: FakeKaggle) -> None:
    run("start", "titanic")
    assert "project of 'titanic'" in refused_start("spaceship-titanic", "--output", "titanic")


def test_tables_with_other_names_are_asked_for_once(signed_in: FakeKaggle) -> None:
    signed_in.files["labelled.csv"] = signed_in.files.pop("train.csv")
    assert "bert.yaml with data: {train: data/FILE" in refused_start("titanic")
    (PROJECT / "bert.yaml").write_text(
        "data: {train: data/labelled.csv, target: Survived, folds: folds.csv}\n"
    )
    assert run("start", "titanic").exit_code == 0
    assert (PROJECT / "folds.csv").is_file()


def test_an_unknown_competition_is_inferred(signed_in: FakeKaggle) -> None:
    signed_in.slug = "flowers"
    rows = "".join(f"{i},{i % 7},{'ab'[i % 2]},{'xyz'[i % 3]}\n" for i in range(60))
    signed_in.files = {
        "train.csv": f"id,size,colour,kind\n{rows}".encode(),
        "test.csv": b"id,size,colour\n60,1,a\n61,2,b\n",
        "sample_submission.csv": b"id,kind\n60,x\n61,x\n",
    }
    assert run("start", "flowers").exit_code == 0
    config = yaml.safe_load(Path("flowers/bert.yaml").read_text())
    assert config["data"]["target"] == "kind"
    assert config["data"]["task"] == "multiclass"
    assert config["training"] == {"metric": "accuracy"}  # "Categorization Accuracy"


def test_offline_with_data_of_ones_own(kaggle: FakeKaggle) -> None:
    (PROJECT / "data").mkdir(parents=True)
    for name, content in kaggle.files.items():
        (PROJECT / "data" / name).write_bytes(content)
    assert run("start", "titanic", "--offline").exit_code == 0
    assert kaggle.calls == []
    assert (PROJECT / "folds.csv").is_file()


@pytest.mark.medium
def test_from_start_to_ledger_and_pack(
    signed_in: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models on the project's folds, their blend, submit, look at the ledger, and predict by the packed notebook."""
    signed_in.scores = [0.71]
    assert run("start", "titanic").exit_code == 0
    monkeypatch.chdir(PROJECT)
    make_tiny()
    found = read_json("run")
    (folder,) = Path("output").glob("run_*")
    assert found["submission"] == str(folder / "submission.csv")  # type: ignore[index]
    assert read_json("run") == found  # nothing is done again
    assert len(list(Path("output").iterdir())) == 1
    result = run("submit", "submission.csv", "--run", folder)
    assert result.exit_code == 0, result.output
    (sent,) = signed_in.submissions
    assert sent["description"].startswith(f"{folder.name}, accuracy 0.")
    assert "out of fold" in sent["description"]
    assert "sent already" in refused("submit", "submission.csv", "--run", folder)
    rows = read_json("ledger", "--update")["rows"]  # type: ignore[index]
    assert (rows[0]["run"], rows[0]["public_score"]) == (folder.name, 0.71)
    assert run("pack", folder, "--owner", "ada").exit_code == 0
    check_pack(Path("pack"), monkeypatch)
    assert "is there already" in refused("pack", folder)


def check_pack(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the notebook's last cell as on Kaggle: the data set and the competition under one folder."""
    dataset = json.loads((pack / "dataset/dataset-metadata.json").read_text())
    kernel = json.loads((pack / "notebook/kernel-metadata.json").read_text())
    assert kernel["enable_internet"] is False
    assert kernel["dataset_sources"] == [dataset["id"]]
    assert dataset["id"].startswith("ada/")
    assert "bert-playground[cpu]==" in (pack / "dataset/requirements.txt").read_text()
    inputs = Path("input").resolve()
    (inputs / "titanic").mkdir(parents=True)
    for name in ("test.csv", "gender_submission.csv"):
        (inputs / "titanic" / name).write_bytes(Path("data", name).read_bytes())
    (pack / "dataset").rename(inputs / "packed")
    install, predict = json.loads((pack / "notebook/predict.ipynb").read_text())["cells"]
    text = "".join(install["source"]).replace("/kaggle/input", str(inputs))
    text = text.replace("subprocess.run(", "print(")  # nothing to install here
    text = text.replace("    check=True,\n", "")
    work = Path("work")
    work.mkdir()
    script = (work / "predict.py").resolve()
    script.write_text(text + "".join(predict["source"]))
    monkeypatch.chdir(work)
    runpy.run_path(str(script))
    expected = Path("../submission.csv").read_text()
    assert Path("submission.csv").read_text() == expected
    assert (
        check_submission(Path("submission.csv"), inputs / "titanic/gender_submission.csv").faults
        == ()
    )
    monkeypatch.chdir("..")


def make_tiny() -> None:
    """Let the project of this folder fit small models on two folds."""
    config = Path("bert.yaml")
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), **TINY}))
    folds = pl.read_csv("folds.csv").with_columns(pl.col("fold") % 2)
    folds.write_csv("folds.csv")


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on(
    signed_in: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between two models; the next command fits what is missing, and a new setting is a new run."""
    from bert_playground.training.cross_validation import schedule

    run("start", "titanic")
    monkeypatch.chdir(PROJECT)
    make_tiny()
    fit, fitted = schedule.fit_on_fold, []

    def stop_at_third(*words: object, **more: object) -> object:
        fitted.append(words)
        if len(fitted) == 3:
            raise KeyboardInterrupt
        return fit(*words, **more)

    monkeypatch.setattr(schedule, "fit_on_fold", stop_at_third)
    words = ("run", "--members", "constant,linear")
    assert run(*words).exit_code == 130
    assert run(*words).exit_code == 0
    assert len(fitted) == 3 + 4 - 2
    assert len(list(Path("output").iterdir())) == 1
    Path("submission.csv").unlink()
    assert run(*words).exit_code == 0
    assert Path("submission.csv").is_file()
    assert len(fitted) == 5
    assert run("run", "--members", "constant").exit_code == 0
    assert len(list(Path("output").iterdir())) == 2


def test_a_run_outside_a_project_says_so(signed_in: FakeKaggle) -> None:
    assert "bert kaggle start NAME" in refused("run")


def test_a_code_competition_takes_no_file(
    signed_in: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in.is_code = True
    run("start", "titanic")
    assert "bert kaggle pack output/RUN" in (PROJECT / "README.md").read_text()
    monkeypatch.chdir(PROJECT)
    Path("submission.csv").write_bytes(Path("data/gender_submission.csv").read_bytes())
    assert "bert kaggle pack RUN" in refused("submit", "submission.csv")
    assert "StartSubmissionUpload" not in signed_in.methods()
