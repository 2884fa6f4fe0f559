"""RunConfig and its sections: what the user may ask for.

A value of None means "decided from the data or the model"; what was decided is printed and stored with the run.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A frozen group of settings; an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), coerce_numbers_to_str=True
    )


class ModelSection(Section):
    """The encoder: a checkpoint, or an architecture to start from random weights."""

    pretrained: str | None = Field(
        None, description="Hugging Face folder or Hub id; None: random weights"
    )
    architecture: Literal["bert", "modernbert"] = Field(
        "modernbert", description="used without a checkpoint"
    )
    hidden_size: Positive = Field(256, description="width without a checkpoint")
    num_layers: Positive = 4
    num_heads: Positive = 4
    intermediate_size: Positive | None = Field(
        None, description="width of the feed-forward; None: from hidden_size"
    )
    vocab_size: Positive = Field(
        4096, description="most entries of a vocabulary trained on the table"
    )
    dropout: Probability | None = Field(
        None, description="in the encoder; None: 0.3 from scratch, else the checkpoint's"
    )

    @field_validator("architecture", mode="before")
    @classmethod
    def _drop_head(cls, value: object) -> object:
        """The seeds also say modernbert_with_head; the head is always there."""
        return value.removesuffix("_with_head") if isinstance(value, str) else value


class HeadSection(Section):
    """The head: what it answers and its loss."""

    type: str | None = Field(None, description="None: from the task")
    num_labels: Positive | None = Field(None, description="None: from the data")
    dropout: Probability = 0.1
    pooling: Literal["cls", "mean", "max", "attention"] | None = Field(
        None, description="None: the encoder's own"
    )
    label_smoothing: Probability = 0.0
    use_focal_loss: bool = False
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    loss_type: Literal["mse", "mae", "huber"] = "mse"


class LoRASection(Section):
    """Low-rank adapters instead of full fine-tuning."""

    enabled: bool = False
    preset: str = "balanced"
    target_modules: tuple[str, ...] | None = Field(None, description="None: from the preset")


class DataSection(Section):
    """The tables and how a row becomes tokens."""

    train: Path | None = None
    val: Path | None = Field(None, description="None: split off the training table")
    target: str | None = Field(None, description="None: inferred and stated")
    id_column: str | None = Field(None, description="None: inferred and stated")
    task: Literal["binary", "multiclass", "regression"] | None = Field(
        None, description="None: inferred and stated"
    )
    group_column: str | None = Field(
        None, description="rows of one group never stand on both sides of a split"
    )
    drop_columns: tuple[str, ...] = ()
    text_columns: tuple[str, ...] = Field(
        (), description="kept word by word, whatever inference says"
    )
    template: str = "auto"
    max_length: Positive = 256
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    use_pretokenized: bool = Field(False, description="cache token ids under data/.tokenizer_cache")
    cache_dir: Path = Path("data/.tokenizer_cache")
    num_workers: NotNegative | None = Field(
        None, description="threads that tokenise; None: all cores"
    )
    prefetch_size: NotNegative = Field(4, description="batches prepared ahead of the model")


class TrainingSection(Section):
    """The loop."""

    epochs: Positive | None = Field(
        None, description="None: by the recipe for scratch or pretrained"
    )
    max_steps: Positive | None = Field(None, description="stop after this many optimizer steps")
    batch_size: Positive = 32
    eval_batch_size: Positive = 128
    gradient_accumulation_steps: Positive = 1
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    gradient_checkpointing: bool = False
    precision: Literal["auto", "f32", "bf16"] = "auto"
    use_compilation: bool = True
    metric: str | None = Field(None, description="None: the loss; decides the best epoch")
    early_stopping_patience: NotNegative | None = Field(
        None, description="epochs without a better metric; 0: never stop early"
    )
    logging_steps: Positive = 10
    seed: NotNegative = 0
    output_dir: Path = Path("output")


class OptimizerSection(Section):
    """The optimizer."""

    type: Literal["adamw"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        None, description="None: by the recipe"
    )
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    beta1: Probability = 0.9
    beta2: Probability = 0.999
    eps: Annotated[float, Field(gt=0)] = 1e-8


class SchedulerSection(Section):
    """The learning rate over time."""

    type: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: NotNegative | None = Field(None, description="None: warmup_ratio of all steps")
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.06


class CheckpointSection(Section):
    """What is kept of a run."""

    enable_checkpointing: bool = True
    save_best_model: bool = True
    save_best_only: bool = Field(
        False, description="keep `best` alone: no step checkpoints, no `final`"
    )
    best_model_metric: str | None = Field(
        None, description="such as val_accuracy; None: the training metric, else val_loss"
    )
    best_model_mode: Literal["max", "min"] | None = Field(
        None, description="None: the metric's own direction"
    )
    save_steps: Positive | None = Field(
        None, description="a resumable checkpoint every n steps; None: each epoch"
    )
    keep_last: Positive = Field(2, description="resumable checkpoints kept")


class TrackingSection(Section):
    """Experiment tracking beside the local files."""

    mlflow: bool = False
    experiment: str = "bert-playground"


class RunConfig(Section):
    """Everything a run can be asked for."""

    model: ModelSection = ModelSection()
    head: HeadSection = HeadSection()
    lora: LoRASection = LoRASection()
    data: DataSection = DataSection()
    training: TrainingSection = TrainingSection()
    optimizer: OptimizerSection = OptimizerSection()
    scheduler: SchedulerSection = SchedulerSection()
    checkpoint: CheckpointSection = CheckpointSection()
    tracking: TrackingSection = TrackingSection()
