"""BertConfig: the shape of a classic BERT."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from bert_playground.lookup import look_up
from bert_playground.models.bert.layers.feedforward import ACTIVATIONS

# Keys of config.json that change what an encoder computes, with the only value that ours have.
BIDIRECTIONAL = {
    "is_decoder": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "is_causal": False,
}
FIXED: dict[str, Any] = {
    **BIDIRECTIONAL,
    "pruned_heads": {},
    "alibi_starting_size": None,
}


@dataclass(frozen=True)
class BertConfig:
    """Sizes and rates under their Hugging Face names; the defaults are those of bert-base-uncased."""

    model_type = "bert"
    # In the config.json of an encoder that the published code would read, and compute otherwise.
    own_model_type = "bert_playground_bert"

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    classifier_dropout: float | None = None
    position_embedding_type: str = "absolute"
    numeric_tokens: tuple[tuple[int, int], ...] = ()
    num_ramps: int = 32
    head_dim: int | None = (
        None  # of an encoder that lost heads; None: hidden_size / num_attention_heads
    )

    def __post_init__(self) -> None:
        check_sizes(self)
        check_token_ids(self, ("pad_token_id",))
        check_numeric_tokens(self)
        look_up(ACTIVATIONS, self.hidden_act, "activation")
        if self.position_embedding_type != "absolute":
            raise ValueError(
                f"position_embedding_type is {self.position_embedding_type!r}; only 'absolute' is implemented"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a Hugging Face config.json; keys that say nothing about the shape are ignored.

        Raises:
            ValueError: impossible sizes, or a computation that is not implemented.
        """
        check_fixed(values, FIXED, cls.model_type)
        known = {field.name for field in fields(cls)}
        given = {key: value for key, value in values.items() if key in known}
        if given.get("pad_token_id") is None:
            given.pop("pad_token_id", None)
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """The same as a Hugging Face config.json."""
        is_published = not self.numeric_tokens and self.head_dim is None
        values = {"model_type": self.model_type if is_published else self.own_model_type}
        return without_unused(values | asdict(self))

    def head_options(self) -> dict[str, Any]:
        """What a head on this encoder is like when nothing else is asked: HF's pooler and classifier."""
        dropout = self.classifier_dropout
        return {
            "hidden_size": self.hidden_size,
            "pooling": "cls",
            "transform": "tanh",
            "hidden_dropout_prob": self.hidden_dropout_prob if dropout is None else dropout,
            "dense_std": self.initializer_range,
            "classifier_std": self.initializer_range,
        }


# Beyond these no encoder of today is; a table of rotary angles is made for every position.
# Their defaults are those of the published size; of other sizes they may be unknown.
MAY_BE_NULL = (
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "cls_token_id",
    "sep_token_id",
    "local_rope_theta",
)
MOST_RAMPS = 2**12
LARGEST = {
    "hidden_size": 2**16,
    "intermediate_size": 2**18,
    "feed_forward_size": 2**18,
    "num_hidden_layers": 2**10,
    "num_attention_heads": 2**12,
    "head_dim": 2**12,
    "vocab_size": 2**24,
    "max_position_embeddings": 2**17,
    "type_vocab_size": 2**16,
    "global_attn_every_n_layers": 2**10,
    "local_attention": 2**30,
}


def check_sizes(config: Any, *, is_rotary: bool = False) -> None:
    """Refuse sizes no encoder can have, all at once.

    Args:
        config: one of the dataclasses.
        is_rotary: whether queries and keys are rotated.

    Raises:
        ValueError: a size below 1, beyond `LARGEST` or not whole, a rate outside [0, 1), an eps or theta of 0, heads that do not divide the width, or an odd head to rotate.
    """
    wrong = []
    for field in fields(config):
        name, value = field.name, getattr(config, field.name)
        if value is None:
            if field.default is not None and name not in MAY_BE_NULL:
                wrong.append(f"{name} is null, expected a value such as {field.default!r}")
            continue
        most = LARGEST.get(name)
        if most and not (isinstance(value, int) and 1 <= value <= most):
            wrong.append(f"{name} is {value!r:.40}, expected a whole number from 1 to {most:,}")
        if "dropout" in name and not 0 <= value < 1:
            wrong.append(f"{name} is {value!r}, expected a probability below 1")
        if name.endswith(("_eps", "rope_theta")) and not value > 0:
            wrong.append(f"{name} is {value!r}, expected more than 0")
    wrong = wrong or _check_heads(config, is_rotary)
    if wrong:
        raise ValueError(f"impossible {config.model_type} config: {'; '.join(wrong)}")
    if config.head_dim is not None and config.head_dim * config.num_attention_heads == (
        config.hidden_size
    ):
        object.__setattr__(config, "head_dim", None)  # what published files mean anyway


def _check_heads(config: Any, is_rotary: bool) -> list[str]:
    if config.head_dim is None and config.hidden_size % config.num_attention_heads:
        return [
            f"hidden_size {config.hidden_size} is not a multiple of "
            f"num_attention_heads {config.num_attention_heads}"
        ]
    if is_rotary and head_size_of(config) % 2:
        return [
            f"a head has {head_size_of(config)} dimensions "
            "(hidden_size / num_attention_heads), expected an even number to rotate in pairs"
        ]
    return []


def head_size_of(config: Any) -> int:
    """D, the dimensions of an attention head."""
    return int(config.head_dim or config.hidden_size // config.num_attention_heads)


def check_fixed(values: Mapping[str, Any], fixed: Mapping[str, Any], model_type: str) -> None:
    """Refuse a config.json that asks for another computation than the only one that is implemented.

    Args:
        values: of config.json; null says nothing.
        fixed: key → the only value, see FIXED.
        model_type: for the message.

    Raises:
        ValueError: all keys with another value are listed.
    """
    strange = [
        f"{key} is {values[key]!r}, expected {expected!r}"
        for key, expected in fixed.items()
        if values.get(key) is not None and str(values[key]).lower() != str(expected).lower()
    ]
    if strange:
        raise ValueError(
            f"this {model_type} computes what is not implemented here: {'; '.join(strange)}; only the published "
            "encoder is, and the same weights would answer otherwise"
        )


def check_token_ids(config: Any, names: Iterable[str]) -> None:
    """Refuse special tokens that are no entries of the vocabulary, all at once.

    Raises:
        ValueError: an id below 0, or not below vocab_size; None is allowed.
    """
    ids = {name: getattr(config, name) for name in names}
    wrong = [
        f"{name} is {token_id}"
        for name, token_id in ids.items()
        if token_id is not None and not 0 <= token_id < config.vocab_size
    ]
    if wrong:
        raise ValueError(
            f"impossible {config.model_type} config: {'; '.join(wrong)}, but the vocabulary has "
            f"entries 0 to {config.vocab_size - 1}"
        )


def check_numeric_tokens(config: Any) -> None:
    """Read the ranges of tokens whose numbers are added to them, see `NumericEmbedding`, and refuse impossible ones.

    Raises:
        ValueError: no pairs of rising ids below vocab_size that do not overlap, or no ramps.
    """
    try:
        ranges = tuple((int(start), int(end)) for start, end in config.numeric_tokens or ())
    except (TypeError, ValueError):
        ranges = ((0, 0),)
    ends = sorted(ranges)
    is_rising = all(start < end for start, end in ends)
    is_apart = all(a[1] <= b[0] for a, b in itertools.pairwise(ends))
    if not (is_rising and is_apart and all(a >= 0 and b <= config.vocab_size for a, b in ends)):
        raise ValueError(
            f"impossible {config.model_type} config: numeric_tokens is {config.numeric_tokens!r}, expected pairs "
            f"[first id, last id + 1] that do not overlap, of a vocabulary of {config.vocab_size}"
        )
    if not (isinstance(config.num_ramps, int) and 1 <= config.num_ramps <= MOST_RAMPS):
        raise ValueError(
            f"impossible {config.model_type} config: num_ramps is {config.num_ramps!r:.40}, expected a whole number from 1 "
            f"to {MOST_RAMPS}"
        )
    object.__setattr__(config, "numeric_tokens", ranges)


def without_unused(values: dict[str, Any]) -> dict[str, Any]:
    """The same without the fields that published files lack, where they say nothing: numbers, and lost heads."""
    unused = () if values["numeric_tokens"] else ("numeric_tokens", "num_ramps")
    if values["head_dim"] is None:
        unused = (*unused, "head_dim")
    return {key: value for key, value in values.items() if key not in unused}


def check_rope(values: Mapping[str, Any]) -> None:
    """Refuse a config.json whose rotary angles are computed in a way that is not implemented.

    Args:
        values: transformers 4 writes `rope_scaling`; transformers 5 `rope_parameters`, one for all layers or one per
            kind of layer.

    Raises:
        ValueError: a type other than "default", or angles for a part of each head alone.
    """
    parameters = values.get("rope_parameters") or {}
    sections = {"rope_scaling": values.get("rope_scaling"), "rope_parameters": parameters}
    sections |= {f"rope_parameters[{kind!r}]": section for kind, section in parameters.items()}
    strange = []
    for where, section in sections.items():
        if not isinstance(section, Mapping):
            continue
        rope_type = section.get("rope_type") or section.get("type") or "default"
        if rope_type != "default":
            strange.append(f"{where} has rope_type {rope_type!r}; only 'default' is implemented")
        if section.get("partial_rotary_factor", 1) != 1:
            factor = section["partial_rotary_factor"]
            strange.append(f"{where} has partial_rotary_factor {factor}; only 1 is implemented")
    if strange:
        raise ValueError("; ".join(strange))
