"""TrainingSection and its neighbours: the loop, the optimizer, what is kept, pretraining."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .base import (
    AboveZero,
    Flag,
    NonNegative,
    NotNegative,
    Positive,
    Probability,
    Section,
    Share,
    Unset,
    read_duration,
)

Precision = Literal["auto", "f32", "bf16"]
Frozen = Literal["embeddings", "encoder"] | Positive
OptimizerName = Literal["adamw", "adam", "sgd", "lion", "adafactor", "muon"]
ScheduleName = Literal[
    "cosine",
    "linear",
    "constant",
    "polynomial",
    "cosine_with_restarts",
    "one_cycle",
    "warmup_stable_decay",
]


OwnCallback = str | dict[str, dict[str, Any]]


def read_callbacks(value: Any) -> Any:
    """Import paths, each alone or with the arguments of its constructor; a mapping is a list of such pairs.

    Raises:
        ValueError: something else.
    """
    items = [{key: each} for key, each in value.items()] if isinstance(value, Mapping) else value
    if isinstance(items, str) or not isinstance(items, Sequence):
        raise ValueError("expected a list, such as [my_module:MyCallback]")
    return tuple(_read_callback(item) for item in items)


def _read_callback(item: Any) -> OwnCallback:
    path: Any = item
    options: Any = {}
    if isinstance(item, Mapping) and len(item) == 1:
        ((path, options),) = item.items()
    options = {} if options is None else options
    if not isinstance(path, str) or not re.fullmatch(r"[\w.]+:\w+", path):
        raise ValueError(
            f"{item!r} is no import path, expected such as my_module:MyCallback, or my_module:MyCallback: {{patience: 3}}"
        )
    if not isinstance(options, Mapping):
        raise ValueError(
            f"the arguments of {path} are {options!r}, expected such as {{patience: 3}}"
        )
    return {path: dict(options)} if options else path


class TrainingSection(Section):
    """The loop."""

    epochs: Annotated[Positive | None, Unset("by recipe"), Flag("--epochs", "N")] = Field(
        None, description="passes over the table"
    )
    max_steps: Annotated[Positive | None, Unset("no limit"), Flag("--max-steps", "N")] = Field(
        None, description="stop after this many optimizer steps"
    )
    max_time: Annotated[
        AboveZero | None,
        Unset("no limit"),
        Flag("--max-time", "30m"),
        BeforeValidator(read_duration),
    ] = Field(None, description="shorten the schedule so that training ends within, as 90s or 30m")
    batch_size: Annotated[Positive | Literal["auto"], Flag("--batch-size", "N")] = Field(
        32, description="rows per batch, or the most that fit into memory"
    )
    eval_batch_size: Positive = Field(128, description="rows per batch of validation")
    gradient_accumulation_steps: Annotated[Positive, Flag("--grad-accum", "N")] = Field(
        1, description="batches per optimizer step"
    )
    max_grad_norm: Annotated[AboveZero | None, Unset("off")] = Field(
        1.0, description="gradients are clipped to this norm"
    )
    skip_nonfinite: Annotated[bool, Flag("--skip-nonfinite")] = Field(
        False,
        description="leave out an update whose loss or gradient is not finite, up to 10 in a row",
    )
    refit: Annotated[
        bool,
        Flag("--refit", help="train once more on all rows, for the epochs that validation chose"),
    ] = Field(
        False,
        description="train once more on training and validation rows, for the epochs that were best",
    )
    ema_decay: Annotated[Probability | None, Unset("by recipe")] = Field(
        None,
        description="the weights that are kept are an exponential moving average of this decay; 0: off",
    )
    swa_start: Annotated[float | None, Field(ge=0, lt=1), Unset("off")] = Field(
        None,
        description="the weights that are kept are their mean after this share of all steps, instead of ema_decay",
    )
    freeze: Annotated[Frozen | None, Unset("nothing")] = Field(
        None,
        description="what is not trained: embeddings, encoder, or N for the embeddings and the first N layers",
    )
    gradual_unfreezing: bool = Field(
        False, description="train the head alone in the first epoch, then one more layer in each"
    )
    r_drop: NonNegative = Field(
        0.0, description="weight of the divergence between two passes with other dropout masks"
    )
    mixup: NonNegative = Field(
        0.0, description="alpha of the Beta distribution by which pooled vectors are mixed; 0: off"
    )
    adversarial: Literal["off", "fgm", "awp"] = Field(
        "off", description="perturb word embeddings (fgm) or weight matrices (awp) in each step"
    )
    adversarial_epsilon: Annotated[AboveZero | None, Unset("fgm 0.1, awp 0.01")] = Field(
        None, description="size of the perturbation, as a share of the norm of what is perturbed"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations twice to store fewer of them"
    )
    precision: Annotated[Precision, Flag("--precision", "TYPE")] = Field(
        "auto", description="data type of activations"
    )
    use_compilation: Annotated[
        bool,
        Flag("--no-compile", value=False, help="run every operation as written, for debugging"),
    ] = Field(True, description="compile the step, where that is worth it")
    metric: Annotated[
        str | None, Unset("the loss; mae of a regression"), Flag("--metric", "NAME")
    ] = Field(None, description="decides the best epoch")
    early_stopping_patience: Annotated[NotNegative | None, Unset("by recipe")] = Field(
        None, description="epochs without a better metric; 0: never stop early"
    )
    logging_steps: Annotated[Positive, Flag("--logging-steps", "N", panel="The run")] = Field(
        10, description="optimizer steps between reports"
    )
    seed: Annotated[NotNegative, Flag("--seed", "N")] = Field(
        0, description="random seed of split, weights and order"
    )
    callbacks: Annotated[tuple[OwnCallback, ...], BeforeValidator(read_callbacks)] = Field(
        (), description="callbacks of one's own by import path, such as [my_module:MyCallback]"
    )
    callbacks_dir: Annotated[
        Path | None, Unset("that of the configuration file, else the working directory")
    ] = Field(None, description="folder that holds their modules")
    output_dir: Annotated[Path, Flag("--output-dir --output", "FOLDER", panel="The run")] = Field(
        Path("output"), description="folder for runs"
    )
    report: bool = Field(True, description="write report.html, a page on the whole run, at its end")

    @property
    def rows_per_batch(self) -> int:
        """The batch size as a number.

        Raises:
            ValueError: it is auto where only one model on one table settles it.
        """
        if self.batch_size == "auto":
            raise ValueError(
                "training.batch_size auto is settled by `bert train` for one encoder on one table, without --folds; give "
                "a number here, such as --batch-size 32"
            )
        return self.batch_size


class OptimizerSection(Section):
    """The optimizer."""

    type: Annotated[OptimizerName, Flag("--optimizer", "NAME")] = Field(
        "adamw", description="how gradients become steps"
    )
    learning_rate: Annotated[AboveZero | None, Unset("by recipe"), Flag("--lr", "RATE")] = Field(
        None, description="peak learning rate"
    )
    weight_decay: Annotated[NonNegative | None, Unset("the optimizer's own")] = Field(
        None,
        description="of matrices: decoupled, per step and learning rate; adam, sgd: L2, added to gradients",
    )
    beta1: Annotated[Probability | None, Unset("the optimizer's own")] = Field(
        None, description="decay of the first moment"
    )
    beta2: Annotated[Probability | None, Unset("the optimizer's own")] = Field(
        None, description="decay of the second moment; lion: of the first"
    )
    eps: Annotated[AboveZero | None, Unset("the optimizer's own")] = Field(
        None,
        description="added to the root of the second moment; adafactor: to squared gradients",
    )
    momentum: Annotated[Probability | None, Unset("the optimizer's own")] = Field(
        None, description="of sgd and muon, per step"
    )
    nesterov: Annotated[bool | None, Unset("the optimizer's own")] = Field(
        None, description="Nesterov's momentum in sgd and muon"
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="factor of the learning rate per layer below the head; 1: off"
    )


class SchedulerSection(Section):
    """The learning rate over time."""

    type: Annotated[ScheduleName, Flag("--scheduler", "NAME")] = Field(
        "cosine", description="how the learning rate falls after warm-up"
    )
    warmup_steps: Annotated[NotNegative | None, Unset("warmup_ratio of all steps")] = Field(
        None, description="optimizer steps over which the rate rises"
    )
    warmup_ratio: Annotated[Share | None, Unset("0.06; one_cycle 0.3")] = Field(
        None, description="the same as a share of all steps"
    )
    min_lr_ratio: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="what is left of the peak rate at the end, as a share of it"
    )
    num_cycles: Positive = Field(2, description="cosine waves of cosine_with_restarts")
    power: AboveZero = Field(2.0, description="exponent of polynomial; 1: a line")
    decay_ratio: Annotated[float, Field(gt=0, le=1)] = Field(
        0.2,
        description="share of the steps after warm-up over which warmup_stable_decay falls",
    )


class CheckpointSection(Section):
    """What is kept of a run."""

    enable_checkpointing: bool = Field(True, description="off: keep no weights at all")
    save_best_model: bool = Field(True, description="keep the best epoch as `best`")
    save_best_only: bool = Field(
        False,
        description="keep `best` alone, beside one step checkpoint until the run ends; no `final`",
    )
    best_model_metric: Annotated[str | None, Unset("the training metric, else val_loss")] = Field(
        None, description="such as val_accuracy"
    )
    best_model_mode: Annotated[
        Literal["max", "min"] | None, Unset("the metric's own direction")
    ] = Field(None, description="whether more or less of it is better")
    save_steps: Annotated[Positive | None, Unset("each epoch")] = Field(
        None, description="a resumable checkpoint every n steps"
    )
    save_minutes: NonNegative = Field(
        5.0, description="a resumable checkpoint too where the last one is this old; 0: none"
    )
    keep_last: Positive = Field(2, description="resumable checkpoints kept")
    keep_epochs: bool = Field(False, description="keep the model after each epoch, as `epoch_N`")


class TrackingSection(Section):
    """Experiment tracking beside the local files."""

    mlflow: Annotated[bool, Flag("--mlflow")] = Field(
        False, description="track the run with MLflow too"
    )
    experiment: Annotated[str, Flag("--experiment", "NAME")] = Field(
        "bert-playground", description="MLflow experiment"
    )
    directory: Annotated[Path | None, Unset("training.output_dir")] = Field(
        None, description="of MLflow's SQLite store, unless MLFLOW_TRACKING_URI names another one"
    )
    system_metrics: bool = Field(
        True, description="measure processors, memory, disk and network too"
    )
    log_model: bool = Field(
        True, description="store the model too, with signature and example, not its scores alone"
    )


class PretrainingSection(Section):
    """Masked language modelling on rows without labels, before the task."""

    tables: Annotated[tuple[Path, ...], Flag("--test", "FILE", repeats=True, panel="The table")] = (
        Field(
            (),
            description="more rows to learn from, such as the table to predict; may be repeated",
        )
    )
    has_target: Annotated[
        bool,
        Flag(
            "--unlabeled",
            value=False,
            panel="The table",
            help="no column of the tables is a target",
        ),
    ] = Field(True, description="off: no column of the tables is a target")
    epochs: Annotated[Positive | None, Unset("by recipe")] = Field(
        None, description="passes where bert train pretrains first (model.pretrain)"
    )
    mask_probability: Annotated[float, Field(gt=0, lt=1), Flag("--mask-probability", "SHARE")] = (
        Field(0.3, description="share of the tokens that are masked")
    )
    random_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.1, description="of these, replaced by a random token"
    )
    keep_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.1, description="of these, left unchanged; the rest becomes the mask token"
    )
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="share of the rows held out to measure how well masked tokens are found"
    )
    dropout: Probability = Field(
        0.1, description="in the encoder while it is pretrained; model.dropout is for the task"
    )
