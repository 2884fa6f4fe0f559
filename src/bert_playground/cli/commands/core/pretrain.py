"""bert pretrain: let an encoder find hidden words in rows without labels, before it learns the task."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.commands.core.train import print_config
from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json
from bert_playground.cli.utils.report import print_pretraining_report

Test = Annotated[
    list[Path] | None,
    typer.Option(
        "--test",
        metavar="FILE",
        help="more rows to learn from, such as the table to predict; may be repeated",
        rich_help_panel="The table",
        show_default=False,
    ),
]
Unlabeled = Annotated[
    bool,
    typer.Option(
        "--unlabeled",
        help="no column of the tables is a target",
        rich_help_panel="The table",
        show_default=False,
    ),
]
MaskProbability = Annotated[
    float | None,
    typer.Option(
        "--mask-probability",
        metavar="SHARE",
        help="share of the words that are hidden (default 0.3)",
        rich_help_panel="Training",
        show_default=False,
    ),
]


def pretrain(
    context: typer.Context,
    train: options.Train = None,
    test: Test = None,
    target: options.Target = None,
    unlabeled: Unlabeled = False,
    id_column: options.IdColumn = None,
    template: options.Template = None,
    max_length: options.MaxLength = None,
    use_pretokenized: options.UsePretokenized = None,
    num_workers: options.NumWorkers = None,
    prefetch_size: options.PrefetchSize = None,
    model: options.Model = None,
    mask_probability: MaskProbability = None,
    epochs: options.Epochs = None,
    max_steps: options.MaxSteps = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    grad_accum: options.GradAccum = None,
    precision: options.PrecisionName = None,
    seed: options.Seed = None,
    no_compile: options.NoCompile = None,
    config: options.Config = None,
    resume: options.Resume = None,
    output: options.OutputDir = None,
    logging_steps: options.LoggingSteps = None,
    mlflow: options.Mlflow = None,
    experiment: options.Experiment = None,
    log_level: options.LogLevel = None,
    show_config: options.ShowConfig = False,
    json: options.Json = False,
) -> None:
    """Pretrain on tables without looking at the target; `bert train --model` takes the result."""
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    from bert_playground.config import load_config

    flags = options.given_flags(context.params)
    if test:
        flags["pretraining.tables"] = test
    if unlabeled:
        flags["pretraining.has_target"] = False
    if mask_probability is not None:
        flags["pretraining.mask_probability"] = mask_probability
    asked, sources = load_config(config, flags=flags)
    if show_config:
        print_config(asked, sources, as_json=json)
        return
    from bert_playground.training.pretraining import run_pretraining

    result = run_pretraining(asked, sources, resume=resume)
    if json:
        print_json(result.summary)
    else:
        print_pretraining_report(result.summary)
