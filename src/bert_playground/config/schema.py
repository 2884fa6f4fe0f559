"""RunConfig and its sections: what the user may ask for.

A value of None means "decided from the data or the model"; what was decided is printed and stored with the run.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
AboveZero = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


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
    architecture: Literal["bert", "modernbert", "neobert"] = Field(
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

    type: str | None = Field(None, description="a name in HEADS; None: from the task")
    num_labels: Positive | None = Field(None, description="None: from the data")
    dropout: Probability = 0.1
    pooling: Literal["cls", "mean", "max", "attention"] | None = Field(
        None, description="None: the encoder's own"
    )
    label_smoothing: Probability = 0.0
    use_focal_loss: bool = False
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    class_weights: Literal["balanced"] | tuple[NonNegative, ...] | None = Field(
        None, description="what a row of each class counts in the loss, or balanced; None: the same"
    )
    temperature_scaling: AboveZero = Field(
        1.0, description="divides logits; `bert model calibrate` fits it"
    )
    pos_weight: Literal["balanced"] | tuple[NonNegative, ...] | None = Field(
        None, description="multilabel: what a present label counts, or balanced; None: 1"
    )
    adaptive_threshold: bool = Field(
        False, description="multilabel: learn from validation rows where each label begins"
    )
    loss_type: Literal["mse", "mae", "huber"] = "mse"
    huber_delta: AboveZero = Field(
        1.0, description="standard deviations from which huber is linear"
    )
    uncertainty_estimation: bool = Field(
        False, description="regression: predict a standard deviation too"
    )
    use_cumulative_link: bool = Field(
        True, description="ordinal: ordered cut-points on one score; else a question for each step"
    )
    use_temporal_features: bool = Field(
        False, description="timeseries: every step has an embedding of its own"
    )


class LoRASection(Section):
    """Low-rank adapters instead of full fine-tuning."""

    enabled: bool = False
    preset: str = Field("balanced", description="a name in LORA_PRESETS; gives what is None below")
    r: Positive | None = Field(None, description="rank")
    alpha: AboveZero | None = Field(None, description="the update is scaled by alpha / r")
    dropout: Probability | None = Field(None, description="on the adapter's input")
    target_modules: tuple[str, ...] | str | None = Field(
        None,
        description="short or Hugging Face names, a regular expression, or all-linear",
    )
    rank_pattern: dict[str, Positive] | None = Field(
        None, description="name or regular expression → another r"
    )
    alpha_pattern: dict[str, AboveZero] | None = Field(
        None, description="name or regular expression → another alpha"
    )
    layers_to_transform: tuple[NotNegative, ...] | None = Field(
        None, description="numbers of the layers that are adapted"
    )
    bias: Literal["none", "lora_only", "all"] | None = Field(
        None, description="which biases are trained too"
    )
    modules_to_save: tuple[str, ...] | None = Field(
        None, description="modules trained in full, besides the head"
    )
    use_rslora: bool | None = Field(None, description="scale by alpha / sqrt(r)")
    use_dora: bool | None = Field(None, description="train lengths apart from directions")
    bits: Literal[4, 8] | None = Field(None, description="quantize the frozen encoder (QLoRA)")
    group_size: Literal[32, 64, 128] | None = Field(
        None, description="weights that share a scale, where bits is given"
    )


class DataSection(Section):
    """The tables and how a row becomes tokens."""

    train: Path | None = None
    val: Path | None = Field(None, description="None: split off the training table")
    target: str | None = Field(
        None, description="a column, or several between commas; None: inferred and stated"
    )
    id_column: str | None = Field(None, description="None: inferred and stated")
    task: (
        Literal["binary", "multiclass", "multilabel", "ordinal", "regression", "timeseries"] | None
    ) = Field(None, description="None: inferred and stated")
    class_order: tuple[str, ...] | None = Field(
        None, description="of an ordinal target, lowest first; None: numbers order themselves"
    )
    group_column: str | None = Field(
        None, description="rows of one group never stand on both sides of a split"
    )
    time_column: str | None = Field(
        None, description="when a row happened: validation rows are the latest ones"
    )
    split: Literal["auto", "stratified", "grouped", "time", "stratified_grouped"] = Field(
        "auto",
        description="how validation rows are drawn; auto: by time with a time_column, else by classes and groups",
    )
    folds: Path | None = Field(
        None, description="a file of `bert data folds`: validation rows are those of one fold"
    )
    fold: NotNegative = Field(0, description="which one")
    text_pair: Annotated[tuple[str, ...], Field(max_length=2)] = Field(
        (), description="two text columns that are read as a pair, and nothing else is"
    )
    horizon: Positive | None = Field(
        None,
        description="rows are steps of a series: predict the next so many values of the target",
    )
    lags: Positive = Field(
        8, description="with a horizon: values of the target that are looked back on"
    )
    series_column: str | None = Field(
        None, description="with a horizon: what tells series apart; None: the table is one series"
    )
    registry: Path | None = Field(
        None,
        description="data sets of your own, by their columns; None: datasets.yaml, if it is there",
    )
    drop_columns: tuple[str, ...] = ()
    text_columns: tuple[str, ...] = Field(
        (), description="kept word by word, whatever inference says"
    )
    kinds: dict[str, str] = Field(
        {},
        description="column → kind (number, category, …) or date format, where inference is wrong",
    )
    template: str = Field("auto", description="a name in TEMPLATES")
    template_options: dict[str, Any] = Field(
        {},
        description="other values for fields of the template: numbers, missing, units, phrases, …",
    )
    numeric_features: Literal["off", "auto"] | tuple[str, ...] = Field(
        "off",
        description="numbers and dates beside the text, into the head: off, auto for all, or columns",
    )
    column_order: Literal["auto", "table", "importance"] = Field(
        "auto",
        description="of the text; importance: the most telling first; auto: so where rows are too long for all",
    )
    max_length: Positive = 256
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: NotNegative | None = Field(
        None, description="which rows are split off; None: training.seed"
    )
    sample_fraction: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="train on this part of the training rows, drawn by training.seed"
    )
    use_pretokenized: bool = Field(False, description="cache token ids under data/.tokenizer_cache")
    cache_dir: Path = Path("data/.tokenizer_cache")
    num_workers: NotNegative | None = Field(
        None,
        description="threads that tokenise, and that prepare batches; None: all cores, and one or two",
    )
    prefetch_size: NotNegative = Field(4, description="batches prepared ahead of the model")
    streaming: bool | None = Field(
        None,
        description="read the training table in chunks, not whole; None: from 64 MB or 500,000 rows on",
    )

    @field_validator("target", mode="before")
    @classmethod
    def _join_columns(cls, value: object) -> object:
        """Several columns may be a list."""
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("numeric_features", mode="before")
    @classmethod
    def _read_columns(cls, value: object) -> object:
        """YAML reads off as false; as a flag, columns stand between commas."""
        if isinstance(value, bool):
            return "auto" if value else "off"
        if isinstance(value, str) and value not in ("off", "auto"):
            return tuple(name.strip() for name in value.split(","))
        return value

    @field_validator("class_order", mode="before")
    @classmethod
    def _split_classes(cls, value: object) -> object:
        """As a flag, classes stand between commas."""
        return value.split(",") if isinstance(value, str) else value


class AugmentationSection(Section):
    """Training rows changed anew in each epoch, never those that are validated or predicted; 0: off."""

    column_shuffle: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="probability that the pieces of a row come in a random order"
    )
    column_dropout: Annotated[float, Field(ge=0, le=0.9)] = Field(
        0.0, description="probability that a cell is missing"
    )
    token_masking: Annotated[float, Field(ge=0, le=0.9)] = Field(
        0.0, description="share of the words that the mask token replaces"
    )
    number_jitter: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="how far numbers move: deviation in ranks, 0.05 is 5 % of the training rows",
    )
    value_swap: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="probability that a cell is that of another training row of the same class"
    )
    templates: tuple[str, ...] = Field(
        (), description="names in TEMPLATES: a row is worded by one of these or the run's own"
    )


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
    directory: Path | None = Field(None, description="of MLflow's store; None: training.output_dir")


class PretrainingSection(Section):
    """Masked words, learned from rows without labels before the task."""

    tables: tuple[Path, ...] = Field(
        (), description="more rows without labels, such as the table to predict"
    )
    has_target: bool = Field(True, description="off: no column of the tables is a target")
    mask_probability: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.3, description="share of a batch's words that are asked for"
    )
    random_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.1, description="of these, shown as another word"
    )
    keep_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.1, description="of these, shown as they are; the rest is shown as the mask"
    )
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="rows held out to measure how well hidden words are found"
    )
    dropout: Probability = Field(
        0.1, description="in the encoder while it is pretrained; model.dropout is for the task"
    )


class EnsembleSection(Section):
    """Several models that answer together."""

    num_models: Positive = Field(1, description="models that are trained one after another")
    diversity_strategy: Literal["different_seeds", "data_subsamples", "architectures", "heads"] = (
        Field("different_seeds", description="how they differ")
    )

    @field_validator("diversity_strategy", mode="before")
    @classmethod
    def _spell_out(cls, value: object) -> object:
        """Short names."""
        spellings = {
            "seeds": "different_seeds",
            "subsamples": "data_subsamples",
            "bagging": "data_subsamples",
        }
        return spellings.get(value, value) if isinstance(value, str) else value


class RunConfig(Section):
    """Everything a run can be asked for."""

    model: ModelSection = ModelSection()
    head: HeadSection = HeadSection()
    lora: LoRASection = LoRASection()
    data: DataSection = DataSection()
    augmentation: AugmentationSection = AugmentationSection()
    training: TrainingSection = TrainingSection()
    optimizer: OptimizerSection = OptimizerSection()
    scheduler: SchedulerSection = SchedulerSection()
    checkpoint: CheckpointSection = CheckpointSection()
    tracking: TrackingSection = TrackingSection()
    ensemble: EnsembleSection = EnsembleSection()

    @property
    def split_seed(self) -> int:
        """What draws the validation rows."""
        asked = self.data.split_seed
        return self.training.seed if asked is None else asked

    pretraining: PretrainingSection = PretrainingSection()
