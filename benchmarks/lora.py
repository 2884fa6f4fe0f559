"""LoRA, DoRA and QLoRA against full fine-tuning: trainable share, peak memory, step time and checkpoint size.

Each row is a process of its own, so that its peak is its own. On a quiet machine:

    python benchmarks/lora.py                     # BERT-base and ModernBERT-base, 32 rows of 64 tokens
    python benchmarks/lora.py --sizes tiny --steps 3
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from bert_playground import kernels
from bert_playground.data.core.types import Batch
from bert_playground.memory import fit_cache_limit, peak_memory_bytes
from bert_playground.models.checkpoint import save_model
from bert_playground.models.factory import create_model
from bert_playground.models.lora import Base, LoRAAdapter, create_lora_config
from bert_playground.models.quantization_utils import quantized_layers
from bert_playground.models.tokenwise import named_parameters
from bert_playground.tokens import Tokens
from bert_playground.training.core.optimizers import AdamW
from bert_playground.training.core.precision import set_precision
from bert_playground.training.core.step import is_compilation_worthwhile, make_train_step

BASES: dict[str, dict[str, Any]] = {
    "bert": {},  # the defaults of each config are the published base sizes
    "modernbert": {},
}
TINY = {
    "vocab_size": 200,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
PRESETS = {
    "full": None,
    "LoRA (balanced)": "balanced",
    "DoRA": "dora",
    "QLoRA, 4 bits": "qlora_memory",
}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    mx.random.seed(0)
    sizes = TINY if arguments.sizes == "tiny" else BASES[arguments.encoder]
    model = create_model(arguments.encoder, num_labels=2, **sizes)
    if arguments.preset:
        config = create_lora_config(arguments.preset)
        # Random weights have no name; this one lets the checkpoint be what it is on a real base.
        LoRAAdapter(model, config).base = Base("the-base", "0" * 64)
    mx.eval(model.parameters())
    precision = set_precision(model, arguments.precision)
    model.train()
    trainable = sum(p.size for _, p in tree_flatten(model.trainable_parameters()))
    vocab_size = model.encoder.config.vocab_size
    ids = np.random.default_rng(0).integers(0, vocab_size, (arguments.batch, arguments.length))
    tokens = make_tokens(ids)
    labels = mx.array(np.arange(arguments.batch) % 2)
    batch = Batch(tokens, labels, mx.arange(arguments.batch))
    optimizer = AdamW()
    moments = optimizer.create_moments(model.trainable_parameters())
    step = make_train_step(model, optimizer, use_compilation=is_compilation_worthwhile())
    mx.eval(moments)
    mx.reset_peak_memory()
    times = []
    for number in range(1, arguments.steps + arguments.warmup + 1):
        started = time.perf_counter()
        held, moments = moments, {}
        result = step(model.trainable_parameters(), held, [batch], 1e-4, number)
        model.update(result.parameters)
        moments = result.moments
        del held
        mx.eval(result, mx.random.state)
        fit_cache_limit()
        times.append(time.perf_counter() - started)
        del result
    peak, in_steps = peak_memory_bytes(), mx.get_peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder) / "checkpoint")
        files = (Path(folder) / "checkpoint").glob("*.safetensors")
        size = sum(file.stat().st_size for file in files)
    return {
        "trainable": trainable,
        "parameters": count_parameters(model),
        "peak_bytes": peak,
        "step_bytes": in_steps,
        "step_seconds": statistics.median(times[arguments.warmup :]),
        "spread": [min(times[arguments.warmup :]), max(times[arguments.warmup :])],
        "checkpoint_bytes": size,
        "precision": precision,
        "computed_by": kernels.describe(),
    }


def make_tokens(ids: np.ndarray) -> Tokens:
    """Rows of one length, packed where the kernels take them so."""
    if not kernels.is_native():
        return Tokens(mx.array(ids))
    ends = np.arange(0, ids.size + 1, ids.shape[1], dtype=np.int32)
    return Tokens(mx.array(ids.reshape(-1).astype(np.int32)), cu_seqlens=mx.array(ends))


def count_parameters(model: Any) -> int:
    """All values; those of quantized layers by what they stand for."""
    packed = {
        f"{name}.{leaf}"
        for name in quantized_layers(model)
        for leaf in ("weight", "scales", "biases")
    }
    plain = sum(p.size for name, p in named_parameters(model).items() if name not in packed)
    return plain + sum(
        layer.num_outputs * layer.num_inputs for layer in quantized_layers(model).values()
    )


def run_row(arguments: argparse.Namespace, encoder: str, preset: str | None) -> dict[str, Any]:
    """Measure in a process of its own."""
    options = ["--encoder", encoder, "--batch", arguments.batch, "--length", arguments.length]
    options += ["--steps", arguments.steps, "--warmup", arguments.warmup]
    options += ["--sizes", arguments.sizes, "--precision", arguments.precision, "--row"]
    options += ["--preset", preset] if preset else []
    command = [sys.executable, __file__, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{encoder}, {preset}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def print_table(arguments: argparse.Namespace) -> None:
    """All rows as a table in Markdown."""
    print(
        "| encoder | training | trainable | peak of the process | arrays in a step | step | checkpoint |"
    )
    print("|---|---|---|---|---|---|---|")
    facts = {}
    for encoder in arguments.encoders:
        for name, preset in PRESETS.items():
            row = run_row(arguments, encoder, preset)
            facts = {key: row[key] for key in ("precision", "computed_by")}
            share = 100 * row["trainable"] / row["parameters"]
            spread = " to ".join(f"{1000 * value:.0f}" for value in row["spread"])
            print(
                f"| {encoder} | {name} | {row['trainable']:,} ({share:.2f} %) "
                f"| {row['peak_bytes'] / 2**20:,.0f} MiB | {row['step_bytes'] / 2**20:,.0f} MiB "
                f"| {1000 * row['step_seconds']:.0f} ms ({spread}) "
                f"| {row['checkpoint_bytes'] / 2**20:,.1f} MiB |",
                flush=True,
            )
    print(
        f"\n{arguments.batch} rows of {arguments.length} tokens, {arguments.sizes} sizes, random weights, "
        f"activations in {facts['precision']}, median of {arguments.steps} steps, {facts['computed_by']}"
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoders", nargs="+", default=list(BASES), choices=list(BASES))
    parser.add_argument("--encoder", choices=list(BASES), default="bert", help=argparse.SUPPRESS)
    parser.add_argument("--preset", help=argparse.SUPPRESS)
    parser.add_argument("--row", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--sizes", choices=["base", "tiny"], default="base")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--precision", choices=["auto", "f32", "bf16"], default="auto")
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure(arguments)))
    else:
        print_table(arguments)


if __name__ == "__main__":
    main()
