"""Token ids kept between runs, in safetensors files."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from bert_playground.data.columns.dictionary_encoding import DictionaryColumn
from bert_playground.data.tokens.token_table import TokenizedTable
from bert_playground.data.tokens.tokenizer import TextTokenizer
from bert_playground.files import write_bytes
from bert_playground.logger import logger


def encode_cached(
    tokenizer: TextTokenizer,
    columns: Sequence[DictionaryColumn],
    max_length: int,
    *,
    separated: bool = False,
    cache_dir: Path,
    model_name: str,
    split: str,
) -> TokenizedTable:
    """`encode_rows` through `{cache_dir}/{dataset_hash}_{model_name}_{split}.safetensors`.

    The hash covers all that decides the ids: the text of every piece, the tokenizer and the length. A damaged file
    is written anew.
    """
    name = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in model_name)
    path = (
        cache_dir
        / f"{_hash_inputs(tokenizer, columns, max_length, separated)}_{name}_{split}.safetensors"
    )
    cached = _read_cache(path, len(columns[0].indices), tokenizer.vocab_size)
    if cached is not None:
        logger.debug(f"token ids read from {path}")
        return cached
    rows = tokenizer.encode_rows(columns, max_length, separated=separated)
    try:
        write_bytes(path, save({"ids": rows.ids, "offsets": rows.offsets}))
    except OSError as error:
        error.add_note(
            "token ids are kept there: change data.cache_dir, or leave data.use_pretokenized out"
        )
        raise
    logger.debug(f"token ids written to {path}")
    return rows


def _hash_inputs(
    tokenizer: TextTokenizer, columns: Sequence[DictionaryColumn], max_length: int, separated: bool
) -> str:
    decides = f"{max_length}\0{separated}\0{tokenizer.to_json()}"
    digest = hashlib.blake2b(decides.encode(), digest_size=12)
    for cells, codes in columns:
        buffer = io.BytesIO()
        cells.to_frame().rechunk().write_ipc(buffer)
        digest.update(buffer.getbuffer())
        digest.update(codes.tobytes())
    return digest.hexdigest()


def _are_ids(rows: TokenizedTable, vocab_size: int) -> bool:
    """Whether all ids are entries of the vocabulary, and offsets rise from 0."""
    ids, offsets = rows.ids, rows.offsets
    if ids.dtype != np.int32 or offsets.dtype != np.int64 or ids.ndim != 1 or offsets.ndim != 1:
        return False
    is_known = len(ids) == 0 or (ids.min() >= 0 and ids.max() < vocab_size)
    is_rising = len(offsets) > 0 and offsets[0] == 0 and bool((np.diff(offsets) >= 0).all())
    return bool(is_known and is_rising)


def _read_cache(path: Path, num_rows: int, vocab_size: int) -> TokenizedTable | None:
    if not path.exists():
        return None
    try:
        arrays = load_file(path)
        rows = TokenizedTable(arrays["ids"], arrays["offsets"])
    except (SafetensorError, OSError, KeyError) as error:
        logger.warning(f"{path} is damaged and will be written anew: {error}")
        return None
    if not _are_ids(rows, vocab_size):
        logger.warning(f"{path} holds what are no token ids and will be written anew")
        return None
    if len(rows.offsets) != num_rows + 1 or rows.offsets[-1] != len(rows.ids):
        logger.warning(f"{path} does not have {num_rows} rows and will be written anew")
        return None
    return rows
