"""Data parallel on one machine: a process with all cores against one process per core on the same batches, in turn.

    python benchmarks/data_parallel.py --rows 2000 --processes 2 --repeats 3

Both train the same steps (`bert launch` with a share of each batch, `bert train` with the whole one). A step's time is
the median of what metrics.jsonl says between reports, the first ones left out. The ring's cost is that of summing as
many bytes as the model has gradients, all ranks being ready. Efficiency is the time of one process by that of several
less the ring.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from processes import BERT

from bert_playground.distributed.hosts import choose_free_ports

SKIPPED_REPORTS = 2
RING_REPEATS = 20


def write_table(path: Path, num_rows: int) -> None:
    """Rows of a few cells and a text of 5 to 40 words."""
    draw = random.Random(0)
    words = [f"word{i}" for i in range(500)]
    lines = ["number,kind,note,label"]
    for _ in range(num_rows):
        number, note = draw.randrange(100), " ".join(draw.choices(words, k=draw.randint(5, 40)))
        lines.append(f"{number},{draw.choice('abc')},{note},{int(number > 50)}")
    path.write_text("\n".join(lines) + "\n")


def measure_step(
    table: Path, processes: int, threads: int, options: argparse.Namespace
) -> tuple[float, int]:
    """Seconds of a step, and how many parameters it trains."""
    with tempfile.TemporaryDirectory() as folder:
        launched = ["launch", "-n", str(processes)] if processes > 1 else []
        subprocess.run(
            [
                *BERT, *launched, "train", "--train", str(table), "--output-dir", folder, "--max-steps", str(options.steps),
                "--batch-size", str(options.batch // processes), "--precision", "f32", "--logging-steps", "1",
                "--set", f"model.hidden_size={options.hidden}", "--set", f"model.num_layers={options.layers}",
                "--set", "training.report=false", "--set", "checkpoint.enable_checkpointing=false",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )  # fmt: skip
        (metrics,) = Path(folder).glob("run_*/metrics.jsonl")
        records = [json.loads(line) for line in metrics.read_text().splitlines()]
        (summary,) = Path(folder).glob("run_*/summary.json")
        parameters = int(json.loads(summary.read_text())["trained_parameters"])
    times = [record["seconds"] for record in records if record["kind"] == "train"]
    steps = [after - before for before, after in pairwise(times)]
    return statistics.median(steps[SKIPPED_REPORTS:]), parameters


def ring_seconds(processes: int, num_values: int) -> float:
    """Seconds to sum so many f32 values over processes that are all ready."""
    ports = choose_free_ports(processes)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as hosts:
        json.dump([[f"127.0.0.1:{port}"] for port in ports], hosts)
        hosts.flush()
        ranks = [
            subprocess.Popen(
                [sys.executable, __file__, "--ring", str(num_values)],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "MLX_RANK": str(rank), "MLX_HOSTFILE": hosts.name},
            )
            for rank in range(processes)
        ]
        said = [rank.communicate()[0] for rank in ranks]
        return float(said[0])


def time_ring(num_values: int) -> None:
    """As one rank: print the median time of a sum."""
    import mlx.core as mx

    group = mx.distributed.init(strict=True, backend="ring")
    values = mx.ones((num_values,))
    times = []
    for _ in range(RING_REPEATS):
        mx.eval(mx.distributed.all_sum(mx.array([1]), group=group, stream=mx.cpu))
        started = time.perf_counter()
        mx.eval(mx.distributed.all_sum(values, group=group, stream=mx.cpu))
        times.append(time.perf_counter() - started)
    print(statistics.median(times))


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument(
        "--batch", type=int, default=64, help="rows of a step, of all processes together"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--ring", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ring is not None:
        time_ring(options.ring)
        return
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        write_table(table, options.rows)
        one, several = [], []
        for _ in range(options.repeats):
            seconds, parameters = measure_step(table, 1, options.processes, options)
            one.append(seconds)
            several.append(measure_step(table, options.processes, 1, options)[0])
            print(
                f"1 x {options.processes}: {one[-1]:.4f} s   {options.processes} x 1: {several[-1]:.4f} s   load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    ring = ring_seconds(options.processes, parameters)
    before, after = statistics.median(one), statistics.median(several)
    print(
        f"{parameters:,} parameters: {before:.4f} s in one process, {after:.4f} s in {options.processes}, of which the "
        f"ring {ring:.4f} s; efficiency {before / after:.2f}, {before / (after - ring):.2f} without the ring"
    )


if __name__ == "__main__":
    main()
