"""Each check says what it found and what to do."""

import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bert_playground.doctor import machine, outside
from bert_playground.doctor.examine import _collect
from bert_playground.doctor.extras import (
    OTHERWISE,
    PURPOSE,
    Requirement,
    _read,
    check_extras,
    check_packages,
)
from bert_playground.finding import BAD, GOOD, NOTE


@pytest.mark.parametrize(
    ("line", "requirement"),
    [
        ("numpy>=1.26", Requirement("numpy", None)),
        ("mlx<0.33; sys_platform == 'darwin'", Requirement("mlx", None)),
        ("kaggle>=2.2; extra == 'kaggle'", Requirement("kaggle", "kaggle")),
        ('mlx[cpu]>=1; (sys_platform == "linux") and extra == "cpu"', Requirement("mlx", "cpu")),
    ],
)
def test_requirements_are_read(line, requirement):
    assert _read(line) == requirement


def test_an_extra_that_lacks_a_package_comes_with_its_command():
    asked = [
        Requirement("numpy", "there"),
        Requirement("numpy", "serve"),
        Requirement("surely-not-installed", "serve"),
        Requirement("mlx", "cpu"),
    ]
    there, serve = check_extras(asked)
    assert (there.what, there.state) == ("extra there", GOOD)
    assert (serve.what, serve.state) == ("extra serve", NOTE)
    assert "surely-not-installed" in serve.found
    assert "bert serve" in serve.remedy
    assert "uv sync --extra serve" in serve.remedy


def test_each_extra_has_its_purpose(root):
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert {*PURPOSE, *OTHERWISE} == {*extras["optional-dependencies"]}


@pytest.mark.native
def test_a_wrong_variable_for_bf16_is_no_defect_of_ours(monkeypatch):
    monkeypatch.setenv("BERT_BF16", "maybe")
    (kernels,) = machine.check_kernels()
    assert kernels.state == BAD
    assert "expected one of auto, on, off" in kernels.found
    assert kernels.remedy == "unset BERT_BF16"


def test_this_machine_computes():
    assert [each.state for each in check_packages()] == [GOOD]
    assert [each.state for each in machine.check_device()] == [GOOD]
    assert [each.what for each in machine.check_kernels()] == ["kernels"]
    (memory,) = machine.check_memory()
    assert "GiB free" in memory.found


def test_little_memory_is_a_note(monkeypatch):
    monkeypatch.setattr("bert_playground.memory.available_memory_bytes", lambda: 2**20)
    (memory,) = machine.check_memory()
    assert memory.state == NOTE
    assert "--batch-size" in memory.remedy


def test_a_place_that_cannot_be_written_is_a_fault(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert machine._check_place("runs", tmp_path / "file" / "output").state == BAD
    monkeypatch.setattr("os.access", lambda *_: False)
    closed = machine._check_place("runs", tmp_path / "output")
    assert closed.state == BAD
    assert closed.remedy.startswith(f"chmod u+wx {tmp_path}")


@pytest.mark.parametrize(("free", "state"), [(2**20, BAD), (2**30, NOTE), (2**40, GOOD)])
def test_room_on_the_disk(tmp_path, monkeypatch, free, state):
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert machine._check_place("runs", tmp_path).state == state


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / ".kaggle").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("content", "mode", "states", "words"),
    [
        (None, 0, [NOTE], "no credentials"),
        ('{"username": "ada", "key": "s3cret"', 0o600, [BAD], "no valid JSON"),
        ('{"username": "ada"}', 0o600, [BAD], "half of an API key"),
        ('{"username": "ada", "key": "s3cret"}', 0o600, [GOOD], "API key of"),
        ('{"username": "ada", "key": "s3cret"}', 0o644, [GOOD, NOTE], "other users"),
    ],
)
def test_credentials_are_named_by_their_source(home, content, mode, states, words):
    if content is not None:
        path = home / ".kaggle" / "kaggle.json"
        path.write_text(content)
        path.chmod(mode)
    found = list(outside.check_kaggle())
    assert [each.state for each in found] == states
    said = " ".join(f"{each.found} {each.remedy}" for each in found)
    assert words in said
    assert "s3cret" not in said
    assert all(each.remedy for each in found if each.state != GOOD)


def test_an_address_that_answers_anything_answers(monkeypatch):
    class Refusal(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(403)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    assert outside._ask("the Hub", address, "wait").state == GOOD
    server.shutdown()
    server.server_close()
    silent = outside._ask("the Hub", address, "wait")
    assert (silent.state, silent.remedy) == (NOTE, "wait")


def test_being_offline_is_said(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    wanted, unasked = outside.check_network(is_asked=False)
    assert "HF_HUB_OFFLINE" in wanted.found
    assert unasked.found == "not asked"


def test_variables_that_change_runs_are_named_without_their_values(monkeypatch):
    monkeypatch.setenv("BERT_TRAINING__EPOCHS", "77")
    (found,) = outside.check_environment()
    assert "BERT_TRAINING__EPOCHS" in found.found
    assert "77" not in found.found


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (ModuleNotFoundError("No module named 'mlx'", name="mlx"), NOTE, "needs MLX"),
        (ModuleNotFoundError("No module named 'scipy'", name="scipy"), BAD, "scipy"),
        (RuntimeError("boom"), BAD, "RuntimeError: boom"),
    ],
)
def test_a_check_that_fails_is_a_finding(error, state, words):
    def check():
        raise error
        yield

    (found,) = _collect("part", check)
    assert (found.what, found.state) == ("part", state)
    assert words in found.found
