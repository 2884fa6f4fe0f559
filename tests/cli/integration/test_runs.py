"""bert runs: folders of runs, whole, stopped, running and broken, listed, shown, compared, opened and removed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.config import RunConfig
from bert_playground.run_list import LOWER_IS_BETTER, find_runs
from bert_playground.run_lock import hold_run, is_running
from bert_playground.runs import RunDir
from bert_playground.training.metrics.scorer import METRICS


def run(*words, **more):
    return CliRunner().invoke(app, ["runs", *map(str, words)], env={"COLUMNS": "160", **more})


def write_run(
    folder: Path, name: str, metrics: dict | None, *, rate: float | None = None, epochs: int = 2
) -> Path:
    """A run folder as `bert train` leaves it, without its weights; without metrics: as it is when it is stopped."""
    path = folder / name
    path.mkdir(parents=True)
    config = RunConfig().with_changes({"optimizer": {"learning_rate": rate}})
    values = config.model_dump(mode="json")
    values["data"]["train"], values["data"]["target"] = "train.csv", "label"
    (path / "config.json").write_text(
        json.dumps({"command": "train", "values": values, "sources": {}})
    )
    (path / "environment.json").write_text(json.dumps({"seed": 0}))
    rows = [
        {"kind": "evaluation", "step": 10 * epoch, "epoch": epoch, "train_loss": 0.5, "val_loss": 0.4,
         "val_accuracy": 0.6, "seconds": 1.0}
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if metrics is not None:
        summary = {
            "task": "binary",
            "target": "label",
            "monitor": "val_loss",
            "metrics": metrics,
            "seconds": 12.5,
        }
        (path / "summary.json").write_text(json.dumps(summary))
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three complete runs, a stopped one, two broken ones, and what is no run."""
    folder = tmp_path / "output"
    write_run(folder, "run_20260101_000000", {"val_loss": 0.5, "val_accuracy": 0.75}, rate=1e-3)
    write_run(folder, "run_20260102_000000", {"val_loss": 0.3, "val_accuracy": 0.85}, rate=3e-5)
    write_run(folder, "run_20260103_000000", {"val_loss": 0.4, "val_accuracy": 0.80})
    write_run(folder, "run_20260104_000000", None)
    (write_run(folder, "run_20260105_000000", None) / "config.json").write_text("{half")
    (folder / "run_20260106_000000").mkdir()
    (folder / "mlruns").mkdir()
    return folder


def names(result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [Path(entry["run"]).name[4:12] for entry in json.loads(result.stdout)]


def test_every_run_is_listed_with_what_became_of_it(runs):
    found = json.loads(run("list", "--output-dir", runs, "--json").stdout)
    assert [(Path(each["run"]).name[10:12], each["status"]) for each in found] == [
        ("06", "broken"),
        ("05", "broken"),
        ("04", "stopped"),
        ("03", "complete"),
        ("02", "complete"),
        ("01", "complete"),
    ]
    assert found[2]["metrics"]["val_accuracy"] == 0.6
    assert "is not valid JSON" in found[1]["fault"]
    shown = run("list", "--output-dir", runs)
    assert shown.exit_code == 0
    assert "run_20260105_000000 cannot be read: " in shown.stdout


def test_runs_are_filtered_and_sorted(runs):
    ask = ("list", "--output-dir", runs, "--json")
    assert names(run(*ask, "--where", "val_accuracy>0.78")) == ["20260103", "20260102"]
    assert names(run(*ask, "--where", "accuracy>=0.75", "--where", "loss<0.45")) == ["20260103", "20260102"]  # fmt: skip
    assert names(run(*ask, "--where", "optimizer.learning_rate=3e-5")) == ["20260102"]
    assert names(run(*ask, "--status", "complete", "--sort", "accuracy")) == ["20260102", "20260103", "20260101"]  # fmt: skip
    assert names(run(*ask, "--status", "complete", "--sort", "val_loss", "--limit", "1")) == ["20260102"]  # fmt: skip
    assert names(run(*ask, "--task", "regression")) == []
    assert names(run(*ask, "--model", "MODERN", "--status", "stopped")) == ["20260104"]


def test_directions_of_metrics_are_those_of_the_metrics():
    theirs = {name for name, metric in METRICS.items() if not metric.higher_is_better}
    assert theirs | {"loss"} == LOWER_IS_BETTER


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--where", "acuracy>0.8"), "did you mean 'val_accuracy'?"),
        (("--where", "high accuracy"), "is no condition, expected a name"),
        (("--where", "task>3"), "use = or !="),
        (("--sort", "roc_auk"), "no run has 'roc_auk'"),
        (("--status", "done"), "unknown status 'done'"),
    ],
)
def test_a_faulty_question_is_answered_with_what_can_be_asked(runs, words, message):
    result = run("list", "--output-dir", runs, *words)
    assert result.exit_code == 2
    assert message in result.output


def test_names_patterns_and_latest_mean_runs(runs, monkeypatch):
    monkeypatch.chdir(runs.parent)
    assert [each.path.name for each in find_runs("latest", Path("output"))] == [
        "run_20260104_000000"
    ]
    assert len(find_runs("run_2026010[12]*", Path("output"))) == 2
    assert find_runs("output/run_20260101_000000", Path("output"))[0].path.name[10:12] == "01"
    result = run("show", "run_2026010[12]*")
    assert result.exit_code == 2
    assert "means 2 runs" in result.output
    result = run("show", "run_20260101_00000")
    assert result.exit_code == 2
    assert "did you mean 'run_20260101_000000'?" in result.output


def test_show_prints_the_result_and_what_was_asked(runs):
    result = run("show", "run_20260102_000000", "--output-dir", runs)
    assert result.exit_code == 0
    assert "0.85" in result.stdout
    assert "optimizer.learning_rate" in result.stdout
    found = json.loads(run("show", runs / "run_20260102_000000", "--json").stdout)
    assert found["settings"]["optimizer.learning_rate"] == 3e-5
    assert found["metrics"] == {"val_loss": 0.3, "val_accuracy": 0.85}
    broken = run("show", "run_20260105_000000", "--output-dir", runs)
    assert broken.exit_code == 2
    assert "is not valid JSON" in broken.output


def test_compare_shows_what_differs_and_says_what_cannot_be_told(runs, tmp_path):
    picture = tmp_path / "curves.png"
    words = ("compare", "run_20260101_000000", "run_20260102_000000", "--output-dir", runs)
    result = run(*words, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert "optimizer.learning_rate" in result.stdout
    assert "cannot be told" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(run(*words, "--json").stdout)
    assert found["metrics"]["val_accuracy"] == [0.75, 0.85]
    assert found["settings"] == {"optimizer.learning_rate": [0.001, 3e-05]}
    assert found["paired"] == []
    twice = run("compare", "latest", "latest", "--output-dir", runs)
    assert twice.exit_code == 2
    assert "is given twice" in twice.output


def test_remove_asks_and_refuses_what_is_no_run_of_its_own(runs, tmp_path):
    victim = runs / "run_20260101_000000"
    unasked = run("remove", victim)
    assert unasked.exit_code == 2
    assert "give --yes" in unasked.output
    for path, why in (
        (runs / "mlruns", "is no run folder"),
        (tmp_path / "nothing", "no run"),
    ):
        refused = run("remove", path, "--yes")
        assert refused.exit_code == 2
        assert why in refused.output
    link = runs / "run_20250101_000000"
    link.symlink_to(victim)
    refused = run("remove", victim, link, "--yes")
    assert refused.exit_code == 2
    assert "is a link" in refused.output
    member = write_run(victim / "members", "run_20260101_000001", None)
    refused = run("remove", member, "--yes")
    assert refused.exit_code == 2
    assert "is a part of the run" in refused.output
    assert victim.is_dir()
    link.unlink()
    assert run("remove", victim, "--yes").exit_code == 0
    assert not victim.exists()


HOLD = """
import sys
from pathlib import Path
from bert_playground.run_lock import hold_run
from bert_playground.runs import RunDir
with hold_run(RunDir(Path(sys.argv[1]))):
    print("begun", flush=True)
    sys.stdin.read()
"""


def test_a_run_that_is_underway_is_seen_and_stays(runs):
    path = runs / "run_20260104_000000"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], **pipes) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            assert is_running(RunDir(path))
            found = run("list", "--output-dir", runs, "--status", "running", "--json")
            assert [each["run"] for each in json.loads(found.stdout)] == [str(path)]
            refused = run("remove", path, "--yes")
            assert refused.exit_code == 2
            assert f"underway in process {process.pid}" in refused.output
            with pytest.raises(ValueError, match="is underway in process"), hold_run(RunDir(path)):
                pass
        finally:
            process.kill()
    assert not is_running(RunDir(path))  # the lock went with the process
    with hold_run(RunDir(path)):
        assert is_running(RunDir(path))
    assert not is_running(RunDir(path))


def test_open_prints_the_path_where_there_is_no_display(runs):
    report = runs / "run_20260102_000000/report.html"
    report.write_text("<!doctype html>")
    hidden = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "SSH_CONNECTION": "1"}
    result = run("open", "run_20260102_000000", "--output-dir", runs, **hidden)
    assert result.exit_code == 0
    assert result.stdout.strip() == str(report.resolve())


def test_report_writes_one_of_a_run_that_was_stopped(runs):
    result = run("report", "latest", "--output-dir", runs)
    assert result.exit_code == 0, result.output
    path = Path(result.stdout.strip())
    assert path == runs / "run_20260104_000000/report.html"
    assert "was stopped after 2 epochs" in path.read_text()
