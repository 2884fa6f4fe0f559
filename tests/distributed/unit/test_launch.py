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

from bert_playground.distributed.hosts import place_ranks, write_script
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
