"""export_onnx: a folder that answers rows by itself: graph, tokenizer, plan and predict.py, after the gate has compared them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bert_playground.blend_predictor import PIPELINE, BlendPredictor
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import prepare_again
from bert_playground.data.reading.table import as_text
from bert_playground.data.schema.sampling import read_within
from bert_playground.export.exported import Exported
from bert_playground.export.huggingface import labels_of
from bert_playground.export.onnx.build import DEFAULT_OPSET, build_onnx, prepare_model
from bert_playground.export.onnx.doors import PLAN
from bert_playground.export.onnx.files import (
    quantize_file,
    remove_data,
    write_graph,
    write_predict,
    write_readme,
    write_recipe,
)
from bert_playground.export.onnx.gate import (
    NUM_ROWS,
    Case,
    compare_answers,
    compare_scores,
    label_margins,
    refuse_difference,
    refuse_other_labels,
)
from bert_playground.export.onnx.parts import compile_blend, find_parts
from bert_playground.export.onnx.plan import (
    columns_of,
    compile_member,
    compile_plan,
    compile_tabular,
)
from bert_playground.export.onnx.predictor import (
    MODEL,
    Joined,
    Model,
    OnnxMember,
    OnnxPredictor,
    join_models,
)
from bert_playground.export.onnx.session import OnnxModel
from bert_playground.export.onnx.standalone_tabular import TabularMember
from bert_playground.export.onnx.tabular_arrays import write_tabular
from bert_playground.export.tokenizer_files import write_tokenizer
from bert_playground.files import write_text
from bert_playground.inference import predict_batches
from bert_playground.lookup import look_up
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import hub_config, load_model
from bert_playground.models.hub_files import CONFIG
from bert_playground.run_record import find_record, read_record
from bert_playground.runs import find_checkpoint
from bert_playground.tabular.estimators import ESTIMATORS
from bert_playground.tabular.predictor import TabularPredictor
from bert_playground.training.evaluation.calibrate import rows_of_run
from bert_playground.training.metrics.scorer import make_scorer

REPORT = "export_report.json"
DTYPES = ("f32", "f16", "int8")


@dataclass(frozen=True)
class Rows:
    """What the graph is compared on.

    Attributes:
        frame: as training writes cells; None: no table is known, and token ids are made up.
        source: which rows, or why none.
        has_labels: whether they can be scored honestly.
    """

    frame: pl.DataFrame | None
    source: str
    has_labels: bool = False


@dataclass(frozen=True)
class Written:
    """One model of the folder.

    Attributes:
        member: as it was written.
        full: the same in f32, which was not written; None: it is what was written.
        cases: how far it is from the model.
        plan: its part of plan.json.
    """

    member: Model
    full: OnnxMember | None
    cases: tuple[Case, ...]
    plan: dict[str, Any]


def export_onnx(
    checkpoint: Path,
    folder: Path,
    dtype: str = "f32",
    *,
    opset: int = DEFAULT_OPSET,
    data: Path | None = None,
    with_recipe: bool = False,
) -> Exported:
    """Write a checkpoint, an ensemble or a blend so that onnxruntime and the predict.py beside it answer rows.

    Args:
        checkpoint: a checkpoint folder, or one of an ensemble or a blend.
        folder: where to write; exists.
        dtype: f32, f16 (stored so, computed in f32) or int8 (dynamic quantization).
        opset: which operators the graph is made of.
        data: a table with the target to compare and measure on; None: the validation rows of the run.
        with_recipe: write a Dockerfile too.

    Raises:
        ValueError: rows are read in a way that predict.py cannot, or the graph does not answer as the model does.
    """
    look_up(dict.fromkeys(DTYPES), dtype, "dtype")
    parts = find_parts(checkpoint)
    pipelines = [TextPipeline.load(part.source) for part in parts]
    blend, aligned = compile_blend(checkpoint, parts, pipelines)
    places = [
        {"folder": part.folder, "weight": part.weight}
        | form
        | (compile_tabular if part.is_tabular else compile_member)(pipeline)
        for part, form, pipeline in zip(parts, aligned, pipelines, strict=True)
    ]
    first = checkpoint if blend else find_checkpoint(parts[0].source)
    rows = _find_rows(first, pipelines[0], data, has_folds=bool(blend))
    written = []
    for part, place, pipeline in zip(parts, places, pipelines, strict=True):
        own = folder / part.folder
        own.mkdir(exist_ok=True)
        if part.is_tabular:
            written.append(_write_tabular(part.source, own, place, rows))
        else:
            written.append(_write_member(part.source, own, pipeline, place, rows, dtype, opset))
    if blend:
        TextPipeline.load(checkpoint / PIPELINE).save(folder / PIPELINE)
    plan = blend | {"members": [each.plan for each in written]}
    ours = join_models([each.member for each in written], plan, folder)
    plan = _write_plan(folder, ours, plan, pipelines)
    cost = _measure_cost(ours, plan, written, rows)
    cases = [case for each in written for case in each.cases]
    write_predict(folder)
    beside = [each.member for each in written if isinstance(each.member, TabularPredictor)]
    # Of scikit-learn's models arrays.npz holds all that is needed.
    packages = sorted({ESTIMATORS[each.name].package for each in beside} - {"scikit-learn"})
    graphs = [each.member.graph for each in written if isinstance(each.member, OnnxMember)]
    write_readme(folder, ours, graphs, packages, dtype=dtype, has_recipe=with_recipe)
    if with_recipe:
        write_recipe(folder, packages)
    report = {
        "dtype": dtype,
        "opset": opset,
        "compared_on": rows.source,
        "largest_logit_difference": max(case.logits for case in cases),
        "largest_score_difference": max(case.scores for case in cases),
        "cases": [[case.to_dict() for case in each.cases] for each in written],
        "cost": cost,
    }
    write_text(folder / REPORT, json.dumps(report, indent=2) + "\n")
    return _describe(folder, dtype, rows, report, ours, len(written))


def _find_rows(
    checkpoint: Path, pipeline: TextPipeline, data: Path | None, *, has_folds: bool
) -> Rows:
    drift = pipeline.watch_drift()
    if data is not None:
        frame, message = read_within(data, seed=0)
        return Rows(drift.read(pipeline.rows_with_labels(frame)), f"{data}: {message}", True)
    why = "models of all folds have together seen all rows"
    try:
        if not has_folds:
            frame, source = rows_of_run(checkpoint)
            return Rows(drift.read(frame), source, True)
    except (ValueError, OSError) as error:
        why = str(error)
    try:
        record = read_record(checkpoint) if has_folds else find_record(checkpoint)
        if record is None:
            raise ValueError(why)
        frame = prepare_again(record.settings.values).val
        return Rows(drift.read(frame), f"rows that the model was trained on: {why}")
    except (ValueError, OSError) as error:
        return Rows(None, f"made-up rows: {error}")


def _write_member(
    source: Path,
    folder: Path,
    pipeline: TextPipeline,
    plan: dict[str, Any],
    rows: Rows,
    dtype: str,
    opset: int,
) -> Written:
    model = prepare_model(load_model(source))
    path = folder / MODEL
    write_graph(build_onnx(model, opset=opset, is_half=dtype == "f16"), path)
    full = None
    if dtype != "f32" and rows.has_labels:
        full = OnnxMember(_full_graph(model, path, opset, dtype), pipeline, model.head.config)
    if dtype == "int8":
        quantize_file(path)
    graph = OnnxModel(path)
    sample = None if rows.frame is None else rows.frame.head(NUM_ROWS)
    cases = compare_answers(model, graph, pipeline, sample)
    refuse_difference(cases, *(() if dtype == "f32" else (float("inf"),)))
    member = OnnxMember(graph, pipeline, model.head.config)
    if dtype == "f32" and sample is not None and pipeline.classes:
        _compare_labels(model, member, sample)
    write_tokenizer(source, folder)
    config = hub_config(model, labels_of(source)) | {"dtype": "float32"}
    write_text(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    return Written(member, full, cases, plan)


def _full_graph(model: BertWithHead, path: Path, opset: int, dtype: str) -> OnnxModel:
    if (
        dtype == "int8"
    ):  # the file is still that of f32, which onnxruntime has read when this returns
        return OnnxModel(path)
    whole = path.with_name("whole.onnx")
    try:
        write_graph(build_onnx(model, opset=opset), whole)
        return OnnxModel(whole)
    finally:
        whole.unlink(missing_ok=True)
        remove_data(whole)


def _compare_labels(model: BertWithHead, member: OnnxMember, sample: pl.DataFrame) -> None:
    pipeline, thresholds = member.pipeline, member.head.thresholds
    unlabelled = sample.drop(pipeline.targets, strict=False)
    ours = predict_batches(model, pipeline.make_loader(unlabelled, batch_size=16)).scores
    theirs = member.score(unlabelled, 0, 16).scores
    answers = [pipeline.answers(scores, thresholds) for scores in (ours, theirs)]
    refuse_other_labels(answers[0], answers[1], label_margins(ours, thresholds, pipeline.task))


def _write_tabular(source: Path, folder: Path, plan: dict[str, Any], rows: Rows) -> Written:
    predictor = TabularPredictor.load(source)
    write_tabular(predictor, folder)
    cases: tuple[Case, ...] = ()
    if rows.frame is not None:
        sample = rows.frame.head(NUM_ROWS).drop(predictor.pipeline.targets, strict=False)
        stated = json.loads(json.dumps(plan))  # as predict.py reads it, which adds to it
        alone = TabularMember(folder, stated).score(as_text(sample).to_dicts())
        cases = (compare_scores(predictor.name, predictor.score_read(sample), alone),)
        refuse_difference(cases)
    return Written(predictor, None, cases, plan)


def _write_plan(
    folder: Path, ours: Joined, plan: dict[str, Any], pipelines: list[TextPipeline]
) -> dict[str, Any]:
    columns = [name for each in pipelines for name in columns_of(each)]
    top = compile_plan(ours.pipeline, ours.thresholds)
    plan = {**top, "columns": list(dict.fromkeys(columns)), **plan}
    if ours.pipeline.task == "regression" and isinstance(ours, OnnxPredictor):
        plan["answers"]["has_deviation"] = ours.members[0].head.uncertainty_estimation
    write_text(folder / PLAN, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")
    return plan


def _measure_cost(
    ours: Joined, plan: dict[str, Any], written: list[Written], rows: Rows
) -> dict[str, Any]:
    """What a smaller number format costs in the run's own metrics; {} where nothing is lost or nothing is known."""
    if rows.frame is None or not any(each.full for each in written):
        return {}
    full = join_models([each.full or each.member for each in written], plan, ours.checkpoint)
    pipeline = ours.pipeline
    scorer = make_scorer(pipeline.task, decode=pipeline.in_units, thresholds=ours.thresholds)
    found = [each.score(rows.frame) for each in (full, ours)]
    labels = found[0].labels
    assert labels is not None  # the target is there
    decide = ours.decision.apply if ours.decision is not None else np.asarray
    before, after = (scorer(labels, decide(each.scores)) for each in found)
    answers = [ours.answers(each.scores).to_numpy() for each in found]
    return {
        "rows": len(labels),
        "before": before,
        "after": after,
        "changed_labels": int((answers[0] != answers[1]).any(axis=1).sum())
        if pipeline.classes
        else None,
        "largest_score_difference": float(np.abs(found[0].scores - found[1].scores).max()),
    }


def _describe(
    folder: Path, dtype: str, rows: Rows, report: dict[str, Any], ours: Joined, num_models: int
) -> Exported:
    files = [path for path in folder.rglob("*") if path.is_file()]
    notes = [f"compared on {rows.source}"]
    cost = report["cost"]
    for name, value in cost.get("before", {}).items():
        after = cost["after"][name]
        notes.append(f"{dtype} costs {name} {after - value:+.4g} ({value:.4g} → {after:.4g})")
    if cost.get("changed_labels") is not None:
        notes.append(f"{dtype} gives {cost['changed_labels']} of {cost['rows']} rows another label")
    if isinstance(ours, BlendPredictor):
        listed = ", ".join(f"{len(models)} of {name}" for name, models in ours.members.items())
        notes.append(f"{num_models} models, whose answers predict.py blends: {listed}")
        if rows.frame is None:
            notes.append("models beside the encoder were not compared; give rows with --data FILE")
    elif num_models > 1:
        notes.append(f"{num_models} graphs, whose answers predict.py averages")
    return Exported(
        folder=folder,
        reader="onnxruntime, or python predict.py test.csv submission.csv",
        dtype=dtype,
        files=tuple(sorted(str(path.relative_to(folder)) for path in files)),
        num_bytes=sum(path.stat().st_size for path in files),
        notes=tuple(notes),
        largest_difference=report["largest_logit_difference"],
        compared_on="rows of one token, short, padded, beyond the window and long",
    )
