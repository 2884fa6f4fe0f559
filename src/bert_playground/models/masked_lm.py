"""MaskedLM: an encoder that fills in masked words, read from and written to Hugging Face folders."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn

from bert_playground import kernels
from bert_playground.files import replaced_directory, save_arrays, write_text
from bert_playground.logger import logger
from bert_playground.lookup import look_up
from bert_playground.models.bert import Encoder
from bert_playground.models.bert.layers.feedforward import ACTIVATIONS, FUSED
from bert_playground.models.bert_with_head import ENCODERS, EncoderFamily
from bert_playground.models.hub_files import CONFIG, WEIGHTS
from bert_playground.models.huggingface import (
    LoadReport,
    Pretrained,
    load_encoder,
    load_weights,
    read_pretrained,
)
from bert_playground.models.tokenwise import (
    Embedding,
    Initializer,
    Linear,
    Norm,
    named_parameters,
    normal,
    truncated_normal,
    uniform,
)
from bert_playground.tokens import Tokens


class MaskedLMFamily(NamedTuple):
    """What the masked-language model of one architecture looks like, and what Hugging Face calls its parts."""

    model_class: str
    has_transform: bool  # dense, activation and norm before the decoder
    is_tied: bool  # the decoder is the table of word vectors
    names: Mapping[str, str]  # parameter of Hugging Face → parameter of our head


MASKED_LMS: dict[str, MaskedLMFamily] = {
    "bert": MaskedLMFamily(
        "BertForMaskedLM",
        has_transform=True,
        is_tied=True,
        names={
            "cls.predictions.transform.dense.weight": "dense.weight",
            "cls.predictions.transform.dense.bias": "dense.bias",
            "cls.predictions.transform.LayerNorm.weight": "norm.weight",
            "cls.predictions.transform.LayerNorm.bias": "norm.bias",
            "cls.predictions.decoder.weight": "decoder.weight",
            "cls.predictions.bias": "decoder.bias",
        },
    ),
    "modernbert": MaskedLMFamily(
        "ModernBertForMaskedLM",
        has_transform=True,
        is_tied=True,
        names={
            "head.dense.weight": "dense.weight",
            "head.dense.bias": "dense.bias",
            "head.norm.weight": "norm.weight",
            "head.norm.bias": "norm.bias",
            "decoder.weight": "decoder.weight",
            "decoder.bias": "decoder.bias",
        },
    ),
    "neobert": MaskedLMFamily(
        "NeoBERTLMHead",
        has_transform=False,
        is_tied=False,
        names={"decoder.weight": "decoder.weight", "decoder.bias": "decoder.bias"},
    ),
}


# A classic BERT that is not tied carries its bias twice, and this is the one that transformers adds.
UNTIED_TABLE, UNTIED_BIAS = "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"


class Decoder(nn.Module):
    """From a vector to a score per word: a table [V, H] of its own, or that of the embeddings, and a bias [V]."""

    def __init__(
        self, vocab_size: int, hidden_size: int, *, is_tied: bool, initialize: Initializer
    ) -> None:
        super().__init__()
        if not is_tied:
            self.weight = initialize((vocab_size, hidden_size))
        self.bias = mx.zeros(vocab_size)


class MaskedLMHead(nn.Module):
    """Scores of all V words for a token: norm(activation(dense x)) where the architecture has that, then the decoder."""

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        *,
        has_transform: bool,
        is_tied: bool,
        activation: str = "gelu",
        dense_bias: bool = True,
        norm_bias: bool = True,
        norm_eps: float = 1e-5,
        initialize: Initializer,
    ) -> None:
        super().__init__()
        self.has_transform = has_transform
        self.is_tied = is_tied
        if has_transform:
            self.dense = Linear(hidden_size, hidden_size, bias=dense_bias, initialize=initialize)
            self.norm = Norm(hidden_size, eps=norm_eps, bias=norm_bias)
        self.decoder = Decoder(vocab_size, hidden_size, is_tied=is_tied, initialize=initialize)
        self._activate = look_up(ACTIVATIONS, activation, "activation")
        self._fused = FUSED.get(activation)

    def __call__(self, vectors: mx.array, words: Embedding) -> mx.array:
        """Logits in f32 whatever the precision of the encoder: [..., H] to [..., V].

        Args:
            vectors: of the tokens whose words are asked for.
            words: the word vectors of the encoder, which a tied decoder shares.
        """
        if self.has_transform:
            dense = (
                self.dense(vectors, self._fused)
                if self._fused
                else self._activate(self.dense(vectors))
            )
            vectors = self.norm(dense)
        table = words.weight if self.is_tied else self.decoder.weight
        return kernels.linear(vectors.astype(mx.float32), table, self.decoder.bias)

    def loss(self, logits: mx.array, labels: mx.array) -> mx.array:
        """The mean of -log P(word), a scalar in f32.

        Args:
            logits: [M, V].
            labels: [M], ids of the words that stood there.
        """
        # With a vocabulary of 30,000 the logits are the largest thing in a step.
        return kernels.cross_entropy(logits, labels).mean()

    def predict(self, logits: mx.array) -> mx.array:
        """The likeliest word: [..., V] to ids [...]."""
        return mx.argmax(logits, axis=-1)


class MaskedLM(nn.Module):
    """An encoder and a head that says which word stands at a token; logits are computed only where they are asked for."""

    def __init__(self, encoder: Encoder, head: MaskedLMHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def __call__(self, tokens: Tokens) -> mx.array:
        """Logits [M, V] of the tokens in `tokens.masked_positions`; of all tokens, [B, T, V] or [N, V], where that is None."""
        hidden = self.encoder.encode(tokens)
        if tokens.masked_positions is not None:
            hidden = mx.take(hidden.reshape(-1, hidden.shape[-1]), tokens.masked_positions, axis=0)
        logits: mx.array = self.head(hidden, self.encoder.embeddings.words)
        return logits


def create_masked_lm(encoder: Encoder, values: Mapping[str, Any] | None = None) -> MaskedLM:
    """Put a masked-language head with random weights on an encoder.

    Args:
        encoder: of an architecture in MASKED_LMS.
        values: a config.json that may say more than the encoder's config: tie_word_embeddings, classifier_activation.
    """
    values, config = values or {}, encoder.config
    family = look_up(MASKED_LMS, config.model_type, "architecture with a masked-language head")
    options = {
        "bert": lambda: {
            "activation": config.hidden_act,
            "norm_eps": config.layer_norm_eps,
            "initialize": normal(config.initializer_range),
        },
        "modernbert": lambda: {
            "activation": values.get("classifier_activation", "gelu"),
            "dense_bias": config.classifier_bias,
            "norm_bias": config.norm_bias,
            "norm_eps": config.norm_eps,
            "initialize": truncated_normal(
                config.initializer_range / (2 * config.num_hidden_layers) ** 0.5,
                config.initializer_cutoff_factor,
            ),
        },
        "neobert": lambda: {"initialize": uniform(config.initializer_range)},
    }
    head = MaskedLMHead(
        config.vocab_size,
        encoder.hidden_size,
        has_transform=family.has_transform,
        is_tied=bool(values.get("tie_word_embeddings", family.is_tied)),
        **options[config.model_type](),
    )
    return MaskedLM(encoder, head)


def load_masked_lm(source: str | Path | Pretrained, **options: Any) -> tuple[MaskedLM, LoadReport]:
    """Read a checkpoint as a masked-language model, in evaluation mode.

    A head that the checkpoint lacks, as most fine-tuned ones do, starts from random weights, and that is said.

    Args:
        source: a Hub id, a local folder, or what `read_pretrained` made of it.
        options: fields of the encoder's config that shall differ, such as dropout rates.

    Raises:
        FileNotFoundError: no folder or no weights in it.
        ValueError: unknown architecture, impossible sizes, weights that do not fit, or a damaged file.
    """
    pretrained = source if isinstance(source, Pretrained) else read_pretrained(source)
    family = look_up(
        MASKED_LMS, pretrained.architecture, "architecture with a masked-language head"
    )
    model = create_masked_lm(load_encoder(pretrained, **options), pretrained.values)
    found = {
        ours: pretrained.weights[theirs]
        for theirs, ours in family.names.items()
        if theirs in pretrained.weights
    }
    if not model.head.is_tied and UNTIED_BIAS in pretrained.weights:
        found["decoder.bias"] = pretrained.weights[UNTIED_BIAS]
    wanted = named_parameters(model.head)
    report = load_weights(model.head, {name: found[name] for name in wanted if name in found})
    if report.missing:
        logger.info(
            "{} has no trained head for masked words: {} of it start from random weights",
            pretrained.folder,
            "all parts" if len(report.missing) == len(wanted) else ", ".join(report.missing),
        )
    model.eval()
    return model, report


def save_masked_lm(model: MaskedLM, directory: str | Path, **options: Any) -> None:
    """Write `config.json` and `model.safetensors` so that AutoModelForMaskedLM, and `load_masked_lm`, read the folder.

    A new folder appears complete or not at all; in a folder that exists, each file is replaced in one move.

    Args:
        model: what to save.
        directory: the folder.
        options: fields of the encoder's config that shall differ in the file, such as dropout rates for the task.
    """
    directory, config = Path(directory), masked_lm_config(model) | options
    if directory.is_dir():
        _write_into(directory, model, config)
    else:
        with replaced_directory(directory) as temporary:
            _write_into(temporary, model, config)


def _write_into(directory: Path, model: MaskedLM, config: Mapping[str, Any]) -> None:
    save_arrays(directory / WEIGHTS, masked_lm_weights(model), {"format": "pt"})
    write_text(directory / CONFIG, json.dumps(config, indent=2) + "\n")


def masked_lm_weights(model: MaskedLM) -> dict[str, mx.array]:
    """All weights in f32 under Hugging Face names."""
    name = model.encoder.config.model_type
    family: EncoderFamily = ENCODERS[name]
    encoder = family.core.unsanitize(named_parameters(model.encoder), model.encoder.config)
    hub = {ours: theirs for theirs, ours in MASKED_LMS[name].names.items()}
    weights = {family.prefix + name: weight for name, weight in encoder.items()}
    weights |= {hub[ours]: weight for ours, weight in named_parameters(model.head).items()}
    if UNTIED_TABLE in weights:
        weights[UNTIED_BIAS] = weights["cls.predictions.bias"]
    return {name: weight.astype(mx.float32) for name, weight in weights.items()}


def masked_lm_config(model: MaskedLM) -> dict[str, Any]:
    """The Hugging Face config.json of a model."""
    values = model.encoder.config.to_dict()
    return {
        "architectures": [MASKED_LMS[model.encoder.config.model_type].model_class],
        **values,
        "tie_word_embeddings": model.head.is_tied,
    }
