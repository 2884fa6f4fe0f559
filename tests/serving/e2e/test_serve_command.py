"""bert serve as a process: what it says, what it answers, how it ends; the guide's commands."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from tests.serving.saved import SECONDS, Server, ask, make_titanic, run_bert, save_checkpoint, serve

pytestmark = pytest.mark.medium

ROW = make_titanic(1).drop("Survived").to_dicts()[0]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("runs") / "titanic")


@pytest.fixture(scope="module")
def server(checkpoint: Path) -> Iterator[Server]:
    with serve(checkpoint, "--precision", "f32") as started:
        yield started


def test_a_csv_over_http_is_what_predict_writes(
    server: Server, checkpoint: Path, tmp_path: Path
) -> None:
    table, written = tmp_path / "test.csv", tmp_path / "submission.csv"
    make_titanic(30).drop("Survived").write_csv(table)
    words = ("--test", str(table), "--checkpoint", str(checkpoint), "--output", str(written))
    process = run_bert("predict", *words, "--proba", "--precision", "f32")
    assert process.wait(SECONDS) == 0
    process.communicate()
    answer = ask(
        server,
        "/predict/rows?probabilities=true",
        content=table.read_bytes(),
        headers={"content-type": "text/csv"},
    )
    assert answer.content == written.read_bytes()


def test_the_commands_of_the_guide_answer(
    server: Server, checkpoint: Path, root: Path, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    guide = (root / "docs/guides/serve.md").read_text(encoding="utf-8")
    commands = re.findall(r"^curl .*$", guide, re.MULTILINE)
    (tmp_path / "data/titanic").mkdir(parents=True)
    make_titanic(9).drop("Survived").write_csv(tmp_path / "data/titanic/test.csv")
    asked = [each for each in commands if "lora" not in each]
    assert len(asked) > 10
    for command in asked:
        local = command.replace("localhost:3000", server.address).replace("curl -s", "curl -sSf")
        done = subprocess.run(
            ["sh", "-c", local], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        assert done.stdout, command


@pytest.mark.slow
def test_sigterm_lets_requests_finish(checkpoint: Path) -> None:
    with serve(checkpoint) as started, ThreadPoolExecutor(1) as pool:
        rows = [ROW] * 3000
        late = pool.submit(ask, started, "/predict/rows", json={"rows": rows})
        deadline = time.monotonic() + SECONDS
        while "bert_concurrent_requests 1.0" not in ask(started, "/metrics").text:
            assert time.monotonic() < deadline
            assert not late.done()
        assert started.end() == 0
        answer = late.result(SECONDS)
        assert answer.status_code == 200
        assert len(answer.json()["answers"]) == len(rows)
        with pytest.raises(httpx.ConnectError):
            ask(started, "/health")


@pytest.mark.slow
def test_a_key_from_the_environment_is_asked_for_and_never_said(checkpoint: Path) -> None:
    with serve(checkpoint, BERT_API_KEY="very-secret-key") as started:
        assert ask(started, "/info").status_code == 401
        key = {"authorization": "Bearer very-secret-key"}
        assert ask(started, "/predict/rows", json={"rows": [ROW]}, headers=key).status_code == 200
        arguments = Path(f"/proc/{started.process.pid}/cmdline")
        assert not arguments.exists() or "very-secret-key" not in arguments.read_text()
        assert started.end() == 0
        assert started.process.stderr is not None
        log = started.process.stderr.read()
        assert '"route": "/predict/rows", "status": 200' in log
        assert "very-secret-key" not in log + started.said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "203.0.113.9"], "is no address of this machine"),
        (["--max-batch-tokens", "8"], "raise --max-batch-tokens"),
        (["--api-key-file", "nowhere"], "nowhere"),
        (["--adapters", "nowhere"], "no folder nowhere"),
    ],
)
def test_what_cannot_be_served_is_one_message_and_code_2(
    checkpoint: Path, words: list[str], said: str
) -> None:
    done = CliRunner().invoke(
        app, ["serve", "--checkpoint", str(checkpoint), "--port", "0", *words]
    )
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.stderr.split())


def test_a_taken_port_is_said_before_anything_is_loaded(server: Server, checkpoint: Path) -> None:
    port = server.address.rpartition(":")[2]
    done = CliRunner().invoke(app, ["serve", "--checkpoint", str(checkpoint), "--port", port])
    assert done.exit_code == 2
    assert f"port {port} is taken; choose another with --port" in " ".join(done.stderr.split())


@pytest.mark.slow
def test_other_machines_without_a_key_are_warned_of(checkpoint: Path) -> None:
    with serve(checkpoint, "--host", "0.0.0.0") as started:
        assert started.end() == 0
        assert started.process.stderr is not None
        assert "other machines can reach 0.0.0.0" in started.process.stderr.read()
