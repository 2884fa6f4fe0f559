"""bert doctor: a table, JSON, a bundle, and an exit code."""

import json
import subprocess
import sys
import zipfile

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.doctor import outside


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "tok-123456789")


def test_a_machine_in_order(tmp_path):
    done = CliRunner().invoke(app, ["doctor", "--offline", "--bundle", "report.zip"])
    assert done.exit_code == 0, done.output
    assert "report.zip" in done.stdout.splitlines()[-1]
    with zipfile.ZipFile(tmp_path / "report.zip") as bundle:
        text = "".join(bundle.read(name).decode() for name in bundle.namelist())
    assert "tok-123456789" not in done.output + text
    assert str(tmp_path) not in text


def test_json_has_every_finding_and_asks_no_address(monkeypatch):
    monkeypatch.setattr(outside, "_ask", lambda *_: pytest.fail("an address was asked"))
    done = CliRunner().invoke(app, ["doctor", "--offline", "--json"])
    found = {each["what"]: each for each in json.loads(done.stdout)}
    assert {"python", "packages", "device", "kernels", "memory", "runs", "kaggle"} <= set(found)
    assert found["kaggle"]["found"] == "access token of KAGGLE_API_TOKEN"


def test_a_broken_credential_is_exit_code_2(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "two words")
    done = CliRunner().invoke(app, ["doctor", "--offline", "--json"])
    assert done.exit_code == 2
    (kaggle,) = [each for each in json.loads(done.stdout) if each["what"] == "kaggle"]
    assert kaggle["state"] == "fault"
    assert "two words" not in done.stdout


@pytest.mark.medium
def test_a_machine_without_mlx_gets_findings():
    code = (
        "import sys\n"
        "sys.modules['mlx'] = None; sys.modules['mlx.core'] = None\n"
        "sys.argv = ['bert', 'doctor', '--offline', '--json', '--bundle', 'report.zip']\n"
        "from bert_playground.cli.app import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    found = {each["what"]: each for each in json.loads(done.stdout)}
    assert found["device"]["state"] == "fault"
    assert "bert-playground[cpu]" in found["device"]["remedy"] or sys.platform != "linux"
    assert "needs MLX" in found["memory"]["found"]
