"""Two ranks in two network namespaces, and the link between them cut: neither end is told by the kernel."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.distributed.launching import TINY, Launched, write_table

pytestmark = pytest.mark.slow
ADDRESSES = ("10.203.7.1", "10.203.7.2")
# In the place of ssh: the machine is a namespace, named after its address.
SSH = """#!/bin/sh
for argument; do command=$host; host=$last; last=$argument; done
exec ip netns exec "bert-$host" /bin/sh -c "$last"
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Path]:
    """Two namespaces with a link between them, and the folder of a program `ssh` that goes there."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need `ip` and root")
    names = [f"bert-{address}" for address in ADDRESSES]
    try:
        ip("netns", "add", names[0])
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine allows no network namespaces: {error.stderr.strip()}")
    try:
        ip("netns", "add", names[1])
        ip(
            "link",
            "add",
            "bert0",
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "name",
            "bert1",
            "netns",
            names[1],
        )
        for number, (name, address) in enumerate(zip(names, ADDRESSES, strict=True)):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", f"bert{number}")
            ip("-n", name, "link", "set", f"bert{number}", "up")
            ip("-n", name, "link", "set", "lo", "up")
        program = tmp_path / "bin" / "ssh"
        program.parent.mkdir()
        program.write_text(SSH)
        program.chmod(0o755)
        yield program.parent
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def test_a_cut_link_ends_the_job(machines: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv")
    job = Launched(
        ["--hosts", ",".join(ADDRESSES), "--timeout", "5", "train", "--train", "table.csv", "--epochs", "5000",
         "--batch-size", "4", "--set", "training.early_stopping_patience=0", *TINY],
        tmp_path,
        PATH=f"{machines}{os.pathsep}{os.environ['PATH']}",
    )  # fmt: skip
    try:
        job.wait_for_steps()
        started = time.monotonic()
        ip("-n", f"bert-{ADDRESSES[1]}", "link", "set", "bert1", "down")
        assert job.wait() == 1, job.said
        assert time.monotonic() - started < 60
        assert "rank 1 has not been heard of for 5 s" in job.said
        assert "go on with: bert launch --hosts" in job.said
    finally:
        job.process.kill()
        job.process.wait()
