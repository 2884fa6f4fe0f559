"""compile_plan: how a pipeline reads a row and spells an answer, as the plain facts that predict.py carries out."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from bert_playground.data.columns.derived_columns import DerivedColumn
from bert_playground.data.columns.parsing import CLOCK
from bert_playground.data.drift.cells import spell_number
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.targets.fit import Encoder
from bert_playground.data.targets.forecast import HorizonEncoder
from bert_playground.data.targets.label_encoder import DTYPES, LabelEncoder
from bert_playground.data.targets.label_lists import ListSpelling
from bert_playground.data.targets.multilabel import HALF, LabelListEncoder, MultilabelEncoder
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.templates import Template
from bert_playground.data.templates.text_pair import read_frame
from bert_playground.export.onnx.standalone_cells import DATE_PARTS, SAYINGS
from bert_playground.lookup import shorten
from bert_playground.tasks import TASKS

FORMAT = 1  # of plan.json


def compile_plan(pipeline: TextPipeline, thresholds: tuple[float, ...] | None) -> dict[str, Any]:
    """What the top of plan.json says: which columns are read, how answers are spelt. Members are added by the folder.

    Args:
        pipeline: of the checkpoint, or of the first of several.
        thresholds: of a multilabel head; None: 0.5.
    """
    windows = pipeline.windows
    return {
        "format": FORMAT,
        "id_column": pipeline.id_column if windows is None else windows.id_column,
        "windows": None if windows is None else windows.to_dict(),
        "answers": _compile_answers(pipeline, thresholds),
    }


def columns_of(pipeline: TextPipeline) -> list[str]:
    """The columns that a table must have."""
    windows = pipeline.windows
    if windows is None:
        return pipeline.columns
    own = [windows.value, windows.time_column, windows.series_column]
    read = [name for name in pipeline.columns if name not in windows.lag_columns]
    return list(dict.fromkeys(name for name in (*own, *read) if name is not None))


def compile_member(pipeline: TextPipeline) -> dict[str, Any]:
    """How one model reads a row.

    Raises:
        ValueError: in a way that needs polars or Jinja; all reasons are listed.
    """
    _refuse_faults(pipeline, pipeline.features)
    form, tokenizer = pipeline.form, pipeline.tokenizer
    prefix, between, suffix, has_types = tokenizer.prefix, None, tokenizer.suffix, False
    if form.is_pair:
        prefix, between, suffix, has_types = read_frame(tokenizer)
    return {
        "kind": "encoder",
        "max_length": pipeline.max_length,
        "prefix": prefix,
        "between": between,
        "suffix": suffix,
        "has_types": has_types,
        "pad_token_id": pipeline.pad_token_id,
        "separated": form.separated and not form.is_pair,
        **_compile_reading(pipeline),
        "numbers": [column.to_dict() for column in pipeline.numbers],
    }


def compile_tabular(pipeline: TextPipeline) -> dict[str, Any]:
    """How a model beside the encoder reads a row; what it makes of the cells stands in its features.json.

    Raises:
        ValueError: in a way that needs polars or Jinja; all reasons are listed.
    """
    _refuse_faults(pipeline, pipeline.all_features)
    has_many_targets = TASKS[pipeline.task].has_many_targets
    kind = {"kind": "tabular", "has_many_targets": has_many_targets}
    return {**kind, **_compile_reading(pipeline)}


def _compile_reading(pipeline: TextPipeline) -> dict[str, Any]:
    """The cells in the words of training, the columns that are computed of them, and the pieces of a row's text."""
    last = len(pipeline.features) - 1
    return {
        "respelled": _compile_respelled(pipeline),
        "derived": [compile_derived(column) for column in pipeline.derived],
        "pieces": [
            _compile_piece(feature, pipeline.form, is_first=place == 0, is_last=place == last)
            for place, feature in enumerate(pipeline.features)
        ],
    }


def compile_alignment(labels: Encoder, reference: Encoder) -> dict[str, Any] | None:
    """How a model's answers become those of a blend whose labels were learned of all rows; see `align_scores`. None: they are."""
    if isinstance(labels, HorizonEncoder):
        return {"mean": labels.means, "scale": labels.scales, "uses_log": labels.uses_log}
    if isinstance(labels, LabelEncoder) and not labels.classes:
        assert isinstance(reference, LabelEncoder)
        own, other = ((e.uses_log, e.mean, e.scale) for e in (labels, reference))
        scale = None if own == other else labels.scale
        return {"mean": labels.mean, "scale": scale, "uses_log": labels.uses_log}
    if labels.classes == reference.classes:
        return None
    places = [reference.classes.index(name) for name in labels.classes]
    return {"places": places, "width": len(reference.classes)}


def _refuse_faults(pipeline: TextPipeline, features: Sequence[Feature]) -> None:
    if faults := find_faults(pipeline, features):
        raise ValueError(
            f"predict.py cannot read rows as this model does: {'; '.join(faults)}. Train without these to export as onnx"
        )


def find_faults(pipeline: TextPipeline, features: Sequence[Feature]) -> list[str]:
    """What of a pipeline, of which a model reads these features, predict.py cannot do, in words."""
    form, faults = pipeline.form, []
    if form.jinja:
        faults.append("its text is a Jinja template (data.template_options.jinja)")
    if form.derive:
        faults.append(
            f"its template derives {shorten(form.derive)} by SQL (data.template_options.derive, or --template)"
        )
    faults += [
        f"{each.column} is read in the form {each.form!r}"
        for each in features
        if each.form not in SAYINGS
    ]
    windows = pipeline.windows
    spellings = [
        *((each.column, each.spelling) for each in features),
        *((each.column, each.form) for each in pipeline.numbers),
        *((column.name, form) for column in pipeline.derived for form in column.forms),
    ]
    if windows is not None:
        spellings.append((windows.time_column, windows.time_form or ""))
    for name, spelling in dict.fromkeys(spellings):
        strange = set(re.findall(r"%.", spelling)) - set(DATE_PARTS)
        if strange and spelling != CLOCK:
            faults.append(f"the dates of {name} have {', '.join(sorted(strange))} in their format")
    if windows is not None and windows.time_form is None:
        faults.append(f"the format of the times in {windows.time_column} was not saved with it")
    return faults


def _compile_piece(
    feature: Feature, form: Template, *, is_first: bool, is_last: bool
) -> dict[str, Any]:
    """The words around a cell; see `templates._render_piece`, of which this is the plain form."""
    opening = form.opening + (" " if form.opening and is_first else "")
    closing = form.closing if is_last else ""
    before = opening if is_first else form.between
    after = form.closing if is_last else form.joint
    cell = form.phrases.get(feature.column, form.cell).replace("{name}", feature.label)
    start, end = cell.split("{value}", 1)
    unit = form.units.get(feature.column) if feature.form == "number" else None
    middle, words, end = "", None, end if unit is not None else end.replace("{unit}", "")
    if unit is not None:
        one, _, many = unit.partition("|")
        words = [f" {one}", f" {many or one + 's'}"]
        head, found, tail = end.partition("{unit}")
        middle, end = (head, tail) if found else ("", end)
    token = None
    if form.binned and not feature.is_text:
        token = {
            "before": f"{before}[{feature.label}=",
            "after": f"]{after}",
            "values": [*feature.known, "missing", "other"],
        }
    is_skipped = form.missing == "skipped" or not feature.says_missing
    return {
        "column": feature.column,
        "form": feature.form,
        "spelling": feature.spelling,
        "part": feature.part,
        "numbers": form.numbers,
        "known": feature.known,
        "edges": feature.edges,
        "before": before + start,
        "between": middle,
        "unit": words,
        "after": end + after,
        "token": token,
        "skipped": (opening if is_first else "") + closing if is_skipped else None,
    }


def _compile_respelled(pipeline: TextPipeline) -> dict[str, Any]:
    """The columns whose cells mean one of few values; see `drift.repair.match_values`, of which this is the plain form."""
    found: dict[str, Any] = {}
    for profile in pipeline.profiles:
        if profile.form == "category" and profile.knows_values:
            found[profile.column] = {"values": profile.values, "spelling": None}
        elif profile.form == "number" and set(profile.edges) == {0.0, 1.0}:
            words = spell_number(pl.Series([0.0, 1.0]), profile.spelling).to_list()
            found[profile.column] = {"values": words, "spelling": profile.spelling}
    return found


def compile_derived(column: DerivedColumn) -> dict[str, Any]:
    """How a column is computed of a row's other cells."""
    return {
        "name": column.name,
        "kind": column.kind,
        "sources": column.sources,
        "patterns": [as_python(pattern) for pattern in column.patterns],
        "fold": column.fold,
        "absent": column.absent,
        "end": column.end,
        "forms": column.forms,
        "groups": dict(zip(column.keys, column.counts, strict=True)),
    }


def as_python(pattern: str) -> str:
    r"""A regular expression of polars in Python's dialect: letters, and the end of a text, which Python's $ may precede.

    Outside of brackets "\p{L}" is a class of its own; inside of them "_" and digits are put up with.
    """
    inside, pieces = False, []
    for piece in re.findall(r"\\p\{[LN]\}|\\.|.", pattern, re.DOTALL):
        if piece in ("[", "]"):
            inside = piece == "["
        if piece == r"\p{L}":
            piece = r"\w" if inside else r"[^\W\d_]"
        elif piece == r"\p{N}":
            piece = r"\d"
        elif piece == "$" and not inside:
            piece = r"\Z"
        pieces.append(piece)
    return "".join(pieces)


def _compile_answers(
    pipeline: TextPipeline, thresholds: tuple[float, ...] | None
) -> dict[str, Any]:
    labels = pipeline.labels
    if isinstance(labels, HorizonEncoder):
        scaling = {"mean": labels.means, "scale": labels.scales, "uses_log": labels.uses_log}
        return {"kind": "steps", "columns": labels.columns, **scaling}
    if isinstance(labels, MultilabelEncoder | LabelListEncoder):
        return _compile_labels(labels, thresholds or (HALF,) * labels.num_labels)
    if pipeline.task == "regression":
        scaling = {"mean": labels.mean, "scale": labels.scale, "uses_log": labels.uses_log}
        return {"kind": "number", "columns": [pipeline.target], "has_deviation": False, **scaling}
    return {
        "kind": labels.task,
        "columns": [pipeline.target],
        "classes": _spell_classes(labels),
        "probabilities": [f"{pipeline.target}_{label}" for label in labels.classes],
    }


def _compile_labels(
    labels: MultilabelEncoder | LabelListEncoder, thresholds: tuple[float, ...]
) -> dict[str, Any]:
    shared = {"columns": labels.columns, "thresholds": thresholds}
    if isinstance(labels, MultilabelEncoder):
        words = [_spell_classes(encoder) for encoder in labels.encoders]
        return {"kind": "labels", **shared, "words": words, "probabilities": labels.columns}
    spelling = labels.spelling or ListSpelling(labels.separator, labels.separator)
    return {
        "kind": "list",
        **shared,
        "quoted": [spelling.quoted(name) for name in labels.classes],
        "spelling": asdict(spelling),
        "probabilities": [f"{labels.columns[0]}_{name}" for name in labels.classes],
    }


def _spell_classes(labels: LabelEncoder) -> list[str]:
    """As a submission has them."""
    if labels.dtype == "bool":
        return [str(label) for label in labels.classes]
    return pl.Series(labels.classes, dtype=DTYPES[labels.dtype]).cast(pl.String).to_list()
