"""TextOptions: how a row shall become text, as far as the user decides it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl


@dataclass(frozen=True)
class TextOptions:
    """How a row shall become text and numbers; the fields are those of the configuration's section `data`.

    Attributes:
        template: a name in TEMPLATES, or "auto".
        template_options: other values for fields of the template.
        text_columns: kept word by word, whatever inference says.
        drop_columns: that are not read.
        kinds: column → kind or date format, where inference is wrong.
        text_pair: two text columns that are read as a pair, and nothing else is; (): none.
        max_length: most tokens of a row.
        numeric_features: "off", "auto", or the columns whose values are read as numbers too; None: in the tokens of their
            cells where each cell is one token, else none.
        derive: "auto": parts of codes, and what else the cells of a row tell together; or "off".
        column_order: "auto", "table" or "importance".
        num_workers: threads that tokenise; None: all cores.
        test_rows: of the table to predict, where it is known: whether groups of training rows reach into it.
    """

    template: str = "auto"
    template_options: Mapping[str, Any] = field(default_factory=dict)
    text_columns: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    text_pair: tuple[str, ...] = ()
    max_length: int = 256
    numeric_features: str | tuple[str, ...] | None = None
    derive: str = "auto"
    column_order: str = "auto"
    num_workers: int | None = None
    test_rows: pl.DataFrame | None = field(default=None, compare=False, repr=False)
