"""launch: the exit code is that of a failure if any rank failed; the rest is ended, and what to do is said."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bert_playground.distributed.hosts import Place, Places, place_ranks, write_script
from bert_playground.distributed.launch import Job, launch

RANK = """#!{python}
import json, os, signal, sys, time
rank = json.loads(os.environ["BERT_PLAYGROUND_RANK"])["rank"]
pause = lambda: time.sleep(60)
{body}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Launch ranks that are a few lines of Python; gives exit code and seconds."""

    def launched(body: str, size: int = 2, *, end_seconds: float = 20.0) -> tuple[int, float]:
        monkeypatch.setattr("bert_playground.distributed.launch.END_SECONDS", end_seconds)
        program = tmp_path / "rank"
        program.write_text(RANK.format(python=f"{sys.executable} -S", body=body))
        program.chmod(0o755)
        started = time.monotonic()
        code = launch(
            Job(
                place_ranks(["127.0.0.1"], size, 1),
                ("train",),
                "bert launch -n 2",
                {},
                str(program),
            )
        )
        return code, time.monotonic() - started

    return launched


def test_all_well_is_0(run) -> None:
    assert run("assert 'secret' not in ' '.join(sys.argv)", 3)[0] == 0


def test_what_rank_0_says_is_its_exit_code(run, capfd: pytest.CaptureFixture[str]) -> None:
    code, _ = run("if rank == 0: print('no such table', file=sys.stderr)\nsys.exit(2)")
    assert code == 2
    assert capfd.readouterr().err == "no such table\n"


def test_a_failing_rank_ends_the_others_and_says_why(
    run, capfd: pytest.CaptureFixture[str]
) -> None:
    code, seconds = run(
        "if rank == 0: pause()\nprint('\\x1erun output/run_1', flush=True)\nprint('no table here', file=sys.stderr)\nsys.exit(2)",
        end_seconds=0.3,
    )
    assert (code, seconds < 10) == (1, True)
    assert capfd.readouterr().err.splitlines() == [
        "rank 1 on this machine ended with exit code 2",
        "  no table here",
        "rank 0 on this machine did not answer; it was killed",
        "go on with: bert launch -n 2 train --resume output/run_1",
    ]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_named(run, capfd: pytest.CaptureFixture[str], rank: int) -> None:
    code, _ = run(f"if rank == {rank}: os.kill(os.getpid(), signal.SIGKILL)\nsys.exit(75)")
    assert code == 1
    said = capfd.readouterr().err
    assert f"rank {rank} on this machine was ended by SIGKILL\nnothing was saved yet" in said


def test_a_stopped_rank_is_killed(run, capfd: pytest.CaptureFixture[str]) -> None:
    body = "if rank: os.kill(os.getpid(), signal.SIGSTOP)\nsys.exit(75)"
    code, seconds = run(body, end_seconds=2.0)
    assert (code, seconds < 10) == (1, True)
    assert "rank 1 on this machine did not answer; it was killed" in capfd.readouterr().err


SSH = """#!/bin/sh
for argument; do host=$last; last=$argument; done
case $host in away) echo 'no route to host' >&2; exit 255;; esac
exec /bin/sh -c "$last"
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Launch a rank each on machines that a false `ssh` reaches, but for the one that is called away; gives the exit code."""
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def started(*hosts: str, python: str) -> int:
        ranks = tuple(Place(host, f"10.0.0.1:{rank}") for rank, host in enumerate(hosts))
        return launch(
            Job(Places(ranks, "10.0.0.1:9"), ("train",), "bert launch --hosts a,b", {}, python)
        )

    return started


@pytest.mark.parametrize("hosts", [("away", "near"), ("near", "away")])
def test_a_machine_that_ssh_does_not_reach_is_a_mistake(
    start, hosts: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    since = time.monotonic()
    assert start(*hosts, python=str(python)) == 2
    assert time.monotonic() - since < 15
    assert capfd.readouterr().err.splitlines() == [
        "no route to host",
        "error: no process was started on away: ssh does not get there without a password; try: ssh away true",
    ]


def test_a_python_that_is_not_there_is_a_mistake(start, capfd: pytest.CaptureFixture[str]) -> None:
    assert start("near", "near", python="/no/such/python") == 2
    said = capfd.readouterr().err
    assert said.count("error:") == 1
    assert "/no/such/python is no Python that can be run there; name one by --python PATH" in said


def test_a_folder_that_is_not_there_is_a_mistake(
    start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Path, "cwd", lambda: tmp_path / "elsewhere")
    assert start("near", "near", python=sys.executable) == 2
    assert f"there is no folder {tmp_path / 'elsewhere'}; make it" in capfd.readouterr().err


def test_ssh_that_is_lost_later_is_a_loss(run, capfd: pytest.CaptureFixture[str]) -> None:
    code, _ = run(
        "if rank: print('\\x1erun output/run_1', flush=True)\nsys.exit(75 if rank else 255)"
    )
    assert code == 1
    assert capfd.readouterr().err.splitlines() == [
        "rank 0 on this machine was lost by ssh",
        "go on with: bert launch -n 2 train --resume output/run_1",
    ]


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard even where the suite itself was put in the background, and so ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_a_signal_reaches_all_ranks_and_is_the_exit_code(run, tmp_path: Path) -> None:
    def interrupt() -> None:
        while len(list(tmp_path.glob("ready*"))) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    code, _ = run(
        f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\nopen(f{str(tmp_path)!r} + f'/ready{{rank}}', 'w')\npause()"
    )
    assert code == 130


def test_places_have_ports_of_their_own() -> None:
    places = place_ranks(["127.0.0.1"], 3, 1)
    assert len({places.heartbeats, *(place.ring for place in places.ranks)}) == 4
    assert places.count_neighbours(0) == 3
    far = place_ranks(["10.0.0.1", "user@10.0.0.2"], 2, 500)
    assert far.heartbeats == "10.0.0.1:500"
    assert [place.ring for place in far.ranks] == [
        f"10.0.0.{1 + i // 2}:{501 + i}" for i in range(4)
    ]
    assert far.ranks[2].command("script")[-2:] == ["user@10.0.0.2", "exec /bin/sh -c script"]
    assert far.count_neighbours(3) == 2


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (["127.0.0.1"], "1 process is no group; ask for several by -n 2"),
        (["10.0.0.1", "localhost"], "localhost among other machines"),
        (["10.0.0.1", "no-such-machine.invalid"], "no address is known"),
    ],
)
def test_places_that_cannot_be_are_refused(hosts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        place_ranks(hosts, 1, 500)


def test_arguments_survive_the_shell() -> None:
    script = write_script(["train", "--set", "a b='c'"], {"NAME": "x; y"}, "python")
    assert "python -m bert_playground.cli.rank train --set 'a b='\"'\"'c'\"'\"''" in script
    assert "export NAME='x; y'" in script
    assert json.dumps("secret") not in script
