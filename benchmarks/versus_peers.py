"""Ours against torch, OpenVINO and onnxruntime on the same work: two processes alive at once, timed in turn.

    uv run python benchmarks/versus_peers.py --peer-python PATH --definitions DIR [--only train] [--rounds 8] [--isa avx512]

`--peer-python` is an interpreter that has torch and transformers (and openvino, onnxruntime for their rows); `--definitions` is
a folder with the peers' model definitions (`torch_models.py`, `common.py`). Each row gives best and median seconds of
both sides and the ratio ours / peer of the bests and of the medians (for inference its inverse says how many times faster).
Peer `torch-compile` needs a C++ compiler; what it compiles at its first calls is not timed.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
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


TORCH = ("torch", "torch-compile")
CASES = [
    Case("layer forward f32", "layer", peers=TORCH, goal=0.95),
    Case("layer f+b f32", "layer", backward=True, peers=TORCH, goal=0.90),
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
        "infer bert-base int8",
        "infer",
        dtype="int8",
        peers=("openvino", "openvino-dynamic"),
        goal=1.0,
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


def compare(case: Case, peer: str, options: argparse.Namespace) -> dict:
    """Time ours and one peer in turn for the asked number of rounds."""
    sides = {name: start(name, case, options) for name in ("ours", peer)}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        for _ in range(WARM_UPS):
            side.ask("go")
    for _ in range(options.rounds):
        for name, side in sides.items():
            time.sleep(PAUSE_SECONDS)
            times[name].append(side.ask("go")["seconds"])
    memory = {name: side.close()["peak_memory_bytes"] for name, side in sides.items()}
    ours, theirs = times["ours"], times[peer]
    return {
        "case": case.name,
        "peer": peer,
        "ours_best": min(ours),
        "ours_median": statistics.median(ours),
        "peer_best": min(theirs),
        "peer_median": statistics.median(theirs),
        "ratio_best": min(ours) / min(theirs),
        "ratio_median": statistics.median(ours) / statistics.median(theirs),
        "pair_ratio_median": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        "ours_memory": memory["ours"],
        "peer_memory": memory[peer],
        "goal": case.goal,
        "versions": {name: side.facts["versions"] for name, side in sides.items()},
    }


def print_table(rows: list[dict]) -> None:
    """The results as a Markdown table, ready for the log."""
    print(
        "\n| work | peer | ours best / median s | peer best / median s | ratio best / median | goal | peak GB ours / peer |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        goal = "-" if row["goal"] is None else f"{row['goal']:.2f}"
        print(
            f"| {row['case']} | {row['peer']} | {row['ours_best']:.4f} / {row['ours_median']:.4f} "
            f"| {row['peer_best']:.4f} / {row['peer_median']:.4f} "
            f"| {row['ratio_best']:.2f} / {row['ratio_median']:.2f} | {goal} "
            f"| {row['ours_memory'] / 1e9:.2f} / {row['peer_memory'] / 1e9:.2f} |"
        )


def main() -> None:
    """Run the chosen cases and print one table."""
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
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="append each result as a line to this file")
    options = parser.parse_args()
    wanted = [word for word in options.only.split(",") if word]
    peers = [word for word in options.peers.split(",") if word]
    rows = []
    for case in CASES:
        if wanted and not any(word in case.name for word in wanted):
            continue
        for peer in case.peers:
            if peers and peer not in peers:
                continue
            try:
                rows.append(compare(case, peer, options))
            except RuntimeError as error:
                print(f"{case.name} / {peer}: {error}", file=sys.stderr)
                continue
            print(json.dumps(rows[-1]), flush=True)
            if options.json:
                with options.json.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    print(
        f"\n{platform.processor() or platform.machine()}, {options.isa or 'no mask'}, {options.threads} threads, "
        f"{options.rounds} rounds"
    )
    print_table(rows)


if __name__ == "__main__":
    main()
