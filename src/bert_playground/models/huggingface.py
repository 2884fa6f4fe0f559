"""A Hub or local folder in HF format → our config and weights."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from bert_playground.logger import logger
from bert_playground.lookup import shorten
from bert_playground.models.architectures import (
    read_architecture,
    read_config,
    read_shape,
    refuse_adapter,
)
from bert_playground.models.bert import Encoder
from bert_playground.models.bert.names import Weights, rename
from bert_playground.models.bert_with_head import (
    ENCODERS,
    BertWithHead,
    EncoderFamily,
    complete_head,
)
from bert_playground.models.heads import BaseHead, HeadConfig, create_head
from bert_playground.models.hub_files import CONFIG
from bert_playground.models.hub_files import fetch_folder as fetch_folder
from bert_playground.models.quantization_utils import prepare_for
from bert_playground.models.sentence_folder import SentenceFolder
from bert_playground.models.tokenwise import named_parameters
from bert_playground.models.weight_files import (
    BUFFERS,
    check_dtypes,
    find_weight_files,
    read_headers,
    read_weights,
    sketch_weights,
)

ASSUMED_HEAD_SIZE = 64
# What pretraining and other tasks leave in a checkpoint; new heads do without it.
NUMBERS = "numbers.weight"  # of a NumericEmbedding
OTHER_HEADS = ("cls.", "pooler.", "head.", "decoder.", "classifier.", "qa_outputs.", "lm_head.")


class LoadReport(NamedTuple):
    """What a checkpoint and a module did not have in common."""

    missing: list[str]  # parameters that keep their initial values
    unused: list[str]  # weights of the checkpoint that nothing asked for
    reshaped: tuple[
        str, ...
    ] = ()  # how those of the missing that the checkpoint has in another shape differ


@dataclass(frozen=True)
class Pretrained:
    """A checkpoint folder that has been read.

    Attributes:
        folder: where it lies.
        architecture: a name in ENCODERS.
        values: its config.json; {} when there is none.
        config: the encoder's shape.
        weights: encoder weights under our names, the others under Hugging Face's, all f32.
        pooling: what a sentence-transformers folder says in 1_Pooling, else None.
        trained_length: the most tokens of a row that a sentence-transformers folder was trained for, else None.
    """

    folder: Path
    architecture: str
    values: dict[str, Any]
    config: Any
    weights: Weights
    pooling: str | None
    trained_length: int | None = None

    @property
    def family(self) -> EncoderFamily:
        """The line of ENCODERS."""
        return ENCODERS[self.architecture]


def read_pretrained(name_or_path: str | Path, *, shapes_only: bool = False) -> Pretrained:
    """Read a checkpoint in Hugging Face format: config.json and weights in safetensors.

    Without config.json, or without model_type in it, the architecture is recognised by the names of the weights.

    Args:
        name_or_path: a Hub id or a folder, also one of sentence-transformers.
        shapes_only: read names and shapes alone; the weights are placeholders that nothing should compute.

    Raises:
        FileNotFoundError: no folder or no weights in it.
        ValueError: unknown architecture, impossible sizes or a damaged file.
    """
    parts = SentenceFolder.read(fetch_folder(name_or_path))
    folder = parts.encoder
    refuse_adapter(folder)
    values = read_config(folder)
    said = read_architecture(values, folder)
    headers = read_headers(find_weight_files(folder))
    if "quantization" not in values:
        check_dtypes(headers, folder)
    architecture = said or recognise(headers, folder)
    family = ENCODERS[architecture]
    check_prefix(headers, family, folder)
    raw = sketch_weights(headers) if shapes_only else read_weights(folder)
    bare = {
        name.removeprefix(family.prefix): weight
        for name, weight in raw.items()
        if not name.endswith(BUFFERS)
    }
    named = rename(bare, family.core.NAMES)
    _require_matrices(named, folder)
    if "hidden_size" not in values:
        values = _sizes_of(named, folder) | values
    down = named.get("layers.0.feed_forward.down.weight")
    if down is not None and "quantization" not in values:  # packed values are fewer than inputs
        # NeoBERT's config.json has this width by a rule that not all files keep to; other configs ignore the key.
        values = values | {"feed_forward_size": down.shape[1]}
    config = read_shape(values, architecture, folder)
    _compare_sizes(config, named, folder)
    _check_pad_id(values, config, folder)
    weights = family.core.sanitize(bare, config)
    return Pretrained(
        folder, architecture, values, config, weights, parts.pooling, parts.max_length
    )


def _require_matrices(weights: Weights, folder: Path) -> None:
    """Refuse what sizes are read off, where it has none."""
    wrong = [
        f"{name} has shape {list(weights[name].shape)}"
        for name in ("embeddings.words.weight", "layers.0.feed_forward.down.weight")
        if name in weights and weights[name].ndim != 2
    ]
    if wrong:
        raise ValueError(
            f"weights do not fit the config of {folder}: {'; '.join(wrong)}, expected two dimensions"
        )


def _compare_sizes(config: Any, weights: Weights, folder: Path) -> None:
    """Refuse sizes that the weights do not have, before anything of these sizes is made."""
    layers = {name.split(".")[1] for name in weights if name.startswith("layers.")}
    if config.num_hidden_layers > len(layers):
        raise ValueError(
            f"{folder / CONFIG} says num_hidden_layers {config.num_hidden_layers:,}, but the weights have {len(layers)}: "
            "the folder is incomplete or its config wrong"
        )
    width, inner = (
        config.hidden_size,
        getattr(config, "feed_forward_size", config.intermediate_size),
    )
    expected = {
        "embeddings.words.weight": (config.vocab_size, width),
        "embeddings.positions.weight": (config.max_position_embeddings, width),
        "embeddings.norm.weight": (width,),
        "layers.0.feed_forward_norm.weight": (width,),
        "final_norm.weight": (width,),
        "layers.0.feed_forward.down.weight": (width, inner),
    }
    wrong = [
        f"{name} has shape {list(weights[name].shape)}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in weights and not _fits(weights[name], shape)
    ]
    if wrong:
        raise ValueError(f"weights do not fit the config of {folder}: {'; '.join(wrong)}")


def _fits(weight: mx.array, shape: tuple[int, ...]) -> bool:
    """Whether a weight has this shape; of a packed one the rows tell."""
    is_packed = not mx.issubdtype(weight.dtype, mx.floating)
    return weight.shape[:1] == shape[:1] if is_packed else weight.shape == shape


def _check_pad_id(values: Mapping[str, Any], config: Any, folder: Path) -> None:
    pad = values.get("pad_token_id")
    if pad is not None and not 0 <= pad < config.vocab_size:
        raise ValueError(
            f"{folder / CONFIG} has pad_token_id {pad}, outside the vocabulary of {config.vocab_size}; "
            "correct it, or remove the line"
        )


def check_prefix(names: Collection[str], family: EncoderFamily, folder: Path) -> None:
    """Refuse weights of another architecture than the config's, or under a prefix that nobody writes.

    Raises:
        ValueError: the message has the prefix, or the architecture that the names belong to.
    """
    known = ("", family.prefix)
    if any(prefix + family.signature in names for prefix in known):
        return
    for name, other in ENCODERS.items():
        if any(name.endswith(f".{other.signature}") or name == other.signature for name in names):
            if other is not family:
                raise ValueError(
                    f"{folder / CONFIG} says {family.config.model_type}, but the weights are those of a {name}; "
                    "correct model_type, or copy the right files there"
                )
            found = next(name for name in names if name.endswith(family.signature))
            raise ValueError(
                f"the weights in {folder} carry the prefix {found.removesuffix(family.signature)!r}; expected "
                f"{family.prefix!r} or none for {family.config.model_type}. A model of another kind? Else rename them"
            )


def recognise(weights: Collection[str], folder: Path) -> str:
    """The architecture that these Hugging Face weight names belong to.

    Raises:
        ValueError: none that we know.
    """
    for name, family in ENCODERS.items():
        if family.signature in weights or family.prefix + family.signature in weights:
            return name
    raise ValueError(
        f"{folder} has no {CONFIG} with a model_type, and its weights fit no known architecture "
        f"({', '.join(ENCODERS)}); its first weights are {', '.join(sorted(weights)[:3])}"
    )


def _sizes_of(weights: Weights, folder: Path) -> dict[str, Any]:
    """Sizes under their Hugging Face names, read off the shapes; the number of heads is not visible there."""
    needed = ("embeddings.words.weight", "layers.0.feed_forward.down.weight")
    lost = [name for name in needed if name not in weights]
    if lost:
        raise ValueError(
            f"{folder} lacks {', '.join(lost)}: the folder is incomplete, copy it again"
        )
    vocab_size, hidden_size = weights["embeddings.words.weight"].shape
    layers = {int(name.split(".")[1]) for name in weights if name.startswith("layers.")}
    num_heads = max(1, hidden_size // ASSUMED_HEAD_SIZE)
    logger.warning(
        "{} has no sizes in {}: assuming {} attention heads of {}, and otherwise the published values",
        folder,
        CONFIG,
        num_heads,
        ASSUMED_HEAD_SIZE,
    )
    sizes = {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": len(layers),
        "num_attention_heads": num_heads,
        "intermediate_size": weights["layers.0.feed_forward.down.weight"].shape[1],
        "norm_bias": "embeddings.norm.bias" in weights,
        "attention_bias": "layers.0.attention.qkv.bias" in weights,
        "mlp_bias": "layers.0.feed_forward.up.bias" in weights,
        "classifier_bias": "head.dense.bias" in weights,
    }
    for table, key in (
        ("positions", "max_position_embeddings"),
        ("token_types", "type_vocab_size"),
    ):
        if (name := f"embeddings.{table}.weight") in weights:
            sizes[key] = weights[name].shape[0]
    return sizes


def load_encoder(pretrained: Pretrained, **options: Any) -> Encoder:
    """Make the encoder of a checkpoint and load its weights.

    Args:
        pretrained: from `read_pretrained`.
        options: fields of its config that shall differ, such as dropout rates.

    Raises:
        ValueError: weights are missing or have another shape than the config says.
    """
    if NUMBERS in pretrained.weights and not pretrained.config.numeric_tokens:
        raise ValueError(
            f"{pretrained.folder} has {NUMBERS}, the values of numbers that are added to tokens, but its {CONFIG} does not "
            "say to which (numeric_tokens): it was lost or changed; copy the folder again"
        )
    encoder: Encoder = pretrained.family.core(replace(pretrained.config, **options))
    report = load_weights(encoder, pretrained.weights)
    if report.missing:
        logger.debug("missing in {}: {}", pretrained.folder, ", ".join(report.missing))
        raise ValueError(
            f"{pretrained.folder} lacks {len(report.missing)} weights of a {pretrained.architecture} encoder: "
            f"{shorten(report.missing, most=5)}; the folder is incomplete or its config wrong"
        )
    return encoder


def report_unused(pretrained: Pretrained, unused: list[str]) -> None:
    """Warn of weights that belong to no known head; list all at debug level."""
    strange = [name for name in unused if not name.startswith(OTHER_HEADS)]
    if strange:
        logger.warning(
            "{} has weights that nothing uses: {}", pretrained.folder, shorten(strange, most=5)
        )
    logger.debug("{}: weights not used: {}", pretrained.folder, ", ".join(unused) or "none")


def load_with_head(
    pretrained: Pretrained, head_config: HeadConfig, **options: Any
) -> tuple[BertWithHead, LoadReport]:
    """Put a head on the encoder of a checkpoint, and load what the checkpoint has for it.

    A classifier with another number of labels is left aside; so is a transform that the head does not have.

    Args:
        pretrained: from `read_pretrained`.
        head_config: what is None in it follows the checkpoint.
        options: fields of the encoder's config that shall differ.
    """
    encoder = load_encoder(pretrained, **options)
    usual = encoder.config.head_options()
    head = create_head(complete_head(head_config, pretrained.family, usual, pretrained.pooling))
    prepare_for(head, _named_for_head(pretrained))
    head_report = load_weights(head, head_weights(head, pretrained))
    used = set(named_parameters(encoder))
    used |= {
        name
        for name in pretrained.weights
        if name.rpartition(".")[0] in _hub_modules(head, pretrained)
    }
    unused = [name for name in pretrained.weights if name not in used]
    report_unused(pretrained, unused)
    reshaped = _other_shapes(head, pretrained)
    model = BertWithHead(encoder, head, pretrained.folder)
    return model, LoadReport(head_report.missing, unused, reshaped)


def _other_shapes(head: BaseHead, pretrained: Pretrained) -> tuple[str, ...]:
    """What the checkpoint has for this head in another shape."""
    parameters, fitting = named_parameters(head), head_weights(head, pretrained)
    return tuple(
        f"{name} has shape {list(weight.shape)} there, {list(parameters[name].shape)} here"
        for name, weight in _named_for_head(pretrained).items()
        if name in parameters and name not in fitting
    )


def _hub_modules(head: BaseHead, pretrained: Pretrained) -> set[str]:
    """The modules of the checkpoint, by their Hugging Face names, that this head has loaded."""
    loaded = {name.rpartition(".")[0] for name in head_weights(head, pretrained)}
    names = pretrained.family.head_names
    hub = {ours: name.removeprefix(pretrained.family.prefix) for name, ours in names.items()}
    return {hub.get(module, module) for module in loaded}


def head_weights(head: BaseHead, pretrained: Pretrained) -> Weights:
    """The weights of a checkpoint that fit a head, under the head's names."""
    weights = _named_for_head(pretrained)
    if head.head_type == "binary":
        weights |= _log_odds(weights)
    return {
        name: weights[name]
        for name, parameter in named_parameters(head).items()
        if name in weights and weights[name].shape == parameter.shape
    }


def _named_for_head(pretrained: Pretrained) -> Weights:
    family = pretrained.family
    names = {hub.removeprefix(family.prefix): ours for hub, ours in family.head_names.items()}
    return rename(pretrained.weights, names)


def _log_odds(weights: Weights) -> Weights:
    """A classifier with two outputs as one with the difference: softmax of two is the sigmoid of their difference."""
    names = ("classifier.weight", "classifier.bias")
    return {
        name: weights[name][1:] - weights[name][:1]
        for name in names
        if name in weights and weights[name].shape[0] == 2
    }


def load_weights(module: nn.Module, weights: Weights) -> LoadReport:
    """Give a module's parameters their values by name.

    Raises:
        ValueError: a weight has another shape than its parameter; all of them are listed.
    """
    prepare_for(module, weights)
    parameters = named_parameters(module)
    shared = [name for name in parameters if name in weights]
    wrong = [
        f"{name} has shape {list(weights[name].shape)}, expected {list(parameters[name].shape)}"
        for name in shared
        if weights[name].shape != parameters[name].shape
    ]
    if wrong:
        raise ValueError(f"weights do not fit the config: {'; '.join(wrong)}")
    module.update(tree_unflatten([(name, weights[name]) for name in shared]))
    return LoadReport(
        missing=[name for name in parameters if name not in weights],
        unused=[name for name in weights if name not in parameters],
    )
