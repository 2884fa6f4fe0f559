"""`bert serve` beside other servers and beside `bert predict`: the same weights, the same texts, a load generator on loopback.

    python benchmarks/serving.py --texts data/nlp-disaster/train.csv --torch-python PYTHON_WITH_TORCH --rounds 5
    python benchmarks/serving.py --texts data/nlp-disaster/train.csv --seconds 3 --clients 64 --rows 1 32 --models default

The others: FastAPI with transformers and torch (`serving_torch.py`), and infinity-emb where `--infinity` names its command.
All servers are up at once and are asked in turn, round after round, so that what else a machine does hits all of them;
ratios are of one round, and are given with their standard errors. Weights are random, in the sizes of all-MiniLM-L6-v2 and
of `bert train` without a checkpoint: how fast an answer comes does not depend on what it says. `--checks` adds memory over
10,000 requests, four times the load that is let in, and kill -9 under load.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import polars as pl
from processes import BERT, resident_bytes
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
OFFLINE_SECONDS = 2.0
KILL_SECONDS = 60  # a restart, and some more
READY_SECONDS = 600  # a server imports torch, and the machine may have other work


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
    """`bert serve` in f32 on a free port: this and the process id."""
    with start_ours(checkpoint, 0, *words) as process:
        assert process.stdout is not None
        port = 0
        while not port:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("bert serve has ended")
            if line.startswith("page"):
                port = int(line.rstrip("/\n").rpartition(":")[2])
        wait_until_ready(port, process)
        yield port, process.pid


@contextmanager
def start_ours(checkpoint: Path, port: int, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """`bert serve` in f32 on a port, which is not waited for; killed in the end."""
    options = ("--served-model-name", MODEL, "--no-access-log", "--precision", "f32")
    command = [*BERT, "serve", "--checkpoint", str(checkpoint), "--port", str(port), *options]
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def run_torch(python: str, checkpoint: Path, port: int = 38_471) -> Iterator[tuple[int, int]]:
    """The other server: its port and process id."""
    command = [python, str(Path(__file__).with_name("serving_torch.py")), str(checkpoint)]
    path = os.environ.get("TORCH_PYTHONPATH", "")
    with run_peer([*command, str(port)], port, PYTHONPATH=path) as server:
        yield server


@contextmanager
def run_infinity(command: str, checkpoint: Path, port: int = 38_472) -> Iterator[tuple[int, int]]:
    """infinity-emb with torch: its port and process id."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in ("config.json", "model.safetensors", "tokenizer/tokenizer.json"):
            shutil.copy(checkpoint / name, folder)
        special = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]"}
        kind = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 128}
        kind |= {f"{name}_token": token for name, token in special.items()}
        (folder / "tokenizer_config.json").write_text(json.dumps(kind), encoding="utf-8")
        words = ["v2", "--model-id", place, "--served-model-name", MODEL, "--port", str(port)]
        words += ["--engine", "torch", "--device", "cpu", "--dtype", "float32"]
        quiet = {"PYTHONPATH": "", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
        with run_peer([command, *words, "--log-level", "error"], port, **quiet) as server:
            yield server


@contextmanager
def run_peer(command: list[str], port: int, **environment: str) -> Iterator[tuple[int, int]]:
    """A server of others in its own environment: its port and process id."""
    with subprocess.Popen(command, env=os.environ | environment) as process:
        try:
            wait_until_ready(port, process)
            yield port, process.pid
        finally:
            process.kill()


def wait_until_ready(port: int, process: subprocess.Popen[Any]) -> None:
    """Until /health is 200.

    Raises:
        RuntimeError: the server ended instead.
    """
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(
                    f"the server of port {port} ended with {process.returncode}"
                ) from None
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def cut(texts: pl.DataFrame, size: int) -> list[list[str]]:
    """The texts of one request after the other."""
    listed = texts["text"].to_list()
    return [listed[start : start + size] for start in range(0, len(listed) - size + 1, size)]


def make_text_bodies(texts: pl.DataFrame, size: int) -> list[bytes]:
    """Requests for /predict."""
    return [json.dumps({"inputs": [[text] for text in each]}).encode() for each in cut(texts, size)]


def make_row_bodies(texts: pl.DataFrame, size: int, **options: bool) -> list[bytes]:
    """Requests for /predict/rows; without options as most clients send them."""
    return [
        json.dumps({"rows": [{"text": text} for text in each], **options}).encode()
        for each in cut(texts, size)
    ]


def make_infinity_bodies(texts: pl.DataFrame, size: int) -> list[bytes]:
    """Requests for infinity's /classify."""
    return [json.dumps({"model": MODEL, "input": each}).encode() for each in cut(texts, size)]


class Route(NamedTuple):
    """What is asked: a route of a server, by some rows or texts in each request."""

    name: str
    port: int
    pid: int
    path: str
    bodies: list[bytes]
    num_rows: int


@contextmanager
def run_servers(
    checkpoint: Path, texts: pl.DataFrame, arguments: argparse.Namespace
) -> Iterator[list[Route]]:
    """All servers, and what each is asked."""
    with ExitStack() as stack:
        servers: list[tuple[str, tuple[int, int], str, Callable[..., list[bytes]]]] = []
        ours = stack.enter_context(run_ours(checkpoint))
        servers.append(("texts", ours, "/predict", make_text_bodies))
        # `measure_offline` looks for no drift.
        without_drift = partial(make_row_bodies, drift=False)
        servers.append(("rows", ours, "/predict/rows", without_drift))
        servers.append(("rows with drift", ours, "/predict/rows", make_row_bodies))
        if arguments.torch_python:
            torch = stack.enter_context(run_torch(arguments.torch_python, checkpoint))
            servers.append(("torch", torch, "/predict", make_text_bodies))
        if arguments.infinity:
            infinity = stack.enter_context(run_infinity(arguments.infinity, checkpoint))
            servers.append(("infinity", infinity, "/classify", make_infinity_bodies))
        yield [
            Route(name, *server, path, make(texts, size), size)
            for name, server, path, make in servers
            for size in arguments.rows
        ]


def measure(route: Route, num_clients: int, seconds: float) -> dict[str, Any]:
    """Throughput, latency, and the processor time of server and generator."""
    before = processor_seconds(route.pid)
    load = run_load(route.port, route.path, route.bodies, num_clients=num_clients, seconds=seconds)
    used = processor_seconds(route.pid) - before
    server = round(1e6 * used / max(1, len(load.latencies)), 1)
    return {**load.summarise(route.num_rows), "server_us_per_request": server}


def processor_seconds(pid: int) -> float:
    """What a process has used of all cores."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


Found = dict[tuple[str, int, int], list[float]]


def run_rounds(
    checkpoint: Path, texts: pl.DataFrame, arguments: argparse.Namespace
) -> tuple[Found, list[float]]:
    """Rows per second by route, rows of a request and clients, and those of `predict`, of each round."""
    found: Found = {}
    offline: list[float] = []
    with run_servers(checkpoint, texts, arguments) as routes:
        for route in routes:
            measure(route, 8, 1.0)
        for number in range(arguments.rounds):
            offline.append(measure_offline(checkpoint, texts))
            place = number % len(routes)
            for num_clients in arguments.clients:
                for route in routes[place:] + routes[:place]:
                    said = measure(route, num_clients, arguments.seconds)
                    key = (route.name, route.num_rows, num_clients)
                    found.setdefault(key, []).append(said["rows_per_second"])
                    names = {"route": route.name, "rows": route.num_rows, "clients": num_clients}
                    print(json.dumps({"round": number, **names, **said}), flush=True)
    return found, offline


def compare(found: Found, offline: list[float]) -> Iterator[dict[str, Any]]:
    """Ratios within rounds, each with its standard error."""
    for (name, num_rows, num_clients), speeds in found.items():
        if name.startswith("rows"):
            others = {"offline": offline}
        elif name == "texts":
            keys = {peer: (peer, num_rows, num_clients) for peer in ("torch", "infinity")}
            others = {peer: found[key] for peer, key in keys.items() if key in found}
        else:
            continue
        for peer, theirs in others.items():
            ratios = np.array(speeds) / np.array(theirs)
            error = ratios.std(ddof=1) / len(ratios) ** 0.5 if len(ratios) > 1 else float("nan")
            yield {
                "ratio": f"{name} / {peer}",
                "rows": num_rows,
                "clients": num_clients,
                "mean": round(float(ratios.mean()), 3),
                "error": round(float(error), 3),
                "least": round(float(ratios.min()), 3),
            }


def measure_offline(checkpoint: Path, texts: pl.DataFrame) -> float:
    """Rows per second of `predict` on the same rows, over some seconds, as one pass takes a third of one."""
    predictor = load_predictor(checkpoint, precision="f32")
    rows = texts.drop("label")
    predictor.predict(rows[:256])
    began, used = time.perf_counter(), time.process_time()
    num_rows = 0
    while time.perf_counter() - began < OFFLINE_SECONDS:
        predictor.predict(rows)
        num_rows += rows.height
    speed = num_rows / (time.perf_counter() - began)
    microseconds = round(1e6 * (time.process_time() - used) / num_rows, 1)
    said = {"offline_rows_per_second": round(speed, 1), "processor_us_per_row": microseconds}
    print(json.dumps(said), flush=True)
    return speed


def check_memory(checkpoint: Path, bodies: list[bytes], num_requests: int) -> dict[str, Any]:
    """Memory before and after many requests of mixed length, half as many having filled what is kept."""
    with run_ours(checkpoint) as (port, pid):
        sizes = []
        for count in (num_requests // 2, num_requests):
            run_load(port, "/predict", bodies, num_clients=16, num_requests=count)
            sizes.append(resident_bytes(pid))
    growth = sizes[1] / sizes[0] - 1
    return {"mebibytes": [round(size / 2**20, 1) for size in sizes], "growth": round(growth, 4)}


def check_overload(checkpoint: Path, bodies: list[bytes], seconds: float) -> dict[str, Any]:
    """Four times as many clients as are let in: every request gets an answer or a 429."""
    with run_ours(checkpoint, "--max-concurrent-requests", "16") as (port, _):
        load = run_load(port, "/predict", bodies, num_clients=64, seconds=seconds)
    lost = sum(count for status, count in load.statuses.items() if status not in (200, 429))
    return {**load.summarise(), "lost": lost}


def check_kill(checkpoint: Path, bodies: list[bytes]) -> dict[str, Any]:
    """Kill -9 under load, and a restart on the same port: clients see errors, and no wrong answer."""
    some = bodies[:50]
    with run_ours(checkpoint) as (port, pid):
        right = run_load(
            port, "/predict", some, num_clients=1, num_requests=len(some), keep_answers=True
        ).answers
        ask = partial(run_load, port, "/predict", some, num_clients=16, keep_answers=True)
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(ask, seconds=KILL_SECONDS)
            time.sleep(1.0)
            os.kill(pid, signal.SIGKILL)
            with start_ours(checkpoint, port):
                load = asked.result()
    wrong = sum(answer != right[number % len(some)] for number, answer in load.answers.items())
    again = load.since_broken
    return {"statuses": dict(load.statuses), "since_restart": again, "wrong_answers": wrong}


def main() -> None:
    """All that was asked for, as JSON lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=Path, required=True, help="a table with a column text")
    parser.add_argument("--torch-python", help="a Python with torch, transformers and fastapi")
    parser.add_argument("--infinity", help="the command infinity_emb")
    parser.add_argument("--models", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 8, 32], help="of a request")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checks", action="store_true", help="memory, overload, kill -9")
    parser.add_argument("--check-requests", type=int, default=10_000)
    parser.add_argument("--check-seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    texts = read_table(arguments.texts).select("text").with_row_index("label")
    texts = texts.with_columns((pl.col("label") % 2).cast(pl.String)).drop_nulls()
    for name in arguments.models:
        with tempfile.TemporaryDirectory() as place:
            checkpoint = write_checkpoint(Path(place) / MODEL, texts, name)
            print(json.dumps({"model": name}), flush=True)
            if arguments.rounds:
                for line in compare(*run_rounds(checkpoint, texts, arguments)):
                    print(json.dumps({"model": name, **line}), flush=True)
            if arguments.checks:
                for line in run_checks(checkpoint, make_text_bodies(texts, 1), arguments):
                    print(json.dumps(line), flush=True)


def run_checks(
    checkpoint: Path, bodies: list[bytes], arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Memory, overload and kill -9."""
    yield {"memory": check_memory(checkpoint, bodies, arguments.check_requests)}
    yield {"overload": check_overload(checkpoint, bodies, arguments.check_seconds)}
    yield {"kill": check_kill(checkpoint, bodies)}


if __name__ == "__main__":
    main()
