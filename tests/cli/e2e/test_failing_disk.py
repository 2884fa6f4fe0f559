"""A disk that fails at one of its changes: exit code 2, one error, nothing half-written, what was there as it was."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.leftovers import NAME
from tests.failing_disk import REFUSALS, FailingDisk

TINY = ["--config", "test", "--no-compile", "--epochs", "1"]
TINY += ["--set", "data.numeric_features=off", "--set", "model.hidden_size=64"]
FOLDS = ["--folds", "2", "--jobs", "1", "--members", "encoder,linear"]
COMMANDS = {
    "train": ["train", "--train", "train.csv", *TINY],
    "ensemble": ["train", "--train", "train.csv", *TINY, "--ensemble", "2"],
    "folds": ["train", "--train", "train.csv", *TINY, *FOLDS],
    "pretrain": ["pretrain", "--train", "train.csv", *TINY],
    "export": ["model", "export", "run", "--output", "exported"],
    "onnx": ["model", "export", "run", "--output", "exported", "--format", "onnx", "--serve"],
    "quantize": ["model", "quantize", "run", "--output", "quantized", "--group-size", "32"],
    "calibrate": ["model", "calibrate", "run"],
    "calibrate a blend": ["model", "calibrate", "blend"],
    "data folds": ["data", "folds", "train.csv", "--output", "folds.csv"],
}


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def disk() -> FailingDisk:
    return FailingDisk()


@pytest.fixture(scope="module")
def base(passengers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, a run, and one of folds."""
    folder = tmp_path_factory.mktemp("base")
    shutil.copy(passengers / "train.csv", folder)
    for name, more in (("run", []), ("blend", FOLDS)):
        output = folder / "output"
        arguments = ["train", "--train", folder / "train.csv", *TINY, *more, "--output", output]
        result = invoke(*arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        next(output.glob("run_*")).rename(folder / name)
        shutil.rmtree(output)
    return folder


def read_all(folder: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def tried(
    disk: FailingDisk, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Runs a command on a copy of the folder whose disk fails at one change, and looks; gives the count of changes."""
    before = read_all(base)

    def run(command: str, error: int | None, at: int = 0) -> int:
        monkeypatch.chdir(shutil.copytree(base, tmp_path / str(at)))
        with disk.fail(tmp_path / str(at), at, error):
            result = invoke(*COMMANDS[command])
        after = read_all(tmp_path / str(at))
        shutil.rmtree(tmp_path / str(at))
        said = (at, result.output, result.exception)
        assert result.exit_code == (2 if at else 0), said
        assert result.stderr.count("error: ") == bool(at), said
        assert "Traceback" not in result.output, said
        assert {path: after.get(path) for path in before} == before or not at, said
        assert not [path for path in after if any(map(NAME.fullmatch, path.parts))], said
        return disk.count

    return run


@pytest.mark.medium
@pytest.mark.parametrize("error", REFUSALS)
@pytest.mark.parametrize("command", COMMANDS)
def test_one_error_and_nothing_half_written(
    command: str, error: int | None, tried: Callable[..., int]
) -> None:
    count = tried(command, error)
    for at in sorted({1, (1 + count) // 2, count}):
        tried(command, error, at)


@pytest.mark.slow
@pytest.mark.parametrize("error", REFUSALS)
@pytest.mark.parametrize("command", COMMANDS)
def test_one_error_at_every_nth_change(
    command: str, error: int | None, tried: Callable[..., int], pytestconfig: pytest.Config
) -> None:
    count = tried(command, error)
    for at in range(1, count + 1, pytestconfig.getoption("disk_step")):
        tried(command, error, at)
