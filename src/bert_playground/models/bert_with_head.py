"""BertWithHead: encoder + head; ENCODERS: name → config, core, Hugging Face names."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn

from bert_playground.models.bert import (
    BertConfig,
    BertCore,
    Encoder,
    ModernBertConfig,
    ModernBertCore,
    NeoBertConfig,
    NeoBertCore,
)
from bert_playground.models.heads import BaseHead, HeadConfig
from bert_playground.models.heads.base import as_array
from bert_playground.tokens import Tokens


class EncoderFamily(NamedTuple):
    """One architecture, and what Hugging Face calls its parts.

    A new one is a config, a core and a line in ENCODERS.
    """

    config: Any  # the class; has from_dict
    core: Any  # the class; has sanitize and unsanitize
    prefix: str  # of encoder weights in a model with a head
    model_class: str
    classification_class: str
    transform: str  # the head transform that classification_class has
    poolings: tuple[str, ...]  # those that classification_class can do
    head_names: Mapping[str, str]  # module of Hugging Face → module of our head
    signature: str  # a weight name that no other architecture has


ENCODERS: dict[str, EncoderFamily] = {
    "bert": EncoderFamily(
        BertConfig,
        BertCore,
        prefix="bert.",
        model_class="BertModel",
        classification_class="BertForSequenceClassification",
        transform="tanh",
        poolings=("cls",),
        head_names={"bert.pooler.dense": "dense", "classifier": "classifier"},
        signature="encoder.layer.0.attention.self.query.weight",
    ),
    "modernbert": EncoderFamily(
        ModernBertConfig,
        ModernBertCore,
        prefix="model.",
        model_class="ModernBertModel",
        classification_class="ModernBertForSequenceClassification",
        transform="gelu_norm",
        poolings=("cls", "mean"),
        head_names={"head.dense": "dense", "head.norm": "norm", "classifier": "classifier"},
        signature="layers.0.attn.Wqkv.weight",
    ),
    "neobert": EncoderFamily(
        NeoBertConfig,
        NeoBertCore,
        prefix="model.",
        model_class="NeoBERT",
        classification_class="NeoBERTForSequenceClassification",
        transform="dropout_tanh",
        poolings=("cls",),
        head_names={"dense": "dense", "classifier": "classifier"},
        signature="transformer_encoder.0.qkv.weight",
    ),
}


def complete_head(
    config: HeadConfig,
    family: EncoderFamily,
    usual: Mapping[str, Any],
    pooling: str | None = None,
) -> HeadConfig:
    """The head config with all that it leaves open filled in.

    Args:
        config: what was asked.
        family: of the encoder.
        usual: which head the encoder usually has, from its config's `head_options`.
        pooling: what the checkpoint was trained with, when that is not the encoder's usual one.
    """
    if config.pooling is None and pooling is not None:
        config = replace(config, pooling=pooling, transform=config.transform or "none")
    # A pooler was only ever trained on top of the pooling that its model class has.
    if config.transform is None and config.pooling not in (None, *family.poolings):
        config = replace(config, transform="none")
    return config.on(usual)


class BertWithHead(nn.Module):
    """The model: what the trainer trains and the predictor asks."""

    def __init__(
        self, encoder: Encoder, head: BaseHead, pretrained_dir: Path | None = None
    ) -> None:
        super().__init__()
        if encoder.hidden_size != head.config.hidden_size:
            raise ValueError(
                f"the head expects vectors of {head.config.hidden_size}, "
                f"the encoder makes vectors of {encoder.hidden_size}"
            )
        self.encoder = encoder
        self.head = head
        # Where the tokenizer lies that the encoder was pretrained with; None: its weights were random.
        self.pretrained_dir = pretrained_dir

    @property
    def num_numbers(self) -> int:
        """How many numbers of each row are read, be it in the tokens of their cells or beside the text."""
        return self.encoder.num_numbers or self.head.config.num_numbers

    def left_to_head(self, tokens: Tokens) -> Tokens:
        """What the head shall see: numbers only where they do not stand in the tokens of their cells already."""
        return tokens._replace(numbers=None) if self.encoder.num_numbers else tokens

    def __call__(
        self,
        tokens: Tokens | mx.array,
        attention_mask: mx.array | None = None,
        token_type_ids: mx.array | None = None,
    ) -> mx.array:
        """The head's logits for B rows: [B], or [B, L] for L classes.

        Args:
            tokens: of a loader's batch; or plain input_ids [B, T], with the two arrays that belong to them.
            attention_mask: [B, T], 1 or true on real tokens; None: all are real.
            token_type_ids: [B, T]; None: all 0. Only classic BERT looks at them.

        Raises:
            ValueError: shapes or types that do not fit, ids that are no entry of the vocabulary, or rows that are too
                long.
        """
        if isinstance(tokens, Tokens):
            return self.head(self.encoder.encode(tokens), self.left_to_head(tokens))
        arrays = [as_array(array) for array in (tokens, attention_mask, token_type_ids)]
        hidden = self.encoder(*arrays)
        return self.head(hidden, arrays[1])
