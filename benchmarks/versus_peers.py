"""Ours against torch, OpenVINO and onnxruntime on the same work: two processes alive at once, timed in turn.

    uv run python benchmarks/versus_peers.py --peer-python PATH --definitions DIR [--only train] [--rounds 8] [--isa avx512]
    uv run python benchmarks/versus_peers.py --peer-python PATH --definitions DIR --quick

`--peer-python` is an interpreter that has torch and transformers (and openvino, nncf for its int8, onnxruntime for their rows); `--definitions` is
a folder with the peers' model definitions (`torch_models.py`, `common.py`). Each row gives best and median seconds of
both sides and the ratio ours / peer of the bests and of the medians (for inference its inverse says how many times faster).
Peer `torch-compile` needs a C++ compiler; what it compiles at its first calls is not timed. Rows in bf16 are left out where the
CPU has no bf16 products (or they are masked), as peers only emulate them there. `--quick` takes a few rows, and as many rounds
as fit in 10 minutes on 2 cores; `--beside N` keeps N other processes busy, as on a shared machine.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
# What masks the instruction set of torch, and of oneDNN and MKL inside it.
MASKS = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "avx512": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
    },
    "avx512_bf16": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512_E1",
    },
    "amx": {},
}
WARM_UPS = 2  # not timed: compilation, caches, first allocations
MIN_ROUNDS = 3
QUICK_SECONDS = 560  # and what the last row takes beyond its turn
# What CPUs call products of bf16, and the masks that leave them.
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
BF16_MASKS = (None, "avx512_bf16", "amx")
PAUSE_SECONDS = 0.05  # lets the other side's OpenMP threads stop spinning


@dataclass(frozen=True)
class Case:
    """One piece of work and the peers that do it too."""

    name: str
    kind: str  # layer | adamw | train | infer
    model: str = "bert-base"
    dtype: str = "f32"
    batch: int = 32
    length: int = 64
    lengths: str = "full"  # or "titanic": drawn like the token counts of Titanic rows
    backward: bool = False
    peers: tuple[str, ...] = ("torch",)
    goal: float | None = None  # time, ours / best peer
    quick: tuple[str, ...] = ()  # the peers of a quick run
    quick_batch: int = 32  # and its rows


TORCH = ("torch", "torch-compile")
CASES = [
    Case("layer forward f32", "layer", peers=TORCH, goal=0.95),
    Case("layer f+b f32", "layer", backward=True, peers=TORCH, goal=0.90, quick=("torch",)),
    Case("layer forward bf16", "layer", dtype="bf16", peers=TORCH, goal=0.85),
    Case("layer f+b bf16", "layer", dtype="bf16", backward=True, peers=TORCH, goal=0.60),
    Case("adamw 110M", "adamw", goal=1.0),
    Case("train bert-base bf16", "train", dtype="bf16", peers=TORCH, goal=0.60),
    Case("train bert-base f32", "train", peers=TORCH, goal=0.92),
    Case(
        "train modernbert-base bf16",
        "train",
        "modernbert-base",
        "bf16",
        peers=TORCH,
        goal=0.60,
    ),
    Case("train modernbert-base f32", "train", "modernbert-base", peers=TORCH, goal=0.92),
    Case(
        "train bert-base f32 titanic",
        "train",
        lengths="titanic",
        peers=TORCH,
        quick=("torch",),
        quick_batch=8,
    ),
    Case("train bert-base bf16 titanic", "train", dtype="bf16", lengths="titanic", goal=0.45),
    Case(
        "train modernbert-base bf16 titanic",
        "train",
        "modernbert-base",
        "bf16",
        lengths="titanic",
        goal=0.45,
    ),
    Case(
        "infer bert-base bf16",
        "infer",
        dtype="bf16",
        peers=("torch", "openvino", "onnxruntime"),
        goal=1 / 1.4,
    ),
    Case(
        "infer modernbert-base bf16",
        "infer",
        "modernbert-base",
        "bf16",
        peers=("torch", "openvino"),
        goal=1 / 1.4,
    ),
    Case(
        "infer minilm bf16",
        "infer",
        "minilm",
        "bf16",
        peers=("torch", "openvino", "onnxruntime"),
        goal=1 / 1.3,
    ),
    Case("infer bert-base f32", "infer", peers=("torch", "openvino", "onnxruntime")),
    Case(
        "infer bert-base f32 titanic",
        "infer",
        lengths="titanic",
        peers=("torch", "openvino", "onnxruntime"),
        quick=("openvino", "onnxruntime"),
        quick_batch=8,
    ),
    Case(
        "infer minilm f32 titanic",
        "infer",
        "minilm",
        lengths="titanic",
        peers=("torch", "openvino", "onnxruntime"),
        quick=("openvino", "onnxruntime"),
    ),
    Case(
        "infer bert-base int8",
        "infer",
        dtype="int8",
        peers=("openvino", "openvino-dynamic"),
        goal=1.0,
    ),
    Case(
        "infer bert-base int8 titanic",
        "infer",
        dtype="int8",
        lengths="titanic",
        peers=("openvino", "openvino-dynamic", "onnxruntime"),
        quick=("openvino", "onnxruntime"),
        quick_batch=8,
    ),
    Case(
        "infer modernbert-base 8192 f32",
        "infer",
        "modernbert-base",
        batch=1,
        length=8192,
        goal=0.25,
    ),
    Case(
        "infer modernbert-base 8192 bf16",
        "infer",
        "modernbert-base",
        "bf16",
        batch=1,
        length=8192,
        goal=0.25,
    ),
]


class Side:
    """A worker process that does one unit of work each time it is told to."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.facts = self.read()

    def read(self) -> dict:
        """The next JSON line the worker prints; other lines are noise of its libraries."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith('{"worker"'):
                return json.loads(line)
        raise RuntimeError(f"worker ended with code {self.process.wait()}")

    def ask(self, word: str) -> dict:
        """Send one word, wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> dict:
        """Ask for the closing facts (peak memory) and end the process."""
        facts = self.ask("facts")
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        return facts


def start(side: str, case: Case, options: argparse.Namespace) -> Side:
    """Start the worker of one side: ours in this interpreter, a peer in its own."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    if options.isa:
        environment |= MASKS[options.isa] | {"BERT_KERNELS_ISA": options.isa}
    if side == "ours":
        command = [sys.executable, str(HERE / "worker_ours.py")]
    else:
        command = [
            options.peer_python,
            str(HERE / "worker_peers.py"),
            "--definitions",
            options.definitions,
        ]
    description = json.dumps(dict(asdict(case), side=side, threads=options.threads))
    return Side([*command, "--case", description], environment)


def compare(case: Case, peer: str, options: argparse.Namespace, end: float) -> dict:
    """Time ours and one peer in turn for the asked number of rounds, or MIN_ROUNDS where `end` has come."""
    sides = {name: start(name, case, options) for name in ("ours", peer)}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        for _ in range(WARM_UPS):
            side.ask("go")
    for done in range(options.rounds):
        if done >= MIN_ROUNDS and time.monotonic() > end:
            break
        for name, side in sides.items():
            time.sleep(PAUSE_SECONDS)
            times[name].append(side.ask("go")["seconds"])
    memory = {name: side.close()["peak_memory_bytes"] for name, side in sides.items()}
    ours, theirs = times["ours"], times[peer]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "case": case.name,
        "peer": peer,
        "ours_best": min(ours),
        "ours_median": statistics.median(ours),
        "peer_best": min(theirs),
        "peer_median": statistics.median(theirs),
        "ratio_best": min(ours) / min(theirs),
        "ratio_median": statistics.median(ours) / statistics.median(theirs),
        "pair_ratio_median": statistics.median(ratios),
        "pair_ratio_mean": statistics.mean(ratios),
        "pair_ratio_error": statistics.stdev(ratios) / len(ratios) ** 0.5,
        "rounds": len(ratios),
        "ours_memory": memory["ours"],
        "peer_memory": memory[peer],
        "goal": case.goal,
        "versions": {name: side.facts["versions"] for name, side in sides.items()},
    }


def print_table(rows: list[dict]) -> None:
    """The results as a Markdown table, ready for the log."""
    print(
        "\n| work | peer | rounds | ours best / median s | peer best / median s | ratio best / median | of pairs | goal "
        "| peak GB ours / peer |"
    )
    print("|---|---|--:|---|---|---|---|---|---|")
    for row in rows:
        goal = "-" if row["goal"] is None else f"{row['goal']:.2f}"
        print(
            f"| {row['case']} | {row['peer']} | {row['rounds']} | {row['ours_best']:.4f} / {row['ours_median']:.4f} "
            f"| {row['peer_best']:.4f} / {row['peer_median']:.4f} "
            f"| {row['ratio_best']:.2f} / {row['ratio_median']:.2f} "
            f"| {row['pair_ratio_mean']:.2f} ± {row['pair_ratio_error']:.2f} | {goal} "
            f"| {row['ours_memory'] / 1e9:.2f} / {row['peer_memory'] / 1e9:.2f} |"
        )


def has_bf16(mask: str | None) -> bool:
    """Whether this CPU multiplies bf16, and the mask lets it."""
    facts = Path("/proc/cpuinfo")
    flags = set(facts.read_text().split()) if facts.exists() else set()
    return mask in BF16_MASKS and bool(flags & BF16_FLAGS)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Other processes that want the cores too."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def _shorten(case: Case) -> Case:
    """The case with the rows of a quick run, which its name says."""
    if case.quick_batch == case.batch or not case.quick:
        return case
    return replace(case, batch=case.quick_batch, name=f"{case.name}, {case.quick_batch} rows")


def choose(options: argparse.Namespace) -> list[tuple[Case, str]]:
    """What is to be timed, with which peer."""
    wanted = [word for word in options.only.split(",") if word]
    peers = [word for word in options.peers.split(",") if word]
    is_fit = has_bf16(options.isa)
    left_out = {case.name for case in CASES if case.dtype == "bf16" and not is_fit}
    if left_out:
        print(
            f"without bf16 products peers only emulate: left out {', '.join(sorted(left_out))}",
            flush=True,
        )
    cases = [_shorten(case) for case in CASES] if options.quick else CASES
    return [
        (case, peer)
        for case in cases
        if case.name not in left_out and (not wanted or any(word in case.name for word in wanted))
        for peer in (case.quick if options.quick else case.peers)
        if not peers or peer in peers
    ]


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--definitions", required=True)
    parser.add_argument("--only", default="", help="substrings of case names, separated by commas")
    parser.add_argument("--peers", default="", help="peers to keep, separated by commas")
    parser.add_argument(
        "--isa",
        choices=MASKS,
        help="mask the instruction set of ours and of torch downwards (OpenVINO and onnxruntime are not masked)",
    )
    parser.add_argument("--rounds", type=int, default=8, help=f"at least {MIN_ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="a few rows in 10 minutes")
    parser.add_argument("--beside", type=int, default=0, help="other processes that are busy")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="append each result as a line to this file")
    options = parser.parse_args()
    if options.rounds < MIN_ROUNDS:
        parser.error(f"--rounds is {options.rounds}, expected at least {MIN_ROUNDS}")
    return options


def main() -> None:
    """Run the chosen cases and print one table."""
    options = read_options()
    rows: list[dict] = []
    chosen = choose(options)
    start_time = time.monotonic()
    for place, (case, peer) in enumerate(chosen, 1):
        # Each row has an equal share of the time, and what those before it left.
        end = start_time + QUICK_SECONDS * place / len(chosen) if options.quick else math.inf
        if options.quick and time.monotonic() > start_time + QUICK_SECONDS:
            print(f"{case.name} / {peer}: no time was left", file=sys.stderr)
            continue
        try:
            with busy(options.beside):
                rows.append(compare(case, peer, options, end))
        except RuntimeError as error:
            print(f"{case.name} / {peer}: {error}", file=sys.stderr)
            continue
        print(json.dumps(rows[-1]), flush=True)
        if options.json:
            with options.json.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print(
        f"\n{platform.processor() or platform.machine()}, {options.isa or 'no mask'}, {options.threads} threads, "
        f"{options.beside} busy processes beside, {time.monotonic() - start_time:.0f} s in all"
    )
    print_table(rows)


if __name__ == "__main__":
    main()
