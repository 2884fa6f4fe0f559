"""RunRecord: a run folder read back, old ones and those that were broken off too."""

import json
from pathlib import Path
from typing import Any

import pytest

from bert_playground.run_record import find_record, read_record
from bert_playground.runs import RunDir

STEP = {
    "kind": "train", "step": 5, "epoch": 1, "loss": 0.7, "learning_rate": 1e-3, "gradient_norm": 1.5,
    "rows_per_second": 90.0, "tokens_per_second": 900.0, "seconds": 0.5,
}  # fmt: skip
EVALUATIONS = [
    {"kind": "evaluation", "step": step, "epoch": epoch, "train_loss": 0.7, "val_loss": loss, "val_accuracy": accuracy,
     "seconds": 1.0}
    for step, epoch, loss, accuracy in ((10, 1, 0.6, 0.7), (20, 2, 0.5, 0.8))
]  # fmt: skip
SUMMARY = {
    "task": "binary", "target": "Survived", "monitor": "val_loss", "val_rows": 100, "seconds": 2.5,
    "metrics": {"val_loss": 0.5, "val_accuracy": 0.8}, "last_metrics": {"val_loss": 0.55},
    "baseline": {"val_loss": 0.66}, "files": {"run": "elsewhere"},
}  # fmt: skip


def write_run(path: Path, *, summary: dict[str, Any] = SUMMARY) -> RunDir:
    run = RunDir(path)
    path.mkdir(parents=True)
    values = {"model": {"pretrained": None, "architecture": "bert"}, "training": {"batch_size": 8}}
    run.config.write_text(json.dumps({"command": "train", "values": values, "sources": {}}))
    run.environment.write_text(json.dumps({"seed": 3, "versions": {"mlx": "0.32", "torch": None}}))
    run.summary.write_text(json.dumps(summary))
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in (STEP, *EVALUATIONS)))
    return run


def test_the_files_of_a_run_are_read_as_typed_values(tmp_path: Path) -> None:
    record = read_record(write_run(tmp_path / "run").path)
    assert record.setting("training.batch_size") == 8
    assert record.setting("model.pretrained") is None
    assert record.setting("no.such") is None
    assert record.environment.seed == 3
    assert record.environment.versions == {"mlx": "0.32", "torch": None}
    assert (record.summary.target, record.summary.val_rows) == ("Survived", 100)
    assert [(row.step, row.loss) for row in record.steps] == [(5, 0.7)]
    assert [row.metrics for row in record.evaluations] == [
        {"val_loss": 0.6, "val_accuracy": 0.7},
        {"val_loss": 0.5, "val_accuracy": 0.8},
    ]
    assert record.members == ()


def test_each_checkpoint_has_its_own_metrics(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    record = read_record(run.path)
    assert record.metrics_of(run.best) == SUMMARY["metrics"]
    assert record.metrics_of(run.final) == SUMMARY["last_metrics"]
    assert record.metrics_of(run.at_step(10)) == {"val_loss": 0.6, "val_accuracy": 0.7}
    assert record.metrics_of(run.at_step(15)) == {}


def test_a_checkpoint_knows_the_record_of_its_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    record = find_record(run.best)
    assert record is not None
    assert record.run.path == run.path.resolve()
    assert find_record(tmp_path) is None
    assert find_record(tmp_path / "elsewhere" / "checkpoints" / "best") is None


def test_members_of_an_ensemble_come_in_the_order_of_their_training(tmp_path: Path) -> None:
    names = ["run_20261121_193005", "run_20261121_193005_2", "run_20261121_193006"]
    for name in reversed(names):
        write_run(tmp_path / "members" / name)
    record = read_record(tmp_path)  # broken off: it has no file of its own yet
    assert [member.run.path.name for member in record.members] == names
    assert record.members[0].summary.task == "binary"
    assert record.summary.metrics == {}


def test_a_run_of_an_older_version_lacks_what_came_later(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", summary={"metrics": {"val_loss": 1}, "unknown": [1]})
    run.config.write_text(json.dumps({"values": {"model": {"pretrained": "a/b"}}, "sources": {}}))
    run.environment.unlink()
    record = read_record(run.path)
    assert record.settings.command == "train"
    assert record.summary.metrics == {"val_loss": 1.0}
    assert record.summary.trained_parameters is None
    assert record.environment.versions == {}


def test_a_run_that_is_underway_has_whole_lines_only(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.summary.unlink()
    run.metrics.write_text(run.metrics.read_text() + '{"kind": "train", "ste')
    record = read_record(run.path)
    assert (len(record.steps), len(record.evaluations)) == (1, 2)
    assert record.summary.metrics == {}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("config.json", "{", r"config\.json is not valid JSON"),
        ("environment.json", "[]", r"environment\.json holds a list, expected a JSON object"),
        ("summary.json", '{"metrics": {"val_loss": "low"}, "epochs": 1.5}', r"metrics\.val_loss.*epochs"),
        ("metrics.jsonl", "{}\n", r"metrics\.jsonl, line 1, is not what a run writes: kind"),
        ("metrics.jsonl", "\x00\n", r"metrics\.jsonl, line 1, is not valid JSON"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(name: str, text: str, said: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run.path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        print(read_record(run.path).steps)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')  # of a checkpoint
    with pytest.raises(FileNotFoundError, match="is no run folder"):
        read_record(tmp_path)
