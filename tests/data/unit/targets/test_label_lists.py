"""Lists of labels come back as the training table writes them, also through a stored pipeline."""

import json

import numpy as np
import polars as pl
import pytest

from bert_playground.data.targets.fit import read_encoder
from bert_playground.data.targets.multilabel import LabelListEncoder


@pytest.mark.parametrize(
    "cells",
    [
        ["['blue', 'tall']", "['tall']", "[]", "['blue']"],
        ['["blue","tall"]', '["tall"]', "[]"],
        ["[blue, tall]", "[tall]", "[]"],
        ["['blue' 'tall']", "['tall']", "[]"],
        ["'blue';'tall'", "'tall'", ""],
        ["blue; tall", "tall", ""],
        ["blue;tall", "tall", ""],
        ["blue, tall", "tall", "blue"],
        ["blue | tall", "tall", ""],
        ["blue tall", "tall", "blue"],
        ["['a, b', 'c']", "['c']", "['a, b']"],
        ["['a; b', 'c']", "['c']", "[]"],
        ["""['pop', "rock'n'roll"]""", "['pop']", "[]"],
        ["pop;rock'n'roll", "pop", ""],
        ["[1, 2]", "[2]", "[]"],
    ],
)
def test_lists_keep_their_spelling(cells: list[str]) -> None:
    frame = pl.DataFrame({"tags": cells})
    encoder = LabelListEncoder.fit(frame)
    stored = read_encoder(json.loads(json.dumps(encoder.to_dict())))
    assert isinstance(stored, LabelListEncoder)
    assert (stored, stored.spelling) == (encoder, encoder.spelling)
    labels = stored.encode(frame)
    assert stored.decode(labels.astype(np.float64))["tags"].to_list() == cells


def test_an_empty_list_is_spelt_like_the_others_where_none_was_seen() -> None:
    none = np.zeros((1, 2))
    bracketed = LabelListEncoder.fit(pl.DataFrame({"tags": ["['a', 'b']", "['a']"]}))
    assert bracketed.decode(none)["tags"].to_list() == ["[]"]
    bare = LabelListEncoder.fit(pl.DataFrame({"tags": ["a;b", "a"]}))
    assert bare.decode(none)["tags"].to_list() == [""]


def test_a_later_table_may_spell_its_lists_otherwise() -> None:
    encoder = LabelListEncoder.fit(pl.DataFrame({"tags": ["['a', 'b']", "['a']"]}))
    later = pl.DataFrame({"tags": ["a, b", "[b]", '["a"]', None]})
    assert encoder.encode(later).tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]


def test_folders_of_earlier_versions_read_and_write_as_they_did() -> None:
    state = {"form": "list", "columns": ["tags"], "classes": ["blue", "tall"], "separator": ","}
    encoder = read_encoder({**state, "task": "multilabel"})
    assert encoder.encode(pl.DataFrame({"tags": ["['blue', 'tall']"]})).tolist() == [[1, 1]]
    written = encoder.decode(np.array([[1.0, 1.0], [0.0, 0.0]]))
    assert written["tags"].to_list() == ["blue,tall", ""]
