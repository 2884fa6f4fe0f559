"""A checkpoint folder of the Titanic's columns, with random weights, and a server of it in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import mlx.core as mx
import polars as pl

from bert_playground.config.schema import DataSection
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.schema.decide import decide
from bert_playground.models.checkpoint import save_model
from bert_playground.models.factory import create_model

SECONDS = 60


def make_titanic(num_rows: int = 40) -> pl.DataFrame:
    """Made-up passengers."""
    rows = range(num_rows)
    return pl.DataFrame(
        {
            "PassengerId": [str(row + 1) for row in rows],
            "Survived": [str(int(row % 3 == 0)) for row in rows],
            "Pclass": [str(1 + row % 3) for row in rows],
            "Name": [f"Smith, {['Mr.', 'Mrs.'][row % 2]} Number {row}" for row in rows],
            "Sex": [["male", "female"][row % 2] for row in rows],
            "Age": [None if row % 7 == 3 else f"{20 + row * 3 % 41 + row % 2 / 2}" for row in rows],
            "SibSp": [str(row % 4) for row in rows],
            "Parch": [str(row // 4 % 3) for row in rows],
            "Ticket": [f"A/5 {21_000 + row}" for row in rows],
            "Fare": [f"{7.25 + row * 1.5:.2f}" for row in rows],
            "Cabin": [f"C{row}" if row % 4 == 0 else None for row in rows],
            "Embarked": ["SCQ"[row % 3] for row in rows],
        },
        schema_overrides={"Age": pl.String, "Cabin": pl.String},
    )


def save_checkpoint(folder: Path) -> Path:
    """A checkpoint that `bert serve` and `bert predict` take."""
    frame = make_titanic()
    section = DataSection(target="Survived", id_column="PassengerId")
    pipeline = TextPipeline.fit(frame, decide(frame, section), vocab_size=300)
    mx.random.seed(0)
    model = create_model(
        "bert",
        "binary",
        vocab_size=pipeline.vocab_size,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        initializer_range=0.4,
        numeric_tokens=pipeline.number_tokens,
    )
    save_model(model, folder)
    pipeline.save(folder)
    return folder


class Server:
    """A server in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]", address: str, said: str) -> None:
        self.process, self.address, self.said = process, address, said

    def end(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


def run_bert(*words: str, **environment: str) -> "subprocess.Popen[str]":
    """`bert …` in a process of its own."""
    script = "from bert_playground.cli.app import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", script, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@contextmanager
def serve(checkpoint: Path | None, *words: str, **environment: str) -> Iterator[Server]:
    """`bert serve` on a free port, warmed up."""
    chosen = () if checkpoint is None else ("--checkpoint", str(checkpoint))
    process = run_bert("serve", *chosen, "--port", "0", *words, **environment)
    assert process.stdout is not None
    lines = []
    try:
        while not any(line.startswith("routes") for line in lines):
            lines.append(process.stdout.readline())
            assert lines[-1], process.communicate()[1]
        address = next(line.split()[1] for line in lines if line.startswith("page")).rstrip("/")
        deadline = time.monotonic() + SECONDS
        while _status(address) != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Server(process, address, "".join(lines))
    finally:
        process.kill()
        process.communicate()


def _status(address: str) -> int:
    try:
        return httpx.get(f"{address}/health").status_code
    except httpx.TransportError:
        return 0


def ask(server: Server, path: str, **options: Any) -> httpx.Response:
    """POST, or GET where nothing is sent."""
    method = "POST" if {"json", "content"} & set(options) else "GET"
    return httpx.request(method, f"{server.address}{path}", timeout=SECONDS, **options)
