"""grow_vocabulary: word vectors for tokens that were added to a checkpoint's tokenizer, and not to its encoder."""

from collections.abc import Mapping
from dataclasses import replace

import mlx.core as mx

from bert_playground.logger import logger
from bert_playground.lookup import shorten
from bert_playground.models.hub_files import PIPELINE
from bert_playground.models.huggingface import Pretrained

# What has a row for each word: the vectors, and the decoders of masked-language heads.
TABLES = (
    "embeddings.words.weight",
    "decoder.weight",
    "decoder.bias",
    "cls.predictions.bias",
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
)


def grow_vocabulary(
    pretrained: Pretrained,
    vocab_size: int,
    added_tokens: Mapping[int, str],
    *,
    is_frozen: bool = False,
) -> Pretrained:
    """The checkpoint with a row for each token of its tokenizer; new rows are the mean of the others.

    Args:
        pretrained: from `read_pretrained`.
        vocab_size: the largest id of the tokenizer + 1.
        added_tokens: those that were added to the tokenizer's own vocabulary, by id.
        is_frozen: whether the encoder's weights stay in their folder, as with adapters.

    Raises:
        ValueError: entries of the tokenizer's own vocabulary have no vectors, or the vectors cannot be changed.

    Reference: Hewitt 2021, Initializing new word embeddings for pretrained language models.
    """
    size, folder = pretrained.config.vocab_size, pretrained.folder
    beyond = range(size, vocab_size)
    if not beyond:
        return pretrained
    if (
        folder / PIPELINE
    ).is_file():  # written together with its tokenizer: these words had vectors
        added_tokens = {}
    listed = shorten([added_tokens[number] for number in beyond if number in added_tokens], 5)
    strange = [number for number in beyond if number not in added_tokens]
    if strange:
        also = f" (besides the added tokens {listed})" if listed else ""
        raise ValueError(
            f"the tokenizer has {vocab_size} entries, the encoder of {folder} has {size}, and {len(strange)} of those "
            f"without a vector were not added to it{also}: the two do not belong together; copy the tokenizer.json "
            "that came with these weights"
        )
    said = f"the tokenizer of {folder} has {len(beyond)} added tokens ({listed}) beyond the {size} of its encoder"
    words = pretrained.weights["embeddings.words.weight"]
    if is_frozen or not mx.issubdtype(words.dtype, mx.floating):
        why = "adapters leave the encoder as it is" if is_frozen else "its vectors are quantized"
        remedy = (
            "leave out --lora, or give them vectors first with `bert pretrain --model` and start from its checkpoint"
            if is_frozen
            else "start from the model as it was before"
        )
        raise ValueError(f"{said}, and {why}: {remedy}")
    logger.info("{}: they start from the mean of its vectors", said)
    tables = {
        name: _with_mean_rows(pretrained.weights[name], len(beyond))
        for name in TABLES
        if name in pretrained.weights and pretrained.weights[name].shape[0] == size
    }
    config = replace(pretrained.config, vocab_size=vocab_size)
    return replace(pretrained, config=config, weights=pretrained.weights | tables)


def _with_mean_rows(table: mx.array, count: int) -> mx.array:
    mean = table.mean(axis=0, keepdims=True)
    return mx.concatenate([table, *[mean] * count])
