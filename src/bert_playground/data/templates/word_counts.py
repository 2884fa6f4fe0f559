"""count_words, describe_words: how many words of free text are read whole, in pieces of the vocabulary, or as unknown."""

from collections import Counter
from collections.abc import Mapping

import polars as pl

from bert_playground.data.reading.table import as_text
from bert_playground.data.templates.derive import derive_columns
from bert_playground.data.templates.row_text import RowText

MAX_ROWS = 2000  # that are looked at


def count_words(text: RowText, frame: pl.DataFrame) -> dict[str, dict[str, int]]:
    """By column of free text: how many words are "whole", "in_pieces" and "unknown"."""
    tokenizer = text.tokenizer
    unknown = {*tokenizer.number_of(("[UNK]", "<unk>"))} - {None}
    columns = [feature for feature in text.features if feature.form == "text"]
    frame = derive_columns(as_text(frame.head(MAX_ROWS)), text.form, text.derived)
    found = {}
    for column in columns:
        cells = frame.select(column.read()).to_series().drop_nulls().to_list()
        counts = Counter(whole=0, in_pieces=0, unknown=0)
        for each in tokenizer.tokenizer.encode_batch(cells, add_special_tokens=False):
            pieces = Counter(each.word_ids)
            lost = {
                word for word, id_ in zip(each.word_ids, each.ids, strict=True) if id_ in unknown
            }
            in_pieces = sum(pieces[word] > 1 for word in pieces.keys() - lost)
            counts["unknown"] += len(lost)
            counts["in_pieces"] += in_pieces
            counts["whole"] += len(pieces) - in_pieces - len(lost)
        found[column.column] = dict(counts)
    return found


def describe_words(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A line for each column: "text: 87.0% of its words are whole entries of the vocabulary, 13.0% are read in pieces"."""
    said = []
    for column, found in counts.items():
        total = max(1, sum(found.values()))
        share = {name: f"{number / total:.1%}" for name, number in found.items()}
        unknown = f", {share['unknown']} are unknown" if found["unknown"] else ""
        said.append(
            f"{column}: {share['whole']} of its words are whole entries of the vocabulary, "
            f"{share['in_pieces']} are read in pieces{unknown}"
        )
    return said
