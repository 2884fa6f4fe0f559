"""trim_tokenizer: a tokenizer with the entries that tables use; text of these entries is read exactly as before."""

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.tokens.tokenizer import TextTokenizer

Array = np.ndarray[Any, Any]
ASCII = frozenset(map(chr, range(33, 127)))


class Trimmed(NamedTuple):
    """A pipeline with a smaller vocabulary.

    Attributes:
        pipeline: reads rows by it.
        kept: [V] old ids, ascending; the new id of each is its place.
        statement: what was kept, and how text beyond it is read.
    """

    pipeline: TextPipeline
    kept: Array
    statement: str


def trim_vocabulary(pipeline: TextPipeline, frames: Sequence[pl.DataFrame]) -> Trimmed:
    """Keep the entries that the rows of these tables use, special tokens, and the letters of all that is kept.

    WordPiece takes the longest entry that fits, BPE its merges in their order: neither can choose otherwise when entries
    that it did not choose are gone. Both is checked on all rows.

    Raises:
        ValueError: a tokenizer of another kind, or one that reads some row otherwise afterwards.
    """
    tables = [pipeline.encode(frame) for frame in frames]
    used = np.unique(np.concatenate([table.ids for table in tables]))
    tokenizer = pipeline.tokenizer
    needed = {*used.tolist(), *tokenizer.prefix, *tokenizer.suffix, tokenizer.pad_token_id}
    for start, end in pipeline.number_tokens:
        needed |= set(range(start, end))  # ranges of neighbours stay so
    document, kept = trim_tokenizer(json.loads(tokenizer.to_json()), needed)
    smaller = TextTokenizer.wrap(Tokenizer.from_str(json.dumps(document)))
    place = {int(old): new for new, old in enumerate(kept)}
    trimmed = replace(
        pipeline,
        tokenizer=smaller,
        number_tokens=tuple(
            (place[start], place[end - 1] + 1) for start, end in pipeline.number_tokens
        ),
    )
    for frame, table in zip(frames, tables, strict=True):
        if not np.array_equal(kept[trimmed.encode(frame).ids], table.ids):
            raise ValueError(
                f"the tokenizer {pipeline.tokenizer_name!r} reads some rows otherwise with fewer entries; leave its "
                "vocabulary as it is with --keep-vocabulary"
            )
    return Trimmed(trimmed, kept, _describe(document, len(used), len(kept), tokenizer.vocab_size))


def _describe(document: dict[str, Any], used: int, kept: int, total: int) -> str:
    beyond = "smaller pieces"
    if document["model"]["type"] == "WordPiece":
        unknown = document["model"]["unk_token"]
        beyond += f", and as {unknown} where they hold letters that no kept entry has"
    return (
        f"vocabulary: {kept} of {total} entries, {used} of which the tables use; other words are "
        f"read in {beyond}"
    )


def trim_tokenizer(document: dict[str, Any], needed: Iterable[int]) -> tuple[dict[str, Any], Array]:
    """A tokenizer.json with fewer entries, and the old ids that it keeps, ascending.

    Args:
        document: of WordPiece or byte-level BPE; it is not changed.
        needed: ids that must stay; added tokens and single letters stay too.

    Raises:
        ValueError: another kind of model.
    """
    document = deepcopy(document)
    model = document["model"]
    trim = TRIMMERS.get(model["type"])
    if trim is None or model.get("end_of_word_suffix"):
        raise ValueError(
            f"the vocabulary of a {model['type']} tokenizer cannot be trimmed, only that of "
            f"{' or '.join(TRIMMERS)}; leave it as it is with --keep-vocabulary"
        )
    added = {token["id"] for token in document["added_tokens"]}
    names = {number: name for name, number in model["vocab"].items()}
    entries = {names[number] for number in needed if number in names}
    entries |= {names[number] for number in added if number in names}
    if model.get("unk_token") in model["vocab"]:
        entries.add(model["unk_token"])
    entries = trim(model, entries)
    kept = np.array(sorted({model["vocab"][name] for name in entries} | added), dtype=np.int64)
    place = {int(old): new for new, old in enumerate(kept)}
    model["vocab"] = {
        name: place[number]
        for name, number in sorted(model["vocab"].items(), key=lambda item: item[1])
        if name in entries
    }
    for token in document["added_tokens"]:
        token["id"] = place[token["id"]]
    if document.get("post_processor"):
        _renumber(document["post_processor"], place)
    if document.get("padding"):
        document["padding"]["pad_id"] = place[document["padding"]["pad_id"]]
    return document, kept


def _renumber(processor: dict[str, Any], place: dict[int, int]) -> None:
    """The ids of special tokens that a post-processor puts around rows."""
    for inner in processor.get("processors", ()):
        _renumber(inner, place)
    for key in ("sep", "cls"):
        if key in processor:
            name, number = processor[key]
            processor[key] = [name, place[number]]
    special = processor.get("special_tokens")
    for token in special.values() if isinstance(special, dict) else ():
        token["ids"] = [place[number] for number in token["ids"]]


def _trim_wordpiece(model: dict[str, Any], entries: set[str]) -> set[str]:
    """With each letter of the kept entries and of ASCII, so that words which are not kept are spelled."""
    prefix = model["continuing_subword_prefix"]
    letters = set().union(ASCII, *(entry.removeprefix(prefix) for entry in entries))
    alphabet = letters | {prefix + letter for letter in letters}
    kept: set[str] = entries | (alphabet & model["vocab"].keys())
    return kept


def _trim_bpe(model: dict[str, Any], entries: set[str]) -> set[str]:
    """With all single letters (of bytes), and the merges that make the kept entries, whose order stays."""
    if model.get("continuing_subword_prefix"):
        raise ValueError(
            "the vocabulary of a BPE tokenizer with a prefix of subwords cannot be trimmed; leave it as it is with "
            "--keep-vocabulary"
        )
    pairs = [
        tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge)
        for merge in model["merges"]
    ]
    rank = {pair: number for number, pair in enumerate(pairs)}
    needed: set[int] = set()
    for entry in entries:
        needed |= _merges_of(entry, rank)
    model["merges"] = [merge for number, merge in enumerate(model["merges"]) if number in needed]
    made = {part for number in needed for part in (*pairs[number], "".join(pairs[number]))}
    letters = {entry for entry in model["vocab"] if len(entry) == 1}
    return entries | made | letters


def _merges_of(entry: str, rank: dict[tuple[str, ...], int]) -> set[int]:
    """Which merges are applied to the letters of an entry, by their numbers."""
    parts, applied = list(entry), set()
    while len(parts) > 1:
        ranks = [rank.get(pair, len(rank)) for pair in itertools.pairwise(parts)]
        best = min(ranks)
        if best == len(rank):
            break
        place = ranks.index(best)
        parts[place : place + 2] = ["".join(parts[place : place + 2])]
        applied.add(best)
    return applied


TRIMMERS: dict[str, Callable[[dict[str, Any], set[str]], set[str]]] = {
    "WordPiece": _trim_wordpiece,
    "BPE": _trim_bpe,
}
