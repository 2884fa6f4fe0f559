"""bert predict: predict a test table and write the submission."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_checkpoint
from bert_playground.cli.utils.console import print_json, print_lines, spell

if TYPE_CHECKING:
    from collections.abc import Callable

    from polars import DataFrame

    from bert_playground.cli.utils.parts import Asked
    from bert_playground.inference import AnyPredictor


class Engine(StrEnum):
    """What computes the model, or spreads the work."""

    MLX = "mlx"
    ONNX = "onnx"
    RAY = "ray"


_PANEL = "Scaling out"
Test = Annotated[
    Path,
    typer.Option(
        "--test",
        metavar="FILE",
        help="table to predict, or a pattern of several files in quotes",
        show_default=False,
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        metavar="FILE",
        help="CSV to write, - is standard output; with --jobs or --engine ray a folder of parts",
    ),
]

EngineName = Annotated[
    Engine,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="what computes the model: mlx, or onnx (onnxruntime on the CPU, f32); ray: many workers, each by mlx, or onnx of an exported folder",
    ),
]
Jobs = Annotated[
    int | None,
    options.option(
        "--jobs",
        metavar="N",
        min=1,
        help="workers that answer parts of the table side by side (default 1; with --engine ray as many as there is room for)",
        panel=_PANEL,
    ),
]
PartRows = Annotated[
    int | None,
    options.option(
        "--part-rows",
        metavar="N",
        min=1,
        help="rows that are answered at a time (default: all; of a large table some thousand)",
        panel=_PANEL,
    ),
]
Merge = Annotated[
    Path | None,
    options.option(
        "--merge",
        metavar="FILE",
        help="also join the parts in order into one CSV",
        panel=_PANEL,
    ),
]
RayAddress = Annotated[
    str | None,
    options.option(
        "--ray-address",
        metavar="HOST:PORT",
        help="of a cluster of Ray (default: that of RAY_ADDRESS, else a cluster of this machine alone)",
        panel=_PANEL,
    ),
]
TaskCpus = Annotated[
    int,
    typer.Option(
        "--task-cpus",
        metavar="N",
        min=1,
        help="cores, and threads, of each worker on Ray",
        rich_help_panel=_PANEL,
    ),
]


def predict(
    test: Test,
    checkpoint: options.Checkpoint = None,
    more_checkpoints: options.MoreCheckpoints = None,
    output: Output = Path("submission.csv"),
    sample: options.Sample = None,
    proba: options.Proba = False,
    tta: options.Tta = 1,
    strict: options.Strict = False,
    batch_size: options.PredictBatchSize = 128,
    precision: options.PredictPrecisionName = options.PredictPrecision.AUTO,
    engine: EngineName = Engine.MLX,
    jobs: Jobs = None,
    part_rows: PartRows = None,
    merge: Merge = None,
    ray_address: RayAddress = None,
    task_cpus: TaskCpus = 1,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Predict the rows of a test table and write the submission."""
    from bert_playground.cli.utils.output import check_output
    from bert_playground.cli.utils.parts import Asked, answer_parts
    from bert_playground.environment import count_cores
    from bert_playground.logs import set_up_logs
    from bert_playground.memory import limit_arenas

    limit_arenas(max(2, count_cores()))
    set_up_logs(log_level)
    check_output(output, [test, sample], json=json)
    asked = Asked(test, output, sample, merge, part_rows, proba, tta, strict, as_json=json)
    is_spread = jobs is not None or merge is not None or ray_address is not None
    if engine == Engine.RAY:
        from bert_playground.engines.engine import EngineRequest, require_engine

        require_engine(EngineRequest("ray", ray_address), "bert predict --engine ray")
    load = _choose_load(checkpoint, more_checkpoints, batch_size, precision.value, engine)
    if engine == Engine.RAY or is_spread:
        answer_parts(asked, load, engine.value, jobs, ray_address, task_cpus)
    else:
        _answer_alone(asked, load())


def _answer_alone(asked: "Asked", predictor: "AnyPredictor") -> None:
    """In this process, into one file."""
    from bert_playground.cli.utils.output import beside_output
    from bert_playground.data.kaggle.submission import write_parts
    from bert_playground.data.reading.table import read_table
    from bert_playground.logs import tell_if_slow
    from bert_playground.lookup import count_of
    from bert_playground.predict_table import predict_table

    drift = predictor.pipeline.watch_drift()
    parts = predict_table(
        predictor,
        asked.test,
        probabilities=asked.probabilities,
        sample_columns=() if asked.sample is None else read_table(asked.sample).columns,
        num_variants=asked.num_variants,
        drift=drift,
        strict=asked.strict,
        part_rows=asked.part_rows,
    )
    target = predictor.pipeline.target
    with tell_if_slow(f"answering {asked.test}"):
        written = write_parts(asked.output, parts, target=target, sample=asked.sample)
    if asked.as_json:
        print_json(
            {
                "output": asked.output,
                "rows": written.answers.height,
                "columns": written.columns,
                "checkpoint": predictor.checkpoint,
                "drift": [finding.to_dict() for finding in drift.findings()],
            }
        )
        return
    with beside_output(asked.output):
        print_lines(
            [
                f"{count_of(written.answers.height, 'answer')} by {predictor.checkpoint}",
                *_summary(written.answers),
                f"written to {asked.output}",
            ]
        )


def _choose_load(
    checkpoint: Path | None,
    more: list[Path] | None,
    batch_size: int,
    precision: str,
    engine: Engine,
) -> "Callable[[], AnyPredictor]":
    """What gives the predictor, in this process or in another one."""
    from bert_playground.export.onnx import is_onnx_folder, load_onnx_predictor

    is_exported = checkpoint is not None and not more and is_onnx_folder(checkpoint)
    if engine == Engine.MLX or (engine == Engine.RAY and not is_exported):
        _refuse_graph(checkpoint)
        from bert_playground.ensemble_predictor import load_predictor

        folder = choose_checkpoint(checkpoint, more)
        return partial(load_predictor, folder, batch_size=batch_size, precision=precision)
    if precision not in ("auto", "f32"):
        raise ValueError(
            f"onnxruntime computes in f32, not {precision}; leave --precision out, or export with --dtype"
        )
    folder = checkpoint if checkpoint and is_exported else choose_checkpoint(checkpoint, more)
    return partial(load_onnx_predictor, folder, batch_size=batch_size)


def _refuse_graph(checkpoint: Path | None) -> None:
    """Name the engine that reads a folder of ONNX."""
    from bert_playground.export.onnx import is_onnx_folder

    if checkpoint is not None and is_onnx_folder(checkpoint):
        raise ValueError(f"{checkpoint} holds an ONNX graph; add --engine onnx")


MOST_NAMED = 20  # answers with their numbers of rows


def _summary(answers: "DataFrame") -> list[str]:
    """What the answers are like, one line per answer column."""
    from bert_playground.lookup import count_of

    lines = []
    for column in answers.iter_columns():
        counts = column.alias("answer").value_counts(sort=True)  # a column may be called count
        if answers.height == 1:
            lines.append(f"  {column.name}: {spell(column[0])} in the only row")
        elif column.dtype.is_float() or (column.dtype.is_numeric() and counts.height > MOST_NAMED):
            least, middle, most = map(spell, (column.min(), column.median(), column.max()))
            lines.append(f"  {column.name}: from {least} to {most}, median {middle}")
        else:
            first = counts.rows()[:MOST_NAMED]
            shares = ", ".join(f"{value} in {count_of(number, 'row')}" for value, number in first)
            rest = counts.height - len(first)
            more = f", and {count_of(rest, 'rarer answer')}" if rest else ""
            lines.append(f"  {column.name}: {shares}{more}")
    return lines
