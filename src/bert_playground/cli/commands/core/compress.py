"""bert compress: smaller encoders out of a trained one, and which of them to use."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_checkpoint
from bert_playground.cli.utils.completion import complete_checkpoints
from bert_playground.cli.utils.console import (
    print_json,
    print_lines,
    print_result,
    print_table,
    program,
)

if TYPE_CHECKING:
    from bert_playground.compression.compress import Compressed
    from bert_playground.compression.recipe import Recipe


class Choice(StrEnum):
    """Which layers are kept."""

    IMPORTANCE = "importance"
    SPREAD = "spread"
    FIRST = "first"


class SamplerName(StrEnum):
    """How a search chooses the next recipe."""

    NSGA2 = "nsga2"
    TPE = "tpe"


_RECIPE, _SEARCH, _LEARNING = "One recipe", "Search", "Learning"
Train = Annotated[
    Path | None,
    options.option(
        "--train",
        metavar="FILE",
        help="table with the target that students learn from: that of the model's run",
    ),
]
Output = Annotated[
    Path | None,
    options.option("--output", metavar="FOLDER", help="new folder to write"),
]
Resume = Annotated[
    Path | None,
    options.option(
        "--resume",
        metavar="FOLDER",
        help="go on with a stopped search: its folder",
        panel=_SEARCH,
        autocompletion=complete_checkpoints,
    ),
]
Layers = Annotated[
    int | None,
    options.option("--layers", metavar="N", help="layers that are kept", panel=_RECIPE),
]
Heads = Annotated[
    int | None,
    options.option(
        "--heads", metavar="N", help="attention heads that each layer keeps", panel=_RECIPE
    ),
]
Neurons = Annotated[
    int | None,
    options.option(
        "--ffn", metavar="N", help="neurons that each feed-forward keeps", panel=_RECIPE
    ),
]
Bits = Annotated[
    int | None,
    options.option(
        "--bits", metavar="N", help="quantize the weights afterwards, to 4 or 8 bits", panel=_RECIPE
    ),
]
LayerChoice = Annotated[
    Choice | None,
    options.option(
        "--layer-choice",
        metavar="NAME",
        help="which layers: importance, spread or first (default importance)",
        panel=_RECIPE,
    ),
]
Trials = Annotated[
    int,
    typer.Option(
        "--trials", metavar="N", min=1, help="most recipes to try", rich_help_panel=_SEARCH
    ),
]
Time = Annotated[
    str | None,
    options.option(
        "--time",
        metavar="TIME",
        help="no recipe is begun that would end later, such as 30m (default: no limit)",
        panel=_SEARCH,
    ),
]
Sampler = Annotated[
    SamplerName,
    typer.Option("--sampler", metavar="NAME", help="nsga2 or tpe", rich_help_panel=_SEARCH),
]
MaxDrop = Annotated[
    float,
    typer.Option(
        "--max-drop",
        metavar="X",
        min=0,
        help="how much of the metric the model to use may lose",
        rich_help_panel=_SEARCH,
    ),
]
Teacher = Annotated[
    Path | None,
    options.option(
        "--teacher",
        metavar="RUN",
        help="whose answers are learned: a run, an ensemble or a blend over folds (default: the full model)",
        panel=_LEARNING,
    ),
]
Epochs = Annotated[
    int | None,
    options.option(
        "--epochs",
        metavar="N",
        min=0,
        help="of learning from the teacher; 0: none (default: 3; from another teacher 8 if the model began from random weights)",
        panel=_LEARNING,
    ),
]
Rate = Annotated[
    float | None,
    options.option(
        "--lr",
        metavar="X",
        help="highest learning rate (default: 1e-4; from another teacher 1e-3 if the model began from random weights)",
        panel=_LEARNING,
    ),
]
Copies = Annotated[
    int | None,
    options.option(
        "--copies",
        metavar="N",
        min=0,
        help="of each row, with cells of other rows, which --teacher answers too (default: 10, fewer of large tables)",
        panel=_LEARNING,
    ),
]
Test = Annotated[
    Path | None,
    options.option("--test", metavar="FILE", help="the vocabulary keeps its words too"),
]
Holdout = Annotated[
    Path | None,
    options.option(
        "--holdout",
        metavar="FILE",
        help="labelled table to judge by at the end (default: half of the validation rows)",
    ),
]
KeepVocabulary = Annotated[
    bool,
    options.option("--keep-vocabulary", help="leave the vocabulary whole"),
]
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric", metavar="NAME", help="what models are compared by (default: the task's)"
    ),
]
LatencyRows = Annotated[
    int,
    typer.Option("--latency-rows", metavar="N", min=1, help="rows in the batch that is timed"),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="of rows, students and search")]


def compress(
    train: Train = None,
    checkpoint: options.Checkpoint = None,
    more_checkpoints: options.MoreCheckpoints = None,
    output: Output = None,
    layers: Layers = None,
    heads: Heads = None,
    ffn: Neurons = None,
    bits: Bits = None,
    layer_choice: LayerChoice = None,
    trials: Trials = 20,
    time: Time = None,
    sampler: Sampler = SamplerName.NSGA2,
    max_drop: MaxDrop = 0.005,
    resume: Resume = None,
    teacher: Teacher = None,
    epochs: Epochs = None,
    learning_rate: Rate = None,
    copies: Copies = None,
    holdout: Holdout = None,
    test: Test = None,
    keep_vocabulary: KeepVocabulary = False,
    metric: Metric = None,
    latency_rows: LatencyRows = 32,
    seed: Seed = 0,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Make smaller encoders of a trained one, and say which to use."""
    from bert_playground.compression.compress import Request, compress_checkpoint
    from bert_playground.compression.recover import Recovery
    from bert_playground.compression.study import Budget
    from bert_playground.config.sections.base import read_duration
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    table, folder = _require_places(train, output, resume)
    done = compress_checkpoint(
        Request(
            checkpoint=choose_checkpoint(checkpoint, more_checkpoints),
            train=table,
            recipe=_read_recipe(layers, heads, ffn, bits, layer_choice),
            holdout=holdout,
            test=test,
            teacher=teacher,
            metric=metric,
            recovery=Recovery(epochs, learning_rate, copies=copies, seed=seed),
            keeps_vocabulary=keep_vocabulary,
            latency_rows=latency_rows,
            max_drop=max_drop,
            budget=Budget(trials, read_duration(time)),
            sampler=sampler.value,
            seed=seed,
        ),
        folder,
        resumes=resume is not None,
    )
    print_json(done.to_dict()) if json else _print(done)


def _require_places(
    train: Path | None, output: Path | None, resume: Path | None
) -> tuple[Path, Path]:
    """The table, and the folder to write or to go on with.

    Raises:
        ValueError: one of them is missing, or there are two folders.
    """
    folder = output or resume
    if train is None or folder is None or (output is not None and resume is not None):
        raise ValueError(
            "bert compress needs a table and a new folder: --checkpoint RUN --train train.csv --output FOLDER; a stopped "
            "search is gone on with by the same command with --resume FOLDER in place of --output"
        )
    return train, folder


def _read_recipe(
    layers: int | None,
    heads: int | None,
    neurons: int | None,
    bits: int | None,
    choice: Choice | None,
) -> "Recipe | None":
    """The one recipe that was asked for; None: search."""
    from bert_playground.compression.recipe import Recipe

    if (layers, heads, neurons, bits, choice) == (None,) * 5:
        return None
    return Recipe(layers, heads, neurons, choice.value if choice else "importance", bits)


def _print(done: "Compressed") -> None:
    from bert_playground.compression.compress import PICTURE, list_front

    print_table(
        f"{done.metric} where recipes were compared; beside the full model the gain on the rows put aside (it has "
        f"{done.judged[-1].score:.4f}) and the speed",
        ("model", done.metric, "gain", "ms", "speed", "MB"),
        list_front(done),
        keeps_names=True,
    )
    if done.reason:
        print_lines(["", f"use {done.best}: {done.reason}", f"picture: {done.folder / PICTURE}"])
    print_lines(
        [
            "",
            "next:",
            f"  {program()} predict --test test.csv --checkpoint {done.best} --output submission.csv",
            f"  {program()} serve --checkpoint {done.best}",
            f"  {program()} model export --checkpoint {done.best} --format onnx --output NEW_FOLDER",
        ]
    )
    print_result(done.best)
