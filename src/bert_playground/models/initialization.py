"""scale_layers: random weights of the layers by the width of the encoder; add_to_words: word vectors that know something."""

import mlx.core as mx
import numpy as np

from bert_playground.models.bert import Encoder
from bert_playground.models.tokenwise import named_parameters


def scale_layers(encoder: Encoder) -> None:
    """Multiply the matrices of the layers so that `initializer_range` means 1 / sqrt(hidden size) for them.

    The usual 0.02 belongs to 768 values. At 64 a layer that begins with it attends to all tokens alike and adds a
    fortieth of what it is given, and a short training leaves it so: swapping AdamW for Muon on these matrices then
    changed the log loss on the Titanic by less than 0.001. Embeddings keep the usual: a norm follows them, so a larger
    deviation would only slow their learning (docs/log.md).
    """
    factor = encoder.hidden_size**-0.5 / encoder.config.initializer_range
    scaled = {
        name: weight * factor
        for name, weight in named_parameters(encoder).items()
        if name.startswith("layers.") and weight.ndim == 2
    }
    encoder.load_weights(list(scaled.items()), strict=False)


def add_to_words(encoder: Encoder, vectors: np.ndarray) -> None:
    """Add vectors to the random ones of the words, as large as these.

    Args:
        encoder: with random weights.
        vectors: [V, H] whose squares have the mean 1, or zeros.
    """
    words = encoder.embeddings.words
    words.weight = words.weight + encoder.config.initializer_range * mx.array(vectors)
