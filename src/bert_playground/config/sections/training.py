"""TrainingSection and its neighbours: the loop, the optimizer, what is kept, pretraining."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from .base import (
    AboveZero,
    Flag,
    NonNegative,
    NotNegative,
    Positive,
    Probability,
    Section,
    Unset,
    read_duration,
)

Precision = Literal["auto", "f32", "bf16"]


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
    batch_size: Annotated[Positive, Flag("--batch-size", "N")] = Field(
        32, description="rows per batch"
    )
    eval_batch_size: Positive = Field(128, description="rows per batch of validation")
    gradient_accumulation_steps: Annotated[Positive, Flag("--grad-accum", "N")] = Field(
        1, description="batches per optimizer step"
    )
    max_grad_norm: Annotated[AboveZero | None, Unset("off")] = Field(
        1.0, description="gradients are clipped to this norm"
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
    output_dir: Annotated[Path, Flag("--output-dir --output", "FOLDER", panel="The run")] = Field(
        Path("output"), description="folder for runs"
    )


class OptimizerSection(Section):
    """The optimizer."""

    type: Literal["adamw"] = Field("adamw", description="name of the optimizer")
    learning_rate: Annotated[AboveZero | None, Unset("by recipe"), Flag("--lr", "RATE")] = Field(
        None, description="peak learning rate"
    )
    weight_decay: NonNegative = Field(0.01, description="decoupled, per step and learning rate")
    beta1: Probability = Field(0.9, description="decay of the first moment")
    beta2: Probability = Field(0.999, description="decay of the second moment")
    eps: AboveZero = Field(1e-8, description="added to the root of the second moment")


class SchedulerSection(Section):
    """The learning rate over time."""

    type: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="how the rate falls after the warmup"
    )
    warmup_steps: Annotated[NotNegative | None, Unset("warmup_ratio of all steps")] = Field(
        None, description="optimizer steps over which the rate rises"
    )
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        0.06, description="the same as a share of all steps"
    )


class CheckpointSection(Section):
    """What is kept of a run."""

    enable_checkpointing: bool = Field(True, description="off: keep no weights at all")
    save_best_model: bool = Field(True, description="keep the best epoch as `best`")
    save_best_only: bool = Field(
        False, description="keep `best` alone: no step checkpoints, no `final`"
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
