"""bert benchmark: time the forward pass and the training step, or data loading."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import pretrained_folder
from bert_playground.cli.utils.console import print_json, print_lines, print_table


class Engine(StrEnum):
    """What computes the forward pass."""

    MLX = "mlx"
    ONNX = "onnx"


BatchSize = Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="rows per batch")]
SequenceLength = Annotated[
    int, typer.Option("--seq-length", metavar="N", min=1, help="tokens per row")
]
Steps = Annotated[
    int, typer.Option("--steps", metavar="N", min=1, help="timed repetitions of each case")
]
TestCompilation = Annotated[
    bool,
    typer.Option(
        "--test-compilation", metavar="", help="with and without mx.compile", show_default=False
    ),
]

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="time loading this table into batches instead, uncached",
        show_default=False,
    ),
]
EngineName = Annotated[
    Engine,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="onnx: the forward pass by onnxruntime in f32 as well, beside that of mlx",
    ),
]


@options.takes_settings("--model --precision")
def benchmark(
    context: typer.Context,
    batch_size: BatchSize = 32,
    seq_length: SequenceLength = 128,
    steps: Steps = 10,
    test_compilation: TestCompilation = False,
    engine: EngineName = Engine.MLX,
    data: Data = None,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Time forward passes and training steps on this machine, or data loading with --data."""
    if data is not None:
        _benchmark_data(context, data, batch_size, steps, log_level, json=json)
        return
    from bert_playground.bench import run_benchmark
    from bert_playground.export.onnx import make_onnx_forward
    from bert_playground.logs import set_up_logs
    from bert_playground.models.factory import create_from_config
    from bert_playground.models.sizes import fit_to_checkpoint
    from bert_playground.tasks import TASKS

    set_up_logs(log_level)
    asked, _ = fit_to_checkpoint(*options.read_config(context))
    source = context.get_parameter_source("seq_length")
    if asked.model.pretrained is None:
        section = asked.data.model_copy(update={"max_length": seq_length})
        asked = asked.model_copy(update={"data": section})
    elif source is not None and source.name == "DEFAULT":
        seq_length = min(seq_length, asked.data.max_length)
    result = run_benchmark(
        create_from_config(
            asked, TASKS["binary"], num_labels=1, vocab_size=asked.model.vocab_size, pad_token_id=0
        ),
        batch_size=batch_size,
        seq_length=seq_length,
        steps=steps,
        precision=asked.training.precision,
        test_compilation=test_compilation,
        also={"forward_onnx": make_onnx_forward} if engine == Engine.ONNX else None,
    )
    if json:
        print_json(result)
    else:
        _print(result)


def _benchmark_data(
    context: typer.Context,
    data: Path,
    batch_size: int,
    steps: int,
    log_level: Any,
    *,
    json: bool,
) -> None:
    from bert_playground.bench import run_loading_benchmark
    from bert_playground.data.prepare import fit_text
    from bert_playground.data.reading.table import read_table
    from bert_playground.logs import set_up_logs
    from bert_playground.models.sizes import fit_to_checkpoint

    set_up_logs(log_level)
    asked, _ = fit_to_checkpoint(*options.read_config(context))
    folder = pretrained_folder(asked.model.pretrained)
    text, _ = fit_text(read_table(data), asked.data, pretrained_dir=folder)
    result = run_loading_benchmark(data, text, batch_size=batch_size, steps=steps)
    if json:
        print_json(result)
        return
    rows = result["rows"]
    print_table(
        f"{data}: {rows} rows, {result['tokens']} tokens, template {result['template']!r}",
        ("stage", "median ms", "rows/s"),
        [
            *(
                (name.replace("_", " "), round(seconds * 1e3, 2), round(rows / seconds))
                for name, seconds in result["stages"].items()
            ),
            (
                "all",
                round(result["pass"]["seconds_median"] * 1e3, 2),
                round(result["rows_per_second"]),
            ),
        ],
    )


def _print(result: dict[str, Any]) -> None:
    model = result["model"]
    print_table(
        f"{model['architecture']}, {model['num_layers']} layers x {model['hidden_size']}, "
        f"{result['batch_size']} rows x {result['seq_length']} tokens, {result['precision']}",
        ("case", "median ms", "best ms", "spread %", "tokens/s"),
        [
            (
                name.replace("_", ", "),
                round(case["seconds_median"] * 1e3, 2),
                round(case["seconds_best"] * 1e3, 2),
                round(case["spread"] * 100, 1),
                round(case["tokens_per_second"]),
            )
            for name, case in result["cases"].items()
        ],
    )
    print_lines(
        [
            *_compare_compilation(result),
            f"{result['computed_by']} on {result['device']}, {result['peak_memory_bytes'] / 2**20:,.0f} MiB at most",
        ]
    )


def _compare_compilation(result: dict[str, Any]) -> list[str]:
    """Which step was faster, and which one training takes here."""
    from bert_playground.training.core.step import is_compilation_worthwhile

    cases = result["cases"]
    if "step_compiled" not in cases:
        return []
    plain, compiled = (cases[name]["seconds_median"] for name in ("step", "step_compiled"))
    faster = "compiled" if compiled < plain else "uncompiled"
    used = "compiled" if is_compilation_worthwhile() else "uncompiled"
    ratio = max(plain, compiled) / min(plain, compiled)
    reason = (
        "--no-compile turns that off"
        if used == "compiled"
        else "its batches have a new shape at nearly every step, and each shape would be compiled anew"
    )
    return [
        f"the {faster} step is {ratio:.2f} times as fast on these rows of one shape; bert train runs it {used} here: {reason}"
    ]
