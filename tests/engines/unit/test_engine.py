"""open_engine: what is refused, with a way out; LocalProcesses: a model is loaded once; what Ray's errors become."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bert_playground import extras
from bert_playground.cli.app import app
from bert_playground.distributed.hosts import choose_free_ports
from bert_playground.engines import engine as module
from bert_playground.engines import ray_session
from bert_playground.engines.engine import EngineRequest, open_engine, require_engine
from bert_playground.engines.local_processes import LocalProcesses
from bert_playground.engines.ray_session import SETTINGS, set_variables
from bert_playground.logger import logger


class CountedLoad:
    """A load that leaves a file each time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self) -> Callable[[int], tuple[int, int]]:
        (self.folder / f"{os.getpid()}_{len(list(self.folder.iterdir()))}").touch()
        return lambda part: (part, os.getpid())


def test_one_process_loads_once_and_answers_in_order(tmp_path: Path) -> None:
    found = list(LocalProcesses(1).map(CountedLoad(tmp_path), range(5)))
    assert found == [(part, os.getpid()) for part in range(5)]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_each_process_loads_once(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(root)
    found = list(LocalProcesses(2).map(CountedLoad(tmp_path), range(8)))
    assert sorted(part for part, _ in found) == list(range(8))
    workers = {process for _, process in found}
    assert os.getpid() not in workers
    loads = [path.name.split("_")[0] for path in tmp_path.iterdir()]
    assert sorted(loads) == sorted(map(str, workers))


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--train", "train.csv", "--folds", "3", "--engine", "ray"],
        ["train", "--train", "train.csv", "--ensemble", "3", "--engine", "ray"],
        ["tune", "--train", "train.csv", "--engine", "ray"],
        ["predict", "--test", "test.csv", "--output", "answers", "--engine", "ray", "--checkpoint", "c"],
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_without_the_extra_one_message_names_it(
    command: list[str], passengers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_bytes((passengers / name).read_bytes())
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "model.safetensors").touch()
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "ray" else name)
    done = CliRunner().invoke(app, command)
    said = " ".join(done.output.split())
    assert done.exit_code == 2
    assert "needs ray; install: uv sync --extra ray" in said
    assert "--jobs N: processes of this machine" in said
    assert not (tmp_path / "answers").exists()
    assert not (tmp_path / "output").exists()


def test_an_address_without_its_engine_is_refused() -> None:
    with (
        pytest.raises(ValueError, match=r"10\.0\.0\.1:6379 .* add --engine ray"),
        open_engine(EngineRequest(address="10.0.0.1:6379"), 1),
    ):
        pass


@pytest.mark.parametrize("command", [["train", "--folds", "3"], ["tune"], ["predict"]])
def test_an_address_where_nobody_listens_is_refused_before_anything_is_made(
    command: list[str], passengers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "require_extra", lambda *a: None)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "model.safetensors").touch()
    table = str(passengers / "train.csv")
    rows = ["--test", table, "--output", "answers", "--checkpoint", "c"]
    more = rows if command == ["predict"] else ["--train", table]
    address = f"127.0.0.1:{choose_free_ports(1)[0]}"
    done = CliRunner().invoke(app, [*command, *more, "--engine", "ray", "--ray-address", address])
    said = " ".join(done.output.split())
    assert done.exit_code == 2
    assert f"--ray-address {address}: no cluster of Ray is there (Connection refused)" in said
    assert "leave it out for a cluster of this machine" in said
    assert {path.name for path in tmp_path.iterdir()} == {"c"}


def test_the_address_of_the_environment_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "require_extra", lambda *a: None)
    (port,) = choose_free_ports(1)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(ValueError, match=rf"^RAY_ADDRESS=127\.0\.0\.1:{port}: no cluster"):
        require_engine(EngineRequest("ray"), "this")
    with socket.create_server(("127.0.0.1", port)):
        require_engine(EngineRequest("ray"), "this")
    for left_to_ray in ("auto", "ray://10.0.0.1:10001", "local"):
        require_engine(EngineRequest("ray", left_to_ray), "this")


def test_what_is_asked_of_another_engine_is_named() -> None:
    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    for asked in (EngineRequest(), EngineRequest(task_cpus=4)):
        with open_engine(asked, 1) as engine:
            assert engine.is_in_process
    logger.remove(sink)
    (line,) = said
    assert line.startswith("no effect: task_cpus")


def test_an_engine_that_is_not_there_names_those_that_are() -> None:
    with (
        pytest.raises(ValueError, match=r"unknown engine .rai.*ray"),
        open_engine(EngineRequest("rai"), 1),
    ):
        pass


@pytest.mark.parametrize(
    ("address", "asks", "mode"),
    [
        (
            None,
            False,
            "token",
        ),  # a cluster of this machine, which Ray starts with the token that there is
        ("10.0.0.1:6379", True, "token"),
        ("10.0.0.1:6379", False, None),  # would have its answers refused
    ],
)
def test_the_token_is_sent_to_clusters_that_ask_for_it(
    address: str | None,
    asks: bool,
    mode: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(ray_session, "_asks_for_token", lambda found: asks)
    for name in (
        *SETTINGS,
        "RAY_AUTH_MODE",
        "RAY_AUTH_TOKEN",
        "RAY_AUTH_TOKEN_PATH",
        "RAY_ADDRESS",
    ):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    asked = EngineRequest("ray", address)
    set_variables(asked)
    assert "RAY_AUTH_MODE" not in os.environ
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    set_variables(asked)
    assert os.environ.get("RAY_AUTH_MODE") == mode
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    set_variables(asked)
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
