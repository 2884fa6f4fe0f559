"""predict.py's blend: members are aligned, combined, calibrated and decided on as ours are."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bert_playground.blending.calibration import Calibration
from bert_playground.blending.decision import Decision
from bert_playground.blending.fit_combiner import fit_combiner
from bert_playground.data.targets.align import align_scores
from bert_playground.data.targets.fit import Encoder
from bert_playground.data.targets.label_encoder import LabelEncoder
from bert_playground.export.onnx.plan import compile_alignment
from bert_playground.export.onnx.standalone_answers import align, calibrate, combine, decide
from bert_playground.training.objectives import make_objective
from tests.blending.unit.test_combiner import CASES, problem
from tests.tabular.tables import TASKS, make_fitted


@pytest.mark.parametrize(("task", "method"), CASES)
def test_answers_are_combined_alike(task: str, method: str) -> None:
    answers, labels = problem(task)
    combiner = fit_combiner(answers, labels, make_objective(task), method)
    stated = json.loads(json.dumps(combiner.to_dict()))
    np.testing.assert_allclose(
        combine(np.stack(answers), stated), combiner.combine(answers), rtol=1e-12
    )


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "ordinal"])
def test_a_temperature_is_applied_alike(task: str) -> None:
    scores = problem(task)[0][0]
    ours = Calibration(0.7, task)
    np.testing.assert_allclose(calibrate(scores, ours.to_dict()), ours.apply(scores), rtol=1e-12)
    assert calibrate(scores, None) is scores


@pytest.mark.parametrize(
    ("task", "decision"),
    [
        ("binary", Decision("threshold", (0.31,))),
        ("multilabel", Decision("thresholds", (0.2, 0.5, 0.7))),
        ("multiclass", Decision("multipliers", (1.0, 2.5, 0.4))),
        ("ordinal", Decision("cut_points", (0.4, 1.7))),
    ],
)
def test_classes_are_decided_alike(task: str, decision: Decision) -> None:
    scores = problem(task)[0][0]
    np.testing.assert_array_equal(decide(scores, decision.to_dict()), decision.apply(scores))


def spell(labels: Encoder) -> dict[str, object]:
    """What plan.json says of the answers of a blend, as far as alignment reads it."""
    kind = "steps" if labels.task == "timeseries" else "number"
    scaling = (
        {"mean": labels.means, "scale": labels.scales}
        if kind == "steps"
        else {"mean": getattr(labels, "mean", 0), "scale": getattr(labels, "scale", 1)}
    )
    return {"kind": kind, "uses_log": getattr(labels, "uses_log", False), **scaling}


@pytest.mark.parametrize("task", TASKS)
def test_answers_of_a_fold_are_aligned_alike(task: str) -> None:
    reference = make_fitted(task)[1].labels
    labels = reference
    if isinstance(labels, LabelEncoder) and task == "multiclass":  # a fold without one class
        labels = replace(labels, classes=labels.classes[1:])
    elif isinstance(labels, LabelEncoder) and task == "regression":
        labels = replace(labels, mean=labels.mean + 1, scale=labels.scale * 2)
    elif task == "timeseries":
        labels = replace(labels, means=tuple(each + 1 for each in labels.means))
    width = len(labels.classes) or len(getattr(labels, "means", ())) if task != "binary" else 0
    shape = (7, width) if width else (7,)
    scores = np.random.default_rng(0).uniform(size=shape)
    form = json.loads(json.dumps(compile_alignment(labels, reference)))
    np.testing.assert_allclose(
        align(scores, form, spell(reference)), align_scores(scores, labels, reference), rtol=1e-9
    )
    if task == "regression":  # a mean with its standard deviation
        both = np.stack([scores, scores], axis=1)
        for own in (labels, reference):
            form = compile_alignment(own, reference)
            np.testing.assert_allclose(
                align(both, form, spell(reference)), align_scores(both, own, reference)
            )
