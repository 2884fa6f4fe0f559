"""bert train: fit an encoder and a head on a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_table
from bert_playground.cli.utils.report import print_ensemble_report, print_report

if TYPE_CHECKING:
    from bert_playground.config import RunConfig

DEFAULT_TABLE = Path("data/titanic/train.csv")


def train(
    context: typer.Context,
    train: options.Train = None,
    val: options.Val = None,
    target: options.Target = None,
    id_column: options.IdColumn = None,
    task: options.TaskName = None,
    class_order: options.ClassOrder = None,
    template: options.Template = None,
    max_length: options.MaxLength = None,
    use_pretokenized: options.UsePretokenized = None,
    num_workers: options.NumWorkers = None,
    prefetch_size: options.PrefetchSize = None,
    model: options.Model = None,
    lora: options.Lora = None,
    ensemble: options.Ensemble = None,
    diversity: options.Diversity = None,
    epochs: options.Epochs = None,
    max_steps: options.MaxSteps = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    grad_accum: options.GradAccum = None,
    precision: options.PrecisionName = None,
    metric: options.Metric = None,
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
    """Train on a CSV: rows become text, a BERT learns the target, the best epoch is kept."""
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    asked, sources = _asked(context.params)
    if show_config:
        print_config(asked, sources, as_json=json)
        return
    if asked.ensemble.num_models > 1 and resume is None:
        from bert_playground.training.ensembles import train_ensemble

        together = train_ensemble(asked, sources)
        if json:
            print_json(together.summary)
        else:
            print_ensemble_report(together.summary, _test_beside(asked.data.train))
        return
    from bert_playground.training.run import run_training

    result = run_training(asked, sources, resume=resume)
    if json:
        print_json(result.summary)
    else:
        print_report(result.summary, _test_beside(asked.data.train))


def _asked(params: dict[str, Any]) -> tuple["RunConfig", dict[str, str]]:
    """The merged configuration; without any table, the place where the Titanic's is downloaded to is tried."""
    from bert_playground.config import load_config

    flags = options.given_flags(params)
    config, sources = load_config(params["config"], flags=flags)
    if config.data.train is not None or params["resume"] or params["show_config"]:
        return config, sources
    if not DEFAULT_TABLE.is_file():
        raise ValueError(
            f"no table to train on: give --train FILE.csv, or fetch the Titanic to {DEFAULT_TABLE} with "
            "`uv run scripts/download_titanic.py`; `bert quickstart` needs neither"
        )
    config, _ = load_config(params["config"], flags={**flags, "data.train": DEFAULT_TABLE})
    return config, {**sources, "data.train": "found"}


def _test_beside(train: Path | None) -> str:
    """The test table that lies beside the training table, else a name to replace."""
    test = (
        train.with_name(train.name.replace("train", "test"))
        if train is not None
        else Path("test.csv")
    )
    return str(test) if test.is_file() and test != train else "test.csv"


def print_config(config: "RunConfig", sources: dict[str, str], *, as_json: bool) -> None:
    """Every setting with its value and where that came from."""
    values = {
        f"{section}.{key}": value
        for section, content in config.model_dump(mode="json").items()
        for key, value in content.items()
    }
    if as_json:
        print_json(
            {path: {"value": value, "source": sources[path]} for path, value in values.items()}
        )
        return
    print_table(
        "configuration (empty: decided from the data and the model)",
        ("setting", "value", "from"),
        [(path, _spelled(value), sources[path]) for path, value in values.items()],
    )


def _spelled(value: object) -> object:
    """As YAML would spell it; None stays empty."""
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
