"""ModelSection, HeadSection, LoRASection, EnsembleSection: what is trained."""

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from .base import AboveZero, Flag, NonNegative, NotNegative, Positive, Probability, Section, Unset

Architecture = Literal["bert", "modernbert", "neobert"]
ARCHITECTURES: tuple[str, ...] = get_args(Architecture)
DEFAULT: Architecture = "modernbert"


class ModelSection(Section):
    """The encoder: a checkpoint, or an architecture to start from random weights."""

    pretrained: Annotated[str | None, Unset("random weights"), Flag("--model", "NAME")] = Field(
        None,
        description=f"checkpoint folder or Hub id; or from random weights {', '.join(ARCHITECTURES)} (default {DEFAULT})",
    )
    architecture: Architecture = Field(DEFAULT, description="used without a checkpoint")
    hidden_size: Annotated[Positive | None, Unset("by the number of rows")] = Field(
        None, description="width without a checkpoint"
    )
    num_layers: Annotated[Positive | None, Unset("by the number of rows")] = Field(
        None, description="layers without a checkpoint"
    )
    num_heads: Positive = Field(4, description="attention heads of a layer without a checkpoint")
    intermediate_size: Annotated[Positive | None, Unset("from hidden_size")] = Field(
        None, description="width of the feed-forward"
    )
    norm_type: Annotated[Literal["layer", "rms"] | None, Unset("the architecture's own")] = Field(
        None, description="norms of modernbert without a checkpoint"
    )
    activation: Annotated[str | None, Unset("the architecture's own")] = Field(
        None,
        description="of the feed-forward of bert or modernbert without a checkpoint: gelu, silu, relu, ...",
    )
    local_attention: Annotated[Positive | None, Unset("the architecture's own")] = Field(
        None, description="tokens that a local layer of modernbert sees, without a checkpoint"
    )
    global_attn_every_n_layers: Annotated[Positive | None, Unset("the architecture's own")] = Field(
        None,
        description="of how many layers of modernbert one sees all tokens, without a checkpoint",
    )
    pretrain: Annotated[Literal["off", "auto", "on"], Flag("--pretrain", "off|auto|on")] = Field(
        "auto",
        description="first learn masked words of the rows of train and test, without a checkpoint; auto: where it pays",
    )
    word_vectors: Literal["random", "cooccurrence"] = Field(
        "random",
        description="where word vectors begin without a checkpoint: at random, or alike where words share their rows",
    )
    vocab_size: Positive = Field(
        4096, description="most entries of a vocabulary trained on the table"
    )
    dropout: Annotated[
        Probability | None, Unset("0.1 or 0.3 by the rows, else the checkpoint's")
    ] = Field(None, description="in the encoder")

    @field_validator("pretrain", mode="before")
    @classmethod
    def _spell_switch(cls, value: object) -> object:
        """YAML reads off as false and on as true."""
        return ("on" if value else "off") if isinstance(value, bool) else value

    @field_validator("architecture", mode="before")
    @classmethod
    def _drop_head(cls, value: object) -> object:
        """The project guide also says modernbert_with_head; the head is always there."""
        return value.removesuffix("_with_head") if isinstance(value, str) else value

    @field_validator("activation", mode="before")
    @classmethod
    def _name_inner(cls, value: object) -> object:
        """A gated feed-forward is often called by its gate's name."""
        gated = {"geglu": "gelu", "swiglu": "silu"}
        return gated.get(value.lower(), value) if isinstance(value, str) else value


class HeadSection(Section):
    """The head: what it answers and its loss."""

    type: Annotated[str | None, Unset("by the task")] = Field(None, description="a name in HEADS")
    num_labels: Annotated[Positive | None, Unset("inferred")] = Field(
        None, description="classes, labels or numbers that it answers"
    )
    dropout: Probability = Field(0.1, description="on the pooled text")
    pooling: Annotated[
        Literal["cls", "mean", "max", "attention"] | None, Unset("the encoder's own")
    ] = Field(None, description="how the tokens of a row become one vector")
    label_smoothing: Probability = Field(
        0.0, description="share of a label that is spread over all classes"
    )
    use_focal_loss: bool = Field(False, description="count rows less that are already right")
    focal_gamma: NonNegative = Field(2.0, description="how much less")
    class_weights: Annotated[
        Literal["balanced"] | tuple[NonNegative, ...] | None, Unset("all the same")
    ] = Field(None, description="what a row of each class counts in the loss, or balanced")
    temperature_scaling: AboveZero = Field(
        1.0, description="divides logits; `bert model calibrate` fits it"
    )
    pos_weight: Annotated[
        Literal["balanced"] | tuple[NonNegative, ...] | None, Unset("1 for each label")
    ] = Field(None, description="multilabel: what a present label counts, or balanced")
    adaptive_threshold: bool = Field(
        False, description="multilabel: tune a decision threshold per label on validation rows"
    )
    loss_type: Literal["mse", "mae", "huber"] = Field("mse", description="loss of regression")
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
    """Low-rank adapters instead of full fine-tuning; what is None comes from the preset."""

    enabled: bool = Field(False, description="train adapters and the head only")
    preset: Annotated[str, Flag("--lora", "PRESET", turns_on="lora.enabled")] = Field(
        "balanced",
        description="low-rank adapters: efficient, balanced, expressive, dora, rslora or qlora_memory",
    )
    r: Annotated[Positive | None, Unset("by the preset")] = Field(None, description="rank")
    alpha: Annotated[AboveZero | None, Unset("by the preset")] = Field(
        None, description="the update is scaled by alpha / r"
    )
    dropout: Annotated[Probability | None, Unset("by the preset")] = Field(
        None, description="on the adapter's input"
    )
    target_modules: Annotated[tuple[str, ...] | str | None, Unset("by the preset")] = Field(
        None, description="short or Hugging Face names, a regular expression, or all-linear"
    )
    rank_pattern: Annotated[dict[str, Positive] | None, Unset("by the preset")] = Field(
        None, description="name or regular expression → another r"
    )
    alpha_pattern: Annotated[dict[str, AboveZero] | None, Unset("by the preset")] = Field(
        None, description="name or regular expression → another alpha"
    )
    layers_to_transform: Annotated[tuple[NotNegative, ...] | None, Unset("by the preset")] = Field(
        None, description="numbers of the layers that are adapted"
    )
    bias: Annotated[Literal["none", "lora_only", "all"] | None, Unset("by the preset")] = Field(
        None, description="which biases are trained too"
    )
    modules_to_save: Annotated[tuple[str, ...] | None, Unset("by the preset")] = Field(
        None, description="modules trained in full, besides the head"
    )
    use_rslora: Annotated[bool | None, Unset("by the preset")] = Field(
        None, description="scale by alpha / sqrt(r)"
    )
    use_dora: Annotated[bool | None, Unset("by the preset")] = Field(
        None, description="train lengths apart from directions"
    )
    bits: Annotated[Literal[4, 8] | None, Unset("by the preset")] = Field(
        None, description="quantize the frozen encoder (QLoRA)"
    )
    group_size: Annotated[Literal[32, 64, 128] | None, Unset("by the preset")] = Field(
        None, description="weights that share a scale, where bits is given"
    )


class EnsembleSection(Section):
    """Several models that answer together."""

    num_models: Annotated[Positive, Flag("--ensemble", "N")] = Field(
        1, description="train N models that answer together"
    )
    diversity_strategy: Annotated[
        Literal["different_seeds", "data_subsamples", "architectures", "heads"],
        Flag("--diversity", "NAME"),
    ] = Field("different_seeds", description="how the models of an ensemble differ")

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
