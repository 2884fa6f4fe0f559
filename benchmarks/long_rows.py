"""One row of 512 to 8192 tokens through ModernBERT: seconds and peak memory, ours and transformers'.

    uv run python benchmarks/long_rows.py --peer-python PATH [--lengths 512 8192] [--layers 22] [--kind local]

Every figure comes from a process of its own: the best of several passes, and by how much the largest resident memory of the
process exceeds what it held before the first pass (weights loaded, nothing computed). `--side stock` is ours with
BERT_KERNELS=off, MLX's own operations on the CPU.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

from processes import resident_bytes

SIDES = ("native", "stock", "peer")
KINDS = {"published": None, "local": "sliding_attention", "global": "full_attention"}


def options(num_layers: int, kind: str) -> dict:
    """ModernBERT-base, with fewer layers or layers of one kind where asked."""
    layer_type = KINDS[kind]
    types = {} if layer_type is None else {"layer_types": [layer_type] * num_layers}
    return {"num_hidden_layers": num_layers, **types}


def ours(length: int, num_layers: int, kind: str) -> Callable[[], object]:
    """A forward pass through the public call."""
    import mlx.core as mx
    import numpy as np

    from bert_playground.models.bert import ModernBertConfig, ModernBertCore

    encoder = ModernBertCore(ModernBertConfig.from_dict(options(num_layers, kind))).eval()
    mx.eval(encoder.parameters())
    ids = mx.array(np.random.default_rng(0).integers(3, 50_000, (1, length)).astype(np.int32))
    mx.clear_cache()
    return lambda: mx.eval(encoder(ids))


def peer(length: int, num_layers: int, kind: str) -> Callable[[], object]:
    """The same through transformers, with torch's fused attention."""
    import torch
    import transformers

    config = transformers.ModernBertConfig(
        **options(num_layers, kind), attn_implementation="sdpa", reference_compile=False
    )
    model = transformers.ModernBertModel(config).eval()
    ids = torch.randint(3, 50_000, (1, length), generator=torch.Generator().manual_seed(0))

    def forward() -> object:
        with torch.inference_mode():
            return model(input_ids=ids).last_hidden_state

    return forward


def measure(side: str, length: int, num_layers: int, kind: str, budget_seconds: float) -> dict:
    """Seconds of the best pass, and what the passes held at most above the weights."""
    forward = (peer if side == "peer" else ours)(length, num_layers, kind)
    before, seconds, spent = resident_bytes(), [], 0.0
    while not seconds or (spent < budget_seconds and len(seconds) < 8):
        start = time.perf_counter()
        forward()
        seconds.append(time.perf_counter() - start)
        spent += seconds[-1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": min(seconds), "extra_mb": (peak - before) / 1e6, "passes": len(seconds)}


def main() -> None:
    """Print one line per length and side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="an interpreter that has torch and transformers")
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=["native", "peer"])
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--kind", choices=KINDS, default="published")
    parser.add_argument("--budget", type=float, default=6.0, help="seconds of passes per figure")
    parser.add_argument("--measure", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    work = (arguments.layers, arguments.kind, arguments.budget)
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.lengths[0], *work)))
        return
    for length in arguments.lengths:
        for side in arguments.sides:
            python = arguments.peer_python if side == "peer" else sys.executable
            command = [python, __file__, "--measure", side, "--lengths", str(length)]
            command += ["--layers", str(work[0]), "--kind", work[1], "--budget", str(work[2])]
            environment = os.environ | ({"BERT_KERNELS": "off"} if side == "stock" else {})
            output = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            ).stdout
            result = json.loads(output.splitlines()[-1])
            print(
                f"{length:6d} {side:8s} {result['seconds']:9.3f} s {result['extra_mb']:9.0f} MB "
                f"({result['passes']} passes)",
                flush=True,
            )


if __name__ == "__main__":
    main()
