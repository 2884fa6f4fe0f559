"""create_model and friends: the friendly door, built on the files below."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from bert_playground.lookup import look_up, nearest
from bert_playground.models.bert import BertConfig, Encoder, ModernBertConfig
from bert_playground.models.bert_with_head import (
    ENCODERS,
    BertWithHead,
    EncoderFamily,
    complete_head,
)
from bert_playground.models.heads import HEADS, HeadConfig, create_head
from bert_playground.models.huggingface import Pretrained, load_with_head, read_pretrained
from bert_playground.models.lora import LoRAAdapter, LoRAConfig, create_lora_config
from bert_playground.tasks import Task

if TYPE_CHECKING:
    from bert_playground.config.schema import ModelSection, RunConfig

SCRATCH_DROPOUT = (
    0.3  # better than 0.1 on Titanic, obesity, nlp-disaster and House Prices: docs/log.md
)
POSITIONS_MULTIPLE = 64


def create_model(
    name: str,
    head_type: str | None = None,
    num_labels: int | None = None,
    *,
    use_lora: bool = False,
    lora_preset: str = "balanced",
    **options: Any,
) -> BertWithHead:
    """Make a model with random weights.

    Args:
        name: an architecture in ENCODERS; "modernbert_with_head" means modernbert.
        head_type: a name in HEADS; None: binary for up to 2 labels, else multiclass.
        num_labels: how many classes.
        use_lora: add adapters and freeze the encoder.
        lora_preset: a name in LORA_PRESETS.
        options: fields of the encoder's config (hidden_size=256) or of HeadConfig (use_focal_loss=True).

    Raises:
        ValueError: an unknown name, option or impossible size.
    """
    family = find_family(name)
    encoder_fields = {field.name for field in fields(family.config)}
    encoder_fields |= {"rope_theta", "alternating_attention"} & set(family.config.__annotations__)
    head_fields = {field.name for field in fields(HeadConfig)} - {"head_type", "num_labels"}
    unknown = [
        f"{option!r}{nearest(option, encoder_fields | head_fields)}"
        for option in options
        if option not in encoder_fields | head_fields
    ]
    if unknown:
        raise ValueError(f"unknown option of {name}: {', '.join(unknown)}")
    encoder_options = {key: value for key, value in options.items() if key in encoder_fields}
    head_options = {key: value for key, value in options.items() if key not in encoder_fields}
    head = HeadConfig(**choose_head(head_type, num_labels), **head_options)
    model = assemble(family, family.config(**encoder_options), head)
    return _with_adapters(model, create_lora_config(lora_preset) if use_lora else None)


def create_bert_with_head(
    model_type: str = "modernbert",
    head_type: str | None = None,
    num_labels: int | None = None,
    use_lora: bool = False,
    lora_preset: str = "balanced",
    **options: Any,
) -> BertWithHead:
    """`create_model` under the names of a config file."""
    return create_model(
        model_type, head_type, num_labels, use_lora=use_lora, lora_preset=lora_preset, **options
    )


class ModelFactory:
    """Make models of config objects."""

    def create_model(
        self, bert_config: BertConfig | ModernBertConfig, head_config: HeadConfig | None = None
    ) -> BertWithHead:
        """Put the head that `head_config` describes on the encoder that `bert_config` describes."""
        family = find_family(bert_config.model_type)
        return assemble(family, bert_config, head_config or HeadConfig())


def load_from_huggingface(
    name: str,
    task: str = "classification",
    num_labels: int | None = None,
    *,
    head_type: str | None = None,
    add_lora: bool = False,
    lora_preset: str = "balanced",
    **head_options: Any,
) -> BertWithHead:
    """Load a pretrained encoder and put a head on it, the checkpoint's own where it fits.

    Args:
        name: a Hub id or a local folder.
        task: "classification", or a name in HEADS.
        num_labels: how many classes; None: as many as the checkpoint's classifier has, else 2.
        head_type: a name in HEADS; None: by task and number of labels.
        add_lora: add adapters and freeze the encoder.
        lora_preset: a name in LORA_PRESETS.
        head_options: fields of HeadConfig.
    """
    pretrained = read_pretrained(name)
    if head_type is None and task != "classification":
        look_up(HEADS, task, "task")
        head_type = task
    if num_labels is None and head_type != "regression":
        classifier = pretrained.weights.get("classifier.weight")
        num_labels = 2 if classifier is None else max(2, classifier.shape[0])
    head = HeadConfig(**choose_head(head_type, num_labels), **head_options)
    model, _ = load_with_head(pretrained, head)
    return _with_adapters(model, create_lora_config(lora_preset) if add_lora else None)


def create_from_config(
    config: "RunConfig",
    task: Task,
    num_labels: int,
    *,
    vocab_size: int,
    pad_token_id: int | None = 0,
    pretrained: Pretrained | None = None,
) -> BertWithHead:
    """Make the model that a run asks for, pretrained or from scratch, with adapters if asked.

    Args:
        config: what was asked.
        task: what the table turned out to be.
        num_labels: how many classes it has; ignored by regression.
        vocab_size: how many entries the tokenizer has.
        pad_token_id: the tokenizer's.
        pretrained: the checkpoint, when it has been read already.

    Raises:
        ValueError: the parts do not fit together.
    """
    _check_labels(config, num_labels)
    head = HeadConfig(
        **choose_head(config.head.type or task.head, num_labels),
        pooling=config.head.pooling,
        hidden_dropout_prob=config.head.dropout,
        label_smoothing=config.head.label_smoothing,
        use_focal_loss=config.head.use_focal_loss,
        focal_gamma=config.head.focal_gamma,
        loss_type=config.head.loss_type,
    )
    if config.model.pretrained is None:
        family = find_family(config.model.architecture)
        sizes = scratch_sizes(config.model, family, config.data.max_length)
        shape = family.config(**sizes, vocab_size=vocab_size, pad_token_id=pad_token_id)
        model = assemble(family, shape, head)
    else:
        pretrained = pretrained or read_pretrained(config.model.pretrained)
        options = dropout_options(pretrained.family, config.model.dropout)
        model, _ = load_with_head(pretrained, head, **options)
        _check_fit(model.encoder, pretrained, vocab_size, config.data.max_length)
    lora = None
    if config.lora.enabled:
        targets = config.lora.target_modules
        lora = create_lora_config(
            config.lora.preset, **({} if targets is None else {"target_modules": targets})
        )
    return _with_adapters(model, lora)


def find_family(name: str) -> EncoderFamily:
    """The line of ENCODERS for an architecture, also when it is spelt "modernbert_with_head".

    Raises:
        ValueError: unknown; the message has the nearest name.
    """
    return look_up(ENCODERS, name.removesuffix("_with_head"), "model type")


def assemble(family: EncoderFamily, config: Any, head_config: HeadConfig) -> BertWithHead:
    """An encoder with random weights and the head that suits it."""
    encoder: Encoder = family.core(config)
    return BertWithHead(encoder, create_head(complete_head(head_config, family, encoder)))


def choose_head(head_type: str | None, num_labels: int | None) -> dict[str, Any]:
    """The head's type and number of labels, each from the other where one is not given.

    Raises:
        ValueError: unknown type, or a number of labels that it cannot have.
    """
    if head_type is None:
        head_type = "binary" if num_labels is None or num_labels <= 2 else "multiclass"
    look_up(HEADS, head_type, "head")
    if head_type == "multiclass" and (num_labels is None or num_labels < 2):
        raise ValueError(f"a multiclass head needs num_labels of at least 2, got {num_labels}")
    if head_type == "binary" and num_labels not in (None, 1, 2):
        raise ValueError(
            f"a binary head has 2 labels, got num_labels {num_labels}; use 'multiclass'"
        )
    return {
        "head_type": head_type,
        "num_labels": {"binary": 2, "regression": 1}.get(head_type, num_labels),
    }


def scratch_sizes(
    section: "ModelSection", family: EncoderFamily, max_length: int
) -> dict[str, Any]:
    """The encoder's config fields that a model section without checkpoint means."""
    is_gated = family.config is ModernBertConfig
    # As wide as in the published models: 4 times the hidden size, 1.5 times where it is gated.
    usual = section.hidden_size * 3 // 2 if is_gated else section.hidden_size * 4
    dropout = SCRATCH_DROPOUT if section.dropout is None else section.dropout
    return {
        "hidden_size": section.hidden_size,
        "num_hidden_layers": section.num_layers,
        "num_attention_heads": section.num_heads,
        "intermediate_size": section.intermediate_size or usual,
        # Padded batches are a little wider than their longest row.
        "max_position_embeddings": -(-max_length // POSITIONS_MULTIPLE) * POSITIONS_MULTIPLE,
        **dropout_options(family, dropout),
    }


def dropout_options(family: EncoderFamily, rate: float | None) -> dict[str, Any]:
    """The encoder's dropout rates, all the same; {} when none is asked."""
    if rate is None:
        return {}
    names = {field.name for field in fields(family.config) if "dropout" in field.name}
    return dict.fromkeys(sorted(names - {"classifier_dropout"}), rate)


def _check_labels(config: "RunConfig", num_labels: int) -> None:
    asked = config.head.num_labels
    if asked is not None and asked != num_labels and config.head.type != "regression":
        raise ValueError(
            f"head.num_labels is {asked}, but the target has {num_labels} classes; leave it out to follow the data"
        )


def _check_fit(encoder: Encoder, pretrained: Pretrained, vocab_size: int, max_length: int) -> None:
    if vocab_size > encoder.config.vocab_size:
        raise ValueError(
            f"the tokenizer has {vocab_size} entries, the encoder of {pretrained.folder} has "
            f"{encoder.config.vocab_size}; they do not belong together"
        )
    if max_length > encoder.max_length:
        raise ValueError(
            f"data.max_length is {max_length}, but {pretrained.folder} has {encoder.max_length} positions; "
            f"use --max-length {encoder.max_length} or less"
        )


def _with_adapters(model: BertWithHead, config: LoRAConfig | None) -> BertWithHead:
    if config is not None:
        LoRAAdapter(model, config)
    return model
