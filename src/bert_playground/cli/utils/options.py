"""The shared flags, and the configuration path that each one sets."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

# Parameter of a command → dotted path in RunConfig. Unset flags are absent, so they override nothing.
CONFIG_PATHS = {
    "train": "data.train",
    "val": "data.val",
    "target": "data.target",
    "id_column": "data.id_column",
    "task": "data.task",
    "class_order": "data.class_order",
    "template": "data.template",
    "max_length": "data.max_length",
    "use_pretokenized": "data.use_pretokenized",
    "num_workers": "data.num_workers",
    "prefetch_size": "data.prefetch_size",
    "epochs": "training.epochs",
    "max_steps": "training.max_steps",
    "batch_size": "training.batch_size",
    "grad_accum": "training.gradient_accumulation_steps",
    "precision": "training.precision",
    "metric": "training.metric",
    "logging_steps": "training.logging_steps",
    "seed": "training.seed",
    "output": "training.output_dir",
    "lr": "optimizer.learning_rate",
    "mlflow": "tracking.mlflow",
    "experiment": "tracking.experiment",
    "ensemble": "ensemble.num_models",
    "diversity": "ensemble.diversity_strategy",
}
ARCHITECTURES = ("bert", "modernbert", "neobert")


class Task(StrEnum):
    """What a target column asks."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"
    ORDINAL = "ordinal"
    REGRESSION = "regression"
    TIMESERIES = "timeseries"


class Precision(StrEnum):
    """How activations are stored."""

    AUTO = "auto"
    F32 = "f32"
    BF16 = "bf16"


class PredictPrecision(StrEnum):
    """How activations and products are computed when weights stay as they are."""

    AUTO = "auto"
    F32 = "f32"
    BF16 = "bf16"
    INT8 = "int8"


class Level(StrEnum):
    """How much the log says."""

    TRACE = "TRACE"
    DEBUG = "DEBUG"
    INFO = "INFO"
    SUCCESS = "SUCCESS"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


def given_flags(params: Mapping[str, Any]) -> dict[str, object]:
    """Dotted path → value of the flags that were given, from the parameters of a command."""
    given: dict[str, object] = {
        path: params[name].value if isinstance(params[name], StrEnum) else params[name]
        for name, path in CONFIG_PATHS.items()
        if params.get(name) is not None
    }
    if model := params.get("model"):
        given |= model_flags(model)
    if params.get("lora"):
        given |= {"lora.enabled": True, "lora.preset": params["lora"]}
    if params.get("no_compile"):
        given["training.use_compilation"] = False
    return given


def model_flags(model: str) -> dict[str, object]:
    """`--model` names an architecture to start from random weights, else a checkpoint."""
    name = model.removesuffix("_with_head")
    return {"model.architecture": name} if name in ARCHITECTURES else {"model.pretrained": model}


def remember_level(context: typer.Context, level: Level | None) -> Level | None:
    """Leave the log level where the error handler finds it; all contexts share `meta`."""
    if level is not None:
        context.meta["log_level"] = level.value
    return level


def _flag(
    *names: str, help: str, metavar: str | None = "", panel: str | None = None, **more: Any
) -> Any:
    return typer.Option(
        *names, help=help, metavar=metavar, rich_help_panel=panel, show_default=False, **more
    )


_DATA, _MODEL, _TRAINING, _RUN = "The table", "The model", "Training", "The run"

Train = Annotated[
    Path | None,
    _flag(
        "--train",
        metavar="FILE",
        help="CSV with the target (default data/titanic/train.csv, if there)",
        panel=_DATA,
    ),
]
Val = Annotated[
    Path | None,
    _flag(
        "--val", metavar="FILE", help="CSV to validate on (default: split off --train)", panel=_DATA
    ),
]
Target = Annotated[
    str | None,
    _flag(
        "--target",
        metavar="COLUMN",
        help="column to predict, or several: a,b,c (default: inferred and stated)",
        panel=_DATA,
    ),
]
IdColumn = Annotated[
    str | None,
    _flag(
        "--id-column",
        metavar="COLUMN",
        help="column that names the rows (default: inferred and stated)",
        panel=_DATA,
    ),
]
TaskName = Annotated[
    Task | None,
    _flag(
        "--task",
        metavar="TASK",
        help="binary, multiclass, multilabel, ordinal, regression or timeseries (default: inferred)",
        panel=_DATA,
    ),
]
ClassOrder = Annotated[
    str | None,
    _flag(
        "--class-order",
        metavar="A,B,C",
        help="classes of an ordinal target, lowest first (default: by number)",
        panel=_DATA,
    ),
]
Template = Annotated[
    str | None,
    _flag(
        "--template",
        metavar="NAME",
        help="how a row becomes a sentence (default auto)",
        panel=_DATA,
    ),
]
MaxLength = Annotated[
    int | None,
    _flag(
        "--max-length", metavar="N", min=4, help="most tokens of a row (default 256)", panel=_DATA
    ),
]
UsePretokenized = Annotated[
    bool | None,
    _flag("--use-pretokenized", help="cache token ids under data/.tokenizer_cache", panel=_DATA),
]
NumWorkers = Annotated[
    int | None,
    _flag(
        "--num-workers",
        metavar="N",
        min=0,
        help="threads that read and tokenise (default: all cores)",
        panel=_DATA,
    ),
]
PrefetchSize = Annotated[
    int | None,
    _flag(
        "--prefetch-size",
        metavar="N",
        min=0,
        help="batches prepared ahead (default 4)",
        panel=_DATA,
    ),
]

Model = Annotated[
    str | None,
    _flag(
        "--model",
        metavar="NAME",
        help="checkpoint folder or Hub id; or bert, modernbert, neobert from random weights (default modernbert)",
        panel=_MODEL,
    ),
]
Lora = Annotated[
    str | None,
    _flag(
        "--lora",
        metavar="PRESET",
        help="low-rank adapters: efficient, balanced, expressive, dora, rslora or qlora_memory",
        panel=_MODEL,
    ),
]

Ensemble = Annotated[
    int | None,
    _flag(
        "--ensemble",
        metavar="N",
        min=1,
        help="train N models that answer together (default 1)",
        panel=_MODEL,
    ),
]
Diversity = Annotated[
    str | None,
    _flag(
        "--diversity",
        metavar="NAME",
        help="how they differ: seeds, subsamples, architectures, heads (default different_seeds)",
        panel=_MODEL,
    ),
]

Epochs = Annotated[
    int | None,
    _flag(
        "--epochs",
        metavar="N",
        min=1,
        help="passes over the table (default: by model and table)",
        panel=_TRAINING,
    ),
]
MaxSteps = Annotated[
    int | None,
    _flag(
        "--max-steps",
        metavar="N",
        min=1,
        help="stop after this many optimizer steps",
        panel=_TRAINING,
    ),
]
BatchSize = Annotated[
    int | None,
    _flag("--batch-size", metavar="N", min=1, help="rows per step (default 32)", panel=_TRAINING),
]
LearningRate = Annotated[
    float | None,
    _flag("--lr", metavar="RATE", help="peak learning rate (default: by model)", panel=_TRAINING),
]
GradAccum = Annotated[
    int | None,
    _flag("--grad-accum", metavar="N", min=1, help="batches per step (default 1)", panel=_TRAINING),
]
PrecisionName = Annotated[
    Precision | None,
    _flag(
        "--precision",
        metavar="TYPE",
        help="of activations: f32, bf16 (default auto)",
        panel=_TRAINING,
    ),
]
Metric = Annotated[
    str | None,
    _flag(
        "--metric",
        metavar="NAME",
        help="decides the best epoch (default: the loss)",
        panel=_TRAINING,
    ),
]
NoCompile = Annotated[
    bool | None,
    _flag("--no-compile", help="run every operation as written, for debugging", panel=_TRAINING),
]
Seed = Annotated[
    int | None,
    _flag(
        "--seed",
        metavar="N",
        min=0,
        help="of split, weights and order (default 0)",
        panel=_TRAINING,
    ),
]

Config = Annotated[
    str | None,
    _flag(
        "--config", metavar="NAME", help="preset name, or path of a YAML or JSON file", panel=_RUN
    ),
]
ShowConfig = Annotated[
    bool, _flag("--show-config", help="print every value with its source, and stop", panel=_RUN)
]
Resume = Annotated[
    Path | None,
    _flag("--resume", metavar="RUN", help="go on with a stopped run: its folder", panel=_RUN),
]
OutputDir = Annotated[
    Path | None,
    _flag("--output", metavar="FOLDER", help="folder for runs (default output)", panel=_RUN),
]
LoggingSteps = Annotated[
    int | None,
    _flag(
        "--logging-steps", metavar="N", min=1, help="steps between reports (default 10)", panel=_RUN
    ),
]
Mlflow = Annotated[bool | None, _flag("--mlflow", help="track the run with MLflow too", panel=_RUN)]
Experiment = Annotated[
    str | None,
    _flag(
        "--experiment",
        metavar="NAME",
        help="MLflow experiment (default bert-playground)",
        panel=_RUN,
    ),
]
LogLevel = Annotated[
    Level | None,
    _flag(
        "--log-level",
        metavar="LEVEL",
        envvar="LOGURU_LEVEL",
        case_sensitive=False,
        callback=remember_level,
        help="DEBUG, INFO, WARNING or ERROR (default INFO)",
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", metavar="", help="print one JSON document instead", show_default=False),
]
Checkpoint = Annotated[
    Path | None,
    _flag(
        "--checkpoint",
        metavar="FOLDER",
        help="checkpoint or run folder; of several the newest (default: the newest in output/)",
    ),
]
# The shell expands output/run_*/checkpoints/final to several words; all but the first arrive here.
MoreCheckpoints = Annotated[
    list[Path] | None, typer.Argument(metavar="FOLDER", hidden=True, show_default=False)
]
PredictBatchSize = Annotated[
    int, typer.Option("--batch-size", metavar="N", min=1, help="rows per batch")
]
PredictPrecisionName = Annotated[
    PredictPrecision, typer.Option("--precision", metavar="TYPE", help="f32, bf16 or int8")
]
Tta = Annotated[
    int,
    typer.Option(
        "--tta",
        metavar="N",
        min=1,
        help="mean over N ways to write each row, such as its columns in another order",
    ),
]
