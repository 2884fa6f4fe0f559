"""`bert serve` beside a server of FastAPI, transformers and torch: the same weights, the same texts, a load generator on loopback.

    python benchmarks/serving.py --texts data/nlp-disaster/train.csv --torch-python PYTHON_WITH_TORCH
    python benchmarks/serving.py --texts data/nlp-disaster/train.csv --seconds 3 --clients 1 8 --models default

Weights are random, in the sizes of all-MiniLM-L6-v2 and of `bert train` without a checkpoint: how fast an answer comes does
not depend on what it says. `--checks` adds memory over 10,000 requests, four times the load that is let in, and kill -9
under load.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
import polars as pl
from serving_load import run_load

from bert_playground.config.schema import DataSection
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.reading.table import read_table
from bert_playground.data.schema.decide import decide
from bert_playground.data.templates.options import TextOptions
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.models.checkpoint import save_model
from bert_playground.models.factory import create_model

SIZES: dict[str, dict[str, int]] = {
    "minilm": {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    "default": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
    },
}
MODEL = "bench"
KILL_SECONDS = 60  # a restart, and some more


def write_checkpoint(folder: Path, texts: pl.DataFrame, name: str) -> Path:
    """A checkpoint of a table of texts that both servers read."""
    section = DataSection(target="label", text_columns=["text"])
    options = TextOptions(text_columns=("text",), max_length=128)
    pipeline = TextPipeline.fit(texts, decide(texts, section), options, vocab_size=8000)
    mx.random.seed(0)
    model = create_model("bert", "binary", vocab_size=pipeline.vocab_size, **SIZES[name])
    save_model(model, folder, labels=["0", "1"])
    pipeline.save(folder)
    return folder


@contextmanager
def run_ours(checkpoint: Path, *words: str) -> Iterator[tuple[int, int]]:
    """`bert serve` in f32: its port and process id."""
    script = "from bert_playground.cli.app import main; main()"
    options = ("--port", "0", "--served-model-name", MODEL, "--no-access-log", "--precision", "f32")
    command = [sys.executable, "-c", script, "serve", "--checkpoint", str(checkpoint)]
    process = subprocess.Popen([*command, *options, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = 0
        while not port:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("bert serve has ended")
            if line.startswith("page"):
                port = int(line.rstrip("/\n").rpartition(":")[2])
        wait_until_ready(port)
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def run_torch(python: str, checkpoint: Path, port: int = 38_471) -> Iterator[tuple[int, int]]:
    """The other server: its port and process id."""
    command = [python, str(Path(__file__).with_name("serving_torch.py")), str(checkpoint)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PYTHONPATH"] = os.environ.get("TORCH_PYTHONPATH", "")
    process = subprocess.Popen([*command, str(port)], env=environment)
    try:
        wait_until_ready(port)
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


def wait_until_ready(port: int) -> None:
    """Until /health is 200."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def make_text_bodies(texts: pl.DataFrame, per_request: int) -> list[bytes]:
    """Requests for /predict."""
    listed = texts["text"].to_list()
    starts = range(0, len(listed) - per_request + 1, per_request)
    return [
        json.dumps({"inputs": [[text] for text in listed[start : start + per_request]]}).encode()
        for start in starts
    ]


def make_row_bodies(texts: pl.DataFrame, per_request: int) -> list[bytes]:
    """Requests for /predict/rows."""
    rows = texts.drop("label").to_dicts()
    starts = range(0, len(rows) - per_request + 1, per_request)
    return [
        json.dumps({"rows": rows[start : start + per_request], "drift": False}).encode()
        for start in starts
    ]


def measure(
    port: int, path: str, bodies: list[bytes], arguments: argparse.Namespace, per_request: int
) -> dict[str, Any]:
    """Throughput and latency at each number of clients."""
    found = {}
    for num_clients in arguments.clients:
        asyncio.run(run_load(port, path, bodies, num_clients=num_clients, seconds=1))
        load = asyncio.run(
            run_load(port, path, bodies, num_clients=num_clients, seconds=arguments.seconds)
        )
        found[num_clients] = load.summarise(per_request)
        print(json.dumps({"path": path, "clients": num_clients, **found[num_clients]}), flush=True)
    return found


def measure_offline(checkpoint: Path, texts: pl.DataFrame) -> float:
    """Rows per second of `predict` on the same rows."""
    predictor = load_predictor(checkpoint, precision="f32")
    rows = texts.drop("label")
    predictor.predict(rows[:256])
    began = time.perf_counter()
    predictor.predict(rows)
    return rows.height / (time.perf_counter() - began)


def resident_bytes(pid: int) -> int:
    """The memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def check_memory(checkpoint: Path, bodies: list[bytes], num_requests: int) -> dict[str, Any]:
    """Memory after a tenth of many requests of mixed length, and after all of them."""
    with run_ours(checkpoint) as (port, pid):
        sizes = []
        for count in (num_requests // 10, num_requests - num_requests // 10):
            options = {"num_clients": 16, "num_requests": count}
            asyncio.run(run_load(port, "/predict", bodies, **options))
            sizes.append(resident_bytes(pid))
    growth = sizes[1] / sizes[0] - 1
    return {"mebibytes": [round(size / 2**20, 1) for size in sizes], "growth": round(growth, 4)}


def check_overload(checkpoint: Path, bodies: list[bytes], seconds: float) -> dict[str, Any]:
    """Four times as many clients as are let in: every request gets an answer or a 429."""
    with run_ours(checkpoint, "--max-concurrent-requests", "16") as (port, _):
        load = asyncio.run(run_load(port, "/predict", bodies, num_clients=64, seconds=seconds))
    lost = sum(count for status, count in load.statuses.items() if status not in (200, 429))
    return {**load.summarise(), "lost": lost}


def check_kill(checkpoint: Path, bodies: list[bytes]) -> dict[str, Any]:
    """Kill -9 under load, and a restart on the same port: clients see errors, and no wrong answer."""
    some = bodies[:50]
    with run_ours(checkpoint) as (port, pid):
        right = asyncio.run(
            run_load(
                port, "/predict", some, num_clients=1, num_requests=len(some), keep_answers=True
            )
        ).answers

        async def kill_and_restart() -> Any:
            asked = asyncio.create_task(
                run_load(
                    port, "/predict", some, num_clients=16, seconds=KILL_SECONDS, keep_answers=True
                )
            )
            await asyncio.sleep(1.0)
            os.kill(pid, signal.SIGKILL)
            with run_on(checkpoint, port):
                return await asked

        load = asyncio.run(kill_and_restart())
    wrong = sum(answer != right[number % len(some)] for number, answer in load.answers.items())
    again = load.since_broken
    return {"statuses": dict(load.statuses), "since_restart": again, "wrong_answers": wrong}


@contextmanager
def run_on(checkpoint: Path, port: int) -> Iterator[None]:
    """`bert serve` on a port, without waiting for it."""
    script = "from bert_playground.cli.app import main; main()"
    options = ("--port", str(port), "--no-access-log", "--precision", "f32")
    command = [sys.executable, "-c", script, "serve", "--checkpoint", str(checkpoint), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """All that was asked for, as JSON lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=Path, required=True, help="a table with a column text")
    parser.add_argument("--torch-python", help="a Python with torch, transformers and fastapi")
    parser.add_argument("--models", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--per-request", type=int, default=1, help="texts of a request")
    parser.add_argument("--checks", action="store_true", help="memory, overload, kill -9")
    parser.add_argument("--check-requests", type=int, default=10_000)
    parser.add_argument("--check-seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    texts = read_table(arguments.texts).select("text").with_row_index("label")
    texts = texts.with_columns((pl.col("label") % 2).cast(pl.String)).drop_nulls()
    bodies = make_text_bodies(texts, arguments.per_request)
    for name in arguments.models:
        with tempfile.TemporaryDirectory() as place:
            checkpoint = write_checkpoint(Path(place) / MODEL, texts, name)
            print(
                json.dumps(
                    {
                        "model": name,
                        "offline_rows_per_second": round(measure_offline(checkpoint, texts), 1),
                    }
                ),
                flush=True,
            )
            with run_ours(checkpoint) as (port, _):
                print(f'{{"server": "bert serve", "model": "{name}"}}')
                measure(port, "/predict", bodies, arguments, arguments.per_request)
                measure(port, "/predict/rows", make_row_bodies(texts, 32), arguments, 32)
            if arguments.torch_python:
                with run_torch(arguments.torch_python, checkpoint) as (port, _):
                    print(f'{{"server": "FastAPI, transformers, torch", "model": "{name}"}}')
                    measure(port, "/predict", bodies, arguments, arguments.per_request)
            if arguments.checks:
                print(
                    json.dumps(
                        {"memory": check_memory(checkpoint, bodies, arguments.check_requests)}
                    )
                )
                print(
                    json.dumps(
                        {"overload": check_overload(checkpoint, bodies, arguments.check_seconds)}
                    )
                )
                print(json.dumps({"kill": check_kill(checkpoint, bodies)}), flush=True)


if __name__ == "__main__":
    main()
