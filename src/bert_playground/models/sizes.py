"""assemble: an encoder and the head that suits it; the sizes and options that are usual."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_playground.logger import logger
from bert_playground.lookup import look_up
from bert_playground.models.architectures import look_at_checkpoint
from bert_playground.models.bert import Encoder, ModernBertConfig
from bert_playground.models.bert_with_head import (
    ENCODERS,
    BertWithHead,
    EncoderFamily,
    complete_head,
)
from bert_playground.models.heads import HEADS, HeadConfig, create_head
from bert_playground.models.huggingface import Pretrained

if TYPE_CHECKING:
    from bert_playground.config.schema import ModelSection, RunConfig

POSITIONS_MULTIPLE = 64
# Width and layers from random weights, and the most rows that each but the last is for: a wider one is no better there,
# and slower (docs/log.md).
SCRATCH_SIZES = ((64, 2), (128, 3), (256, 4))
MOST_ROWS = (50_000, 200_000)
# From random weights: dropout, and ramps of a number, up to so many rows and beyond. Numbers and categories of many rows are
# not learned by heart, so strong dropout only hides what is there (words are, however many), and finer ramps tell near
# values apart (docs/log.md).
FEW_ROWS = 4_000
STRONG_DROPOUT, WEAK_DROPOUT = 0.3, 0.1
COARSE_RAMPS, FINE_RAMPS = 32, 128
# Settings of `model` beyond sizes → the fields of encoders' configs that they may be.
PARTICULARS = {
    "norm_type": ("norm_type",),
    "activation": ("hidden_activation", "hidden_act"),
    "local_attention": ("local_attention",),
    "global_attn_every_n_layers": ("global_attn_every_n_layers",),
}


def find_family(name: str) -> EncoderFamily:
    """The line of ENCODERS for an architecture, also when it is spelt "modernbert_with_head".

    Raises:
        ValueError: unknown; the message has the nearest name.
    """
    return look_up(ENCODERS, name.removesuffix("_with_head"), "model type")


def assemble(family: EncoderFamily, config: Any, head_config: HeadConfig) -> BertWithHead:
    """An encoder with random weights and the head that suits it."""
    encoder: Encoder = family.core(config)
    head = create_head(complete_head(head_config, family, config.head_options()))
    return BertWithHead(encoder, head)


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
    section: "ModelSection",
    family: EncoderFamily,
    max_length: int,
    num_rows: int | None = None,
    *,
    has_text: bool = False,
) -> dict[str, Any]:
    """The encoder's config fields that a model section without checkpoint means.

    Args:
        section: what was asked for.
        family: the architecture.
        max_length: most tokens of a row.
        num_rows: to learn from, by which sizes are chosen that the section leaves open; None: many.
        has_text: whether free text is among what is read.
    """
    is_gated = family.config is ModernBertConfig
    hidden_size, num_layers = choose_size(section, num_rows, has_text=has_text)
    # As wide as in the published models: 4 times the hidden size, 1.5 times where it is gated.
    usual = hidden_size * 3 // 2 if is_gated else hidden_size * 4
    return {
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": section.num_heads,
        "intermediate_size": section.intermediate_size or usual,
        "num_ramps": FINE_RAMPS if _has_many(num_rows) else COARSE_RAMPS,
        # Padded batches are a little wider than their longest row.
        "max_position_embeddings": -(-max_length // POSITIONS_MULTIPLE) * POSITIONS_MULTIPLE,
        **dropout_options(family, choose_dropout(section, num_rows, has_text=has_text)),
        **_particulars(section, family),
    }


def choose_size(
    section: "ModelSection", num_rows: int | None, *, has_text: bool = False
) -> tuple[int, int]:
    """Width and layers of an encoder from random weights: as asked for, else by the rows that there are to learn from.

    Words need more width than numbers and categories: free text makes it the next larger size.
    """
    fitting = (i for i, most in enumerate(MOST_ROWS) if num_rows is not None and num_rows <= most)
    number = next(fitting, len(MOST_ROWS)) + has_text
    width, layers = SCRATCH_SIZES[min(number, len(SCRATCH_SIZES) - 1)]
    return section.hidden_size or width, section.num_layers or layers


def choose_dropout(
    section: "ModelSection", num_rows: int | None, *, has_text: bool = False
) -> float:
    """Dropout of an encoder from random weights: as asked for, else by the rows that there are to learn from."""
    if section.dropout is not None:
        return section.dropout
    return STRONG_DROPOUT if has_text or not _has_many(num_rows) else WEAK_DROPOUT


def _has_many(num_rows: int | None) -> bool:
    return num_rows is None or num_rows > FEW_ROWS


def _particulars(section: "ModelSection", family: EncoderFamily) -> dict[str, Any]:
    """The encoder's config fields for what is asked of it beyond sizes.

    Raises:
        ValueError: the architecture has no such options; all are listed.
    """
    known = {field.name for field in fields(family.config)}
    asked, wrong = {}, []
    for key, names in PARTICULARS.items():
        value = getattr(section, key)
        if value is None:
            continue
        name = next((name for name in names if name in known), None)
        if name is None:
            wrong.append(f"model.{key} = {value!r}")
        else:
            asked[name] = value
    if wrong:
        raise ValueError(
            f"a {family.config.model_type} has no such options: {', '.join(wrong)}; leave them out, or take "
            "model.architecture modernbert"
        )
    return asked


def _refuse_particulars(section: "ModelSection", values: Mapping[str, Any], folder: Path) -> None:
    wrong = []
    for key, names in PARTICULARS.items():
        asked = getattr(section, key)
        stored = next((values[name] for name in names if values.get(name) is not None), None)
        if asked is not None and asked != stored:
            wrong.append(f"model.{key} is {asked!r} (the checkpoint: {stored or 'its own'})")
    if wrong:
        raise ValueError(
            f"{folder} is what it was trained as, but {'; '.join(wrong)}: these are for random weights; leave them out"
        )


def dropout_options(family: EncoderFamily, rate: float | None) -> dict[str, Any]:
    """The encoder's dropout rates, all the same; {} when none is asked."""
    if rate is None:
        return {}
    names = {field.name for field in fields(family.config) if "dropout" in field.name}
    return dict.fromkeys(sorted(names - {"classifier_dropout"}), rate)


def fit_to_checkpoint(
    config: "RunConfig", sources: Mapping[str, str]
) -> tuple["RunConfig", dict[str, str]]:
    """The configuration, with what nobody asked for as the checkpoint to start from has it, and where values came from.

    Only config.json is read, so that a model that cannot be trained is refused before any table is read.

    Args:
        config: what was asked for.
        sources: for each dotted path where its value came from; {}: what was given to `config` is asked for.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: another architecture, or rows that are asked to be longer than it can take.
    """
    path, changed = "data.max_length", dict(sources)
    if config.model.pretrained is None:
        return config, changed
    outline = look_at_checkpoint(config.model.pretrained)
    _refuse_particulars(config.model, outline.values, outline.folder)
    most, length = outline.max_length, config.data.max_length
    if most is None or length <= most:
        return config, changed
    given = "given" if "max_length" in config.data.model_fields_set else "default"
    source = sources.get(path, given)
    if source != "default" and not source.startswith("preset "):
        raise ValueError(_say_positions(length, outline.folder, most, f" ({source})"))
    logger.info(
        "{} is {} instead of {} ({}): {} has no more positions",
        *(path, most, length, source, outline.folder),
    )
    data = config.data.model_copy(update={"max_length": most})
    changed |= {path: "checkpoint"} if sources else {}
    return config.model_copy(update={"data": data}), changed


def _say_positions(length: int, folder: Path, positions: int, source: str = "") -> str:
    return (
        f"data.max_length is {length}{source}, but {folder} has {positions} positions; "
        f"use --max-length {positions} or less"
    )


def check_fit(encoder: Encoder, pretrained: Pretrained, max_length: int) -> None:
    """Refuse rows with more tokens than the encoder of a checkpoint has positions.

    Raises:
        ValueError: says what to use instead.
    """
    if max_length > encoder.max_length:
        raise ValueError(_say_positions(max_length, pretrained.folder, encoder.max_length))
    if pretrained.trained_length is not None and max_length > pretrained.trained_length:
        logger.info(
            "{} was trained on texts of up to {} tokens; longer rows are new to it (data.max_length {})",
            pretrained.folder,
            pretrained.trained_length,
            max_length,
        )


def check_numbers(encoder: Encoder, number_tokens: Sequence[tuple[int, int]], folder: Path) -> None:
    """Refuse an encoder that adds values to other tokens than the pipeline says.

    Raises:
        ValueError: says what to do.
    """
    there, asked = encoder.config.numeric_tokens, tuple(number_tokens)
    if there != asked:
        raise ValueError(
            f"the encoder in {folder} adds the values of {len(there)} numbers to their tokens, the rows are read with "
            f"{len(asked)}; leave data.numeric_features out, and the pipeline.json of the folder as it was written"
        )
