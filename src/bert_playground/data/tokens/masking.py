"""Masking: which tokens of masked language modelling are predicted, and what the model sees in their place."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from bert_playground.data.tokens.token_table import TokenizedTable
from bert_playground.data.tokens.tokenizer import TextTokenizer

MASK_NAMES = ("[MASK]", "<mask>")


@dataclass(frozen=True)
class Masking:
    """Which tokens are predicted, and what the model sees in their place.

    Devlin et al. 2018, arXiv 1810.04805 (80 % masks, 10 % random words, 10 % as they are); Wettig et al. 2023, arXiv
    2202.08005 (more than 15 % of the tokens).

    Attributes:
        mask_token_id: stands for a masked token.
        words: [W] ids that may be masked and may stand in at random: no special token is among them.
        probability: share of the tokens that are predicted.
        random_token_probability: share of these that a random token stands in for.
        unchanged_probability: share of these that the model sees as they are.
    """

    mask_token_id: int
    words: np.ndarray
    probability: float = 0.3
    random_token_probability: float = 0.1
    unchanged_probability: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise ValueError(
                f"the mask probability is {self.probability}, expected more than 0 and less than 1, such as 0.3"
            )
        random, unchanged = self.random_token_probability, self.unchanged_probability
        if min(random, unchanged) < 0 or random + unchanged > 1:
            raise ValueError(
                f"random_share {random} and keep_share {unchanged} are shares of the masked tokens: expected at least 0 "
                "each and at most 1 together"
            )

    @classmethod
    def of(cls, tokenizer: TextTokenizer, **options: float) -> Self:
        """The masking for a tokenizer.

        Args:
            tokenizer: tells the mask token and the special ones.
            options: probability, random_token_probability, unchanged_probability.

        Raises:
            ValueError: the tokenizer has no mask token, or an option is out of range.
        """
        ids = [tokenizer.tokenizer.token_to_id(name) for name in MASK_NAMES]
        mask_token_id = next((token_id for token_id in ids if token_id is not None), None)
        if mask_token_id is None:
            raise ValueError(
                f"the tokenizer has no mask token (looked for {' and '.join(MASK_NAMES)}), so tokens cannot be masked; "
                "take the tokenizer of a model that was pretrained by masking, or leave --model out to train one"
            )
        added = tokenizer.tokenizer.get_added_tokens_decoder()
        special = {token_id for token_id, token in added.items() if token.special}
        special |= {mask_token_id, tokenizer.pad_token_id, *tokenizer.prefix, *tokenizer.suffix}
        vocabulary = tokenizer.tokenizer.get_vocab(with_added_tokens=True)
        words = np.array(sorted(set(vocabulary.values()) - special), dtype=np.int32)
        return cls(mask_token_id, words, **options)

    def is_word(self, ids: np.ndarray) -> np.ndarray:
        """Which ids may be masked, bool like `ids`."""
        table = np.zeros(max(int(ids.max(initial=0)), int(self.words.max(initial=0))) + 1, bool)
        table[self.words] = True
        return np.asarray(table[ids])

    def mask(
        self, ids: np.ndarray, generator: np.random.Generator, *, few_counts: bool = False
    ) -> "MaskedTokens":
        """Choose tokens and mask them.

        Their number is the share of the tokens that `probability` says, at least one; the generator only decides which.

        Args:
            ids: [N], with at least one word among them.
            generator: decides which, and what stands in.
            few_counts: round the number to four binary digits, so that a compiled step sees few shapes.
        """
        candidates = np.flatnonzero(self.is_word(ids))
        count = round(self.probability * len(candidates))
        if few_counts:
            unit = 1 << max(0, count.bit_length() - 4)
            count = round(count / unit) * unit
        count = min(len(candidates), max(1, count))
        positions = np.sort(generator.choice(candidates, count, replace=False, shuffle=False))
        fate = generator.random(count)
        strangers = generator.choice(self.words, count)
        seen = np.where(fate < self.random_token_probability, strangers, self.mask_token_id)
        seen = np.where(fate >= 1 - self.unchanged_probability, ids[positions], seen)
        masked = ids.copy()
        masked[positions] = seen
        return MaskedTokens(masked, positions)


class MaskedTokens(NamedTuple):
    """Ids with tokens masked, and where."""

    ids: np.ndarray  # [N]
    positions: np.ndarray  # [M] in ids, ascending


def has_words(table: TokenizedTable, masking: Masking) -> np.ndarray:
    """Whether each row has a token that can be masked, bool [R]."""
    is_word = masking.is_word(table.ids)
    counts = np.concatenate([[0], np.cumsum(is_word)])
    return np.asarray(np.diff(counts[table.offsets]) > 0)
