"""Memory of long work: training on rows of any length, and predicting large tables.

    uv run python benchmarks/soak.py train [--steps 10000] [--every 100]
    uv run python benchmarks/soak.py predict [--rows 30000 300000]

Training: the resident memory of the process, and what MLX holds, after every so many steps of a small model; told is how
far it rose above what it was after the warm-up. Prediction, by a model trained for one epoch: the peak resident memory of
`bert predict` for each number of rows, how far it rose after a tenth of the time (which says something of long tables),
and the rows a second. Serving: `benchmarks/serving.py`. One JSON line each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mlx.core as mx
import numpy as np
import polars as pl
from processes import BERT, peak_bytes, resident_bytes

from bert_playground.config.load import load_config
from bert_playground.logs import set_up_logs
from bert_playground.training import run_training
from bert_playground.training.core import Callback, TrainState

WARM_UP = 1_200  # steps, after which buffers of each length have been seen
WARM_UP_OF_PREDICTION = 0.1  # of its time
BATCH_SIZE = 32
WORDS = [f"word{number}" for number in range(2_000)]


class WatchMemory(Callback):
    """Appends a line to a file every so many steps."""

    def __init__(self, file: str, every: int) -> None:
        self.file, self.every = Path(file), every

    def on_step_end(self, state: TrainState) -> None:
        """Look."""
        if state.step % self.every:
            return
        line = {
            "step": state.step,
            "resident": resident_bytes(),
            "active": mx.get_active_memory(),
            "cached": mx.get_cache_memory(),
        }
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def make_table(num_rows: int, seed: int) -> pl.DataFrame:
    """Rows with a text of 1 to 200 words, two numbers, a category and a label that depends on one of them."""
    random = np.random.default_rng(seed)
    lengths = np.minimum(random.lognormal(2.2, 0.9, num_rows).astype(int) + 1, 200)
    words = np.array(WORDS)[random.integers(0, len(WORDS), int(lengths.sum()))]
    texts = [" ".join(part) for part in np.split(words, np.cumsum(lengths)[:-1])]
    number = random.normal(size=num_rows)
    return pl.DataFrame(
        {
            "id": np.arange(num_rows),
            "text": texts,
            "number": number.round(4),
            "price": random.lognormal(3, 1, num_rows).round(2),
            "colour": random.choice(["red", "green", "blue", "black"], num_rows),
            "label": (number + random.normal(size=num_rows) > 0).astype(int),
        }
    )


def train(folder: Path, num_rows: int, **settings: object) -> Path:
    """Train a small model on so many made-up rows; gives the run folder."""
    table = folder / "train.csv"
    make_table(num_rows, seed=0).write_csv(table)
    flags = {
        "data.train": table,
        "data.target": "label",
        "data.id_column": "id",
        "training.output_dir": folder / "runs",
        "training.batch_size": BATCH_SIZE,
        "training.report": False,
        # That of tables without free text: most steps a second.
        "model.hidden_size": 64,
        "model.num_layers": 2,
        "model.pretrain": "off",
        **{f"training.{name}": value for name, value in settings.items()},
    }
    return run_training(*load_config(None, {}, flags)).run_dir.path


def soak_training(asked: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Resident memory over the steps, in a process that does nothing else."""
    samples = folder / "samples.jsonl"
    rows = 20_000
    started = time.perf_counter()
    train(
        folder,
        rows,
        epochs=1 + 2 * asked.steps * BATCH_SIZE // rows,  # some rows are for validation
        max_steps=asked.steps,
        early_stopping_patience=0,
        callbacks=[{"soak:WatchMemory": {"file": str(samples), "every": asked.every}}],
        callbacks_dir=Path(__file__).parent,
    )
    lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    after = [line for line in lines if line["step"] >= WARM_UP]
    first = after[0]["resident"]
    return {
        "steps": lines[-1]["step"],
        "seconds": round(time.perf_counter() - started, 1),
        "resident_mb": {
            line["step"]: line["resident"] // 2**20 for line in after[:: len(after) // 10 or 1]
        },
        "rise_after_warm_up": round(max(line["resident"] for line in after) / first - 1, 4),
        "rise_of_mlx": round(
            max(line["active"] + line["cached"] for line in after)
            / (after[0]["active"] + after[0]["cached"])
            - 1,
            4,
        ),
    }


def soak_prediction(asked: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """Peak memory and speed of `bert predict`, each number of rows in a process of its own."""
    run = train(folder, 5_000, epochs=1)
    found: list[dict[str, object]] = []
    for number in asked.rows:
        table = folder / f"test_{number}.csv"
        make_table(number, seed=1).drop("label").write_csv(table)
        command = ["predict", "--test", table, "--checkpoint", run, "--output", folder / "out.csv"]
        started = time.perf_counter()
        process = subprocess.Popen([*BERT, *map(str, command)], stdout=sys.stderr)
        marks = []
        while (peak := peak_bytes(process.pid)) is not None:
            marks.append((time.perf_counter() - started, peak))
            time.sleep(0.02)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"bert predict failed: {os.waitstatus_to_exitcode(status)}")
        seconds = time.perf_counter() - started
        peak = marks[-1][1]
        first = max(mark for at, mark in marks if at <= WARM_UP_OF_PREDICTION * seconds)
        found.append(
            {
                "rows": number,
                "table_mb": table.stat().st_size // 2**20,
                "peak_mb": peak // 2**20,
                "rise_after_a_tenth": round(peak / first - 1, 4),
                "rows_per_second": round(number / seconds),
                "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
            }
        )
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", "predict"))
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--rows", type=int, nargs="+", default=[30_000, 300_000])
    asked = parser.parse_args()
    set_up_logs("WARNING")
    with tempfile.TemporaryDirectory() as folder:
        if asked.what == "train":
            print(json.dumps(soak_training(asked, Path(folder))))
        else:
            for line in soak_prediction(asked, Path(folder)):
                print(json.dumps(line))


if __name__ == "__main__":
    main()
