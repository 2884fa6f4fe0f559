"""RowText: how a row becomes tokens, whatever is asked about it: what pretraining and training share."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground.data.columns.derived_columns import (
    DerivedColumn,
    of_training_rows,
    read_derived,
)
from bert_playground.data.columns.dictionary_encoding import DictionaryColumn, join_cells
from bert_playground.data.reading.table import as_text, require_columns
from bert_playground.data.templates.derive import derive_columns, keep_derived, source_columns
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.fit_columns import Choose, fit_columns
from bert_playground.data.templates.numeric_features import (
    Numbers,
    TokenRanges,
    encode_numeric,
    read_numbers,
    read_token_ranges,
)
from bert_playground.data.templates.options import TextOptions
from bert_playground.data.templates.row_document import ROW_TEXT
from bert_playground.data.templates.row_tokenizer import (
    find_tokenizer_folder,
    make_tokenizer,
    set_num_workers,
)
from bert_playground.data.templates.templates import (
    TEMPLATES,
    Template,
    choose_template,
    render_cells,
    render_places,
)
from bert_playground.data.templates.text_pair import PAIR, encode_pair, pair_features
from bert_playground.data.templates.wordings import reword
from bert_playground.data.tokens.cache import encode_cached
from bert_playground.data.tokens.token_table import TokenizedTable
from bert_playground.data.tokens.tokenizer import TextTokenizer, makes_remarks
from bert_playground.documents import check, read_json
from bert_playground.files import write_bytes
from bert_playground.logger import logger
from bert_playground.lookup import look_up, shorten

FORMAT = 1  # of pipeline.json
PIPELINE = "pipeline.json"
SCRATCH_TOKENIZER = "scratch"  # the name of a tokenizer that was trained here


@dataclass(frozen=True)
class RowText:
    """How a row becomes tokens: fitted once, stored with the model; it knows of no label.

    Attributes:
        features: the pieces of a row's text.
        template: a name in TEMPLATES.
        form: that template with the user's changes.
        tokenizer: with the vocabulary of the checkpoint or of the rows.
        max_length: most tokens of a row.
        tokenizer_name: "scratch" or the name of the checkpoint; part of cache file names.
        statements: what was decided, in sentences.
        derived: columns that are computed of a row's other cells before it is read; none in folders of earlier versions.
        numbers: the columns whose values are read as numbers too.
        number_tokens: for each of them the ids of its cells, to which its values are added; (): they stand beside the text.
    """

    features: tuple[Feature, ...]
    template: str
    form: Template
    tokenizer: TextTokenizer
    max_length: int
    tokenizer_name: str
    statements: tuple[str, ...]
    derived: tuple[DerivedColumn, ...] = field(default=(), kw_only=True)
    numbers: Numbers = field(default=(), kw_only=True)
    number_tokens: TokenRanges = field(default=(), kw_only=True)

    @property
    def vocab_size(self) -> int:
        """Rows that the embedding needs."""
        return self.tokenizer.vocab_size

    @property
    def pad_token_id(self) -> int:
        """Fills padded batches."""
        return self.tokenizer.pad_token_id

    @property
    def all_features(self) -> tuple[Feature, ...]:
        """Those of the text, and those that stand beside it alone."""
        beside = () if self.number_tokens else self.numbers
        return (*self.features, *(each.feature for each in beside))

    @property
    def columns(self) -> list[str]:
        """The columns that are read, be it for the text or beside it."""
        return source_columns(self.all_features, self.form, self.derived)

    @property
    def of_training_rows(self) -> Self:
        """To read the rows that it was fitted on: of a group's training rows each of them is one."""
        return replace(self, derived=of_training_rows(self.derived))

    def cells(
        self, frame: pl.DataFrame, places: np.ndarray | None = None
    ) -> list[DictionaryColumn]:
        """The pieces of each row's text, one column per feature.

        Args:
            frame: rows with at least the columns that are read.
            places: [features, R] where each piece stands in its row, from 0 on; None: in the order of the features.

        Raises:
            ValueError: columns that the fitted table had are missing.
        """
        columns = self.columns
        require_columns(frame, columns, "the table")
        if makes_remarks() and (extra := [each for each in frame.columns if each not in columns]):
            logger.debug(f"columns not read: {', '.join(extra)}")
        frame = derive_columns(as_text(frame.select(columns)), self.form)
        if places is not None:
            return render_places(frame, self.features, self.form, places, self.derived)
        return render_cells(frame, self.features, self.form, self.derived)

    def text(self, frame: pl.DataFrame) -> pl.Series:
        """What the model reads of each row."""
        return join_cells(self.cells(frame))

    def encode(
        self,
        frame: pl.DataFrame,
        *,
        cache_dir: Path | None = None,
        split: str = "train",
        places: np.ndarray | None = None,
    ) -> TokenizedTable:
        """Token ids of each row, without labels.

        Args:
            frame: rows with at least the columns that are read.
            cache_dir: where ids are kept between runs; None: no cache.
            split: a word for the cache's file name.
            places: [features, R] where each piece stands in its row; such rows are not cached. None: in order.
        """
        cells = self.cells(frame, places)
        if self.form.is_pair:
            return encode_pair(self.tokenizer, cells, self.max_length)
        if cache_dir is None or places is not None:
            return self.tokenizer.encode_rows(
                cells, self.max_length, separated=self.form.separated, places=places
            )
        return encode_cached(
            self.tokenizer,
            cells,
            self.max_length,
            separated=self.form.separated,
            cache_dir=cache_dir,
            model_name=self.tokenizer_name,
            split=split,
        )

    def encode_numbers(self, frame: pl.DataFrame) -> np.ndarray | None:
        """The numeric features, [R, F] in f32, NaN where there is none; None where no column is read as numbers.

        Raises:
            ValueError: columns that the fitted table had are missing.
        """
        if not self.numbers:
            return None
        require_columns(frame, self.columns, "the table")
        frame = derive_columns(as_text(frame.select(self.columns)), self.form, self.derived)
        return encode_numeric(self.numbers, frame)

    def to_dict(self) -> dict[str, Any]:
        """What pipeline.json holds of it; the tokenizer lies beside that file."""
        return {
            "format": FORMAT,
            "template": self.template,
            "form": self.form.to_dict(),
            "max_length": self.max_length,
            "tokenizer_name": self.tokenizer_name,
            "features": [feature.to_dict() for feature in self.features],
            "statements": self.statements,
            "derived": [column.to_dict() for column in self.derived],
            "numbers": [column.to_dict() for column in self.numbers],
            **({"number_tokens": self.number_tokens} if self.number_tokens else {}),
        }

    def save(self, folder: Path) -> None:
        """Write pipeline.json and tokenizer/tokenizer.json into a folder."""
        write_bytes(folder / "tokenizer" / "tokenizer.json", self.tokenizer.to_json().encode())
        write_bytes(
            folder / PIPELINE, json.dumps(self.to_dict(), indent=2, ensure_ascii=False).encode()
        )


def load_row_text(folder: Path) -> RowText:
    """Read how a checkpoint reads rows, be it a pretrained one or a fine-tuned one."""
    return RowText(**read_state(folder))


def read_state(
    folder: Path, read_more: Callable[[dict[str, Any]], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The fields of RowText that a folder holds.

    Args:
        folder: a checkpoint.
        read_more: from the whole document to further fields.

    Raises:
        ValueError: the folder has no pipeline.json, one without labels where they are read, or one that this version
            cannot read.
    """
    path = folder / PIPELINE
    if not path.exists():
        raise ValueError(
            f"{folder} has no {PIPELINE}, so it is no checkpoint of `bert train`; "
            "give a folder such as output/run_20261121_193005/checkpoints/best"
        )
    state: dict[str, Any] = read_json(path)
    try:
        check(ROW_TEXT, state, path.name)
        if state["format"] != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        return {
            "features": tuple(Feature.from_dict(feature) for feature in state["features"]),
            "tokenizer": TextTokenizer.load(find_tokenizer_folder(folder)),
            "statements": tuple(state["statements"]),
            "derived": read_derived(state.get("derived")),
            "numbers": read_numbers(state.get("numbers")),
            "number_tokens": read_token_ranges(state.get("number_tokens")),
            "form": Template(**state["form"]) if "form" in state else TEMPLATES[state["template"]],
            **{name: state[name] for name in ("template", "max_length", "tokenizer_name")},
            **(read_more(state) if read_more else {}),
        }
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, KeyError) and error.args == ("labels",) and "features" in state:
            raise ValueError(
                f"{folder} holds a pretrained model, which knows of no target yet; fine-tune it first: "
                f"bert train --model {folder} --train train.csv"
            ) from error
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{path} cannot be read: {reason}; train again to write a new one"
        ) from error


def fit_row_text(
    frame: pl.DataFrame,
    options: TextOptions,
    *,
    skip: Sequence[str],
    id_column: str | None,
    pretrained_dir: Path | None = None,
    vocab_size: int = 4096,
    wordings: Sequence[str] = (),
    choose: Choose | None = None,
) -> RowText:
    """Learn columns, template and vocabulary from rows, or take them from a checkpoint that was trained on such rows.

    Args:
        frame: the rows to learn from and nothing else, all cells as text.
        options: of the user.
        skip: columns that never enter the text: the target, and what the user drops.
        id_column: no feature either, unless it is a date.
        pretrained_dir: a checkpoint folder whose tokenizer is used; None: a vocabulary is trained. If it holds a
            pipeline.json, rows are read as that model was trained to read them.
        vocab_size: most entries of a trained vocabulary.
        wordings: names in TEMPLATES that rows may be written in too: a trained vocabulary has their words.
        choose: which of the columns that rules propose are worth it; see `fit_columns`.

    Raises:
        ValueError: no usable column, an unknown template, no tokenizer, or rows that the checkpoint cannot read.
    """
    set_num_workers(options.num_workers)
    derived = options.template_options.get("derive") or ()
    named = [*options.drop_columns, *options.text_columns, *options.kinds]
    require_columns(frame, [name for name in named if name not in derived], "the training table")
    if options.text_pair:
        return _fit_pair(frame, options, skip, pretrained_dir, vocab_size)
    if pretrained_dir is not None and (pretrained_dir / PIPELINE).exists():
        known = _reuse(pretrained_dir, frame, options, skip)
        if known is not None:
            return known
    asked = "key_value" if options.template == "auto" else options.template
    wanted = look_up(TEMPLATES, asked, "template").changed(options.template_options)
    frame = derive_columns(frame, wanted)
    written = [
        name for key in ("phrases", "units") for name in options.template_options.get(key, ())
    ]
    require_columns(frame, [*dict.fromkeys(written)], "data.template_options: the training table")
    frame, features, learned, said = fit_columns(
        frame,
        options,
        skip=skip,
        id_column=id_column,
        is_pretrained=pretrained_dir is not None,
        choose=choose if pretrained_dir is None else None,
    )
    template = choose_template(options.template, features, is_pretrained=pretrained_dir is not None)
    form = TEMPLATES[template].changed(options.template_options)
    form = keep_derived(form, features, skip, learned)
    forms = (form, *(reword(form, name) for name in wordings))
    tokenizer = make_tokenizer(frame, features, forms, pretrained_dir, vocab_size)
    name = SCRATCH_TOKENIZER if pretrained_dir is None else pretrained_dir.name
    fitted = _state_fit(template, form, tokenizer, pretrained_dir)
    said = (*said, *fitted)
    length = options.max_length
    return RowText(features, template, form, tokenizer, length, name, said, derived=learned)


def _fit_pair(
    frame: pl.DataFrame,
    options: TextOptions,
    skip: Sequence[str],
    pretrained_dir: Path | None,
    vocab_size: int,
) -> RowText:
    features = pair_features(frame, options.text_pair)
    wrong = sorted({*skip, *options.drop_columns} & {*options.text_pair})
    if wrong or options.template != "auto":
        reason = f"{', '.join(wrong)} may not be read" if wrong else "a pair has no template"
        raise ValueError(
            f"data.text_pair is {', '.join(options.text_pair)}, but {reason}; leave one of both out"
        )
    tokenizer = make_tokenizer(frame, features, (PAIR,), pretrained_dir, vocab_size)
    name = SCRATCH_TOKENIZER if pretrained_dir is None else pretrained_dir.name
    if pretrained_dir is not None and (pretrained_dir / PIPELINE).exists():
        name = load_row_text(pretrained_dir).tokenizer_name
    first, second = options.text_pair
    rest = [column for column in frame.columns if column not in (first, second, *skip)]
    said = [f"text: the pair {first} [SEP] {second}, as data.text_pair asks"]
    said += [f"not in the text, which is the pair alone: {shorten(rest)}"] if rest else []
    said += _state_fit("pair", PAIR, tokenizer, pretrained_dir)[1:]
    return RowText(features, "pair", PAIR, tokenizer, options.max_length, name, tuple(said))


def _reuse(
    folder: Path, frame: pl.DataFrame, options: TextOptions, skip: Sequence[str]
) -> RowText | None:
    """How the model in `folder` reads rows, or None where it reads plain text and this is another table."""
    stored = replace(load_row_text(folder), numbers=(), number_tokens=())  # `fit_numbers` decides
    told = sorted(set(stored.columns) & set(skip))
    if told:
        raise ValueError(
            f"the model in {folder} was pretrained on text that contains {', '.join(told)}, which must not enter the "
            "text now, so its scores would be too good; pretrain again with --target naming it"
        )
    missing = [name for name in stored.columns if name not in frame.columns]
    if missing and not stored.form.binned:
        return None
    if missing:
        raise ValueError(
            f"the table lacks {shorten(missing)}, which the model in {folder} reads as one token per cell "
            f"(the table has: {shorten(frame.columns)}); pretrain on such tables with `bert pretrain`, or rename columns"
        )
    if options.template not in ("auto", stored.template):
        raise ValueError(
            f"the model in {folder} was trained on text of template {stored.template!r}, but {options.template!r} was "
            "asked for; leave --template out"
        )
    sources = {column.name: column.sources for column in stored.derived}
    dropped = {*options.drop_columns}
    features = tuple(
        f for f in stored.features if not dropped & {f.column, *sources.get(f.column, ())}
    )
    words = [f.column for f in features if f.form == "text"]
    wrong = [name for name in options.text_columns if name not in words]
    if wrong or not features:
        raise ValueError(
            f"the model in {folder} reads {shorten(stored.columns)}; "
            f"it cannot read {', '.join(wrong) or 'a row without any of them'} word by word; "
            "leave data.text_columns and data.drop_columns as they were when it was trained"
        )
    unread = [n for n in frame.columns if n not in (*stored.columns, *skip, *options.drop_columns)]
    statements = [f"text: as the model in {folder} reads it, template {stored.template!r}"]
    if unread:
        statements.append(f"not read, as when it was trained: {shorten(unread)}")
    length = min(options.max_length, stored.max_length)
    return replace(stored, features=features, max_length=length, statements=tuple(statements))


def _state_fit(
    template: str, form: Template, tokenizer: TextTokenizer, pretrained_dir: Path | None
) -> tuple[str, ...]:
    binned = " (numbers in quantile bins, each known cell one token)" if form.binned else ""
    origin = "a vocabulary of the training rows" if pretrained_dir is None else pretrained_dir.name
    return (
        f"text: template {template!r}{binned}; override with --template",
        f"tokenizer: {origin}, {tokenizer.vocab_size} entries",
    )
