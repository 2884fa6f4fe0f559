"""BertConfig: the shape of a classic BERT."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class BertConfig:
    """Sizes and rates under their Hugging Face names; the defaults are those of bert-base-uncased."""

    model_type = "bert"

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

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.position_embedding_type != "absolute":
            raise ValueError(
                f"position_embedding_type is {self.position_embedding_type!r}; only 'absolute' is implemented"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a Hugging Face config.json; keys that say nothing about the shape are ignored."""
        known = {field.name for field in fields(cls)}
        given = {key: value for key, value in values.items() if key in known}
        if given.get("pad_token_id") is None:
            given.pop("pad_token_id", None)
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """The same as a Hugging Face config.json."""
        return {"model_type": self.model_type, **asdict(self)}

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


def check_sizes(config: Any) -> None:
    """Refuse sizes no encoder can have, all at once.

    Raises:
        ValueError: a size below 1, a rate outside [0, 1), or heads that do not divide the width.
    """
    names = [field.name for field in fields(config)]
    sizes = {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"}
    sizes |= {"vocab_size", "max_position_embeddings", "type_vocab_size"}
    wrong = [
        f"{name} is {getattr(config, name)}, expected at least 1"
        for name in names
        if name in sizes and getattr(config, name) < 1
    ]
    wrong += [
        f"{name} is {getattr(config, name)}, expected a probability below 1"
        for name in names
        if "dropout" in name and not 0 <= (getattr(config, name) or 0) < 1
    ]
    if not wrong and config.hidden_size % config.num_attention_heads:
        wrong = [
            f"hidden_size {config.hidden_size} is not a multiple of "
            f"num_attention_heads {config.num_attention_heads}"
        ]
    if wrong:
        raise ValueError(f"impossible {config.model_type} config: {'; '.join(wrong)}")
