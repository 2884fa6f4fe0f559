"""train_wordpiece: an uncased WordPiece vocabulary of the training rows; read_vocabulary: that of a vocab.txt."""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from bert_playground.documents import read_json

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_TRAINING_TEXTS = 20_000  # more find the same words, in minutes
ALPHABET_SIZE = 400
LONGEST_WORD = 1000  # letters without a blank between them; the model takes 100 at most for a word
LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD}}}(?=\S)")


def train_wordpiece(texts: Iterable[str], vocab_size: int, cells: Sequence[str] = ()) -> Tokenizer:
    """Train an uncased WordPiece vocabulary (digits stand alone), deterministic in its input.

    Args:
        texts: of the training rows only; very many are thinned out evenly.
        vocab_size: most entries, cells included.
        cells: strings that are one token each wherever they occur.
    """
    texts = list(texts)
    texts = texts[:: max(1, -(-len(texts) // MAX_TRAINING_TEXTS))]
    # The trainer's time grows with the square of a word.
    texts = [LONG_WORD.sub(r"\g<0> ", text) if len(text) > LONGEST_WORD else text for text in texts]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.decoder = decoders.WordPiece()
    alphabet = _choose_alphabet(tokenizer.normalizer.normalize_str("\n".join(texts)))
    # The trainer numbers "##a" when it first meets one, in the random order of a hash map, and breaks ties by number;
    # given as special tokens they are numbered beforehand. The final model knows them as plain entries.
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(vocab_size - len(cells), 256),
        special_tokens=[*SPECIAL_TOKENS, *(f"##{letter}" for letter in alphabet)],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    trained = Tokenizer.from_str(tokenizer.to_str())
    trained.train_from_iterator(texts, trainer)
    tokenizer.model = models.WordPiece(trained.get_vocab(), unk_token="[UNK]")
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.add_tokens([AddedToken(cell, normalized=False) for cell in cells])
    tokenizer.post_processor = _surround(tokenizer)
    return tokenizer


def _choose_alphabet(text: str) -> list[str]:
    """Latin letters, digits, and the most frequent other characters of the text, sorted."""
    counts = Counter(text)
    frequent = sorted(counts, key=lambda letter: (-counts[letter], letter))[:ALPHABET_SIZE]
    return sorted(
        {*string.ascii_lowercase, *string.digits, *(c for c in frequent if not c.isspace())}
    )


def _surround(tokenizer: Tokenizer) -> processors.BertProcessing:
    vocabulary = tokenizer.get_vocab()
    return processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))


def read_vocabulary(folder: Path) -> Tokenizer:
    """The WordPiece tokenizer of a folder with vocab.txt, as BERT's own code reads it."""
    options_path = folder / "tokenizer_config.json"
    options = read_json(options_path) if options_path.exists() else {}
    tokenizer = Tokenizer(models.WordPiece.from_file(str(folder / "vocab.txt"), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=bool(options.get("do_lower_case", True))
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = _surround(tokenizer)
    return tokenizer
