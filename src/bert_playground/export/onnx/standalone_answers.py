"""Scores become answers: several models' as one, classes and units, a CSV: the last part of predict.py."""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bert_playground.export.onnx.standalone_cells import Row, spell
from bert_playground.export.onnx.standalone_rows import (
    Array,
    Member,
    complete,
    latest_windows,
    read_csv,
    warn_of_strange_cells,
)
from bert_playground.export.onnx.standalone_tabular import TabularMember

HERE = Path(__file__).resolve().parent


# ---- several models answer together ----


def average(scores: list[Array], weights: list[float], has_deviation: bool) -> Array:
    """What several models answer together; of means and deviations those of the mixture."""
    shares, stacked = np.array(weights), np.stack(scores)
    mean: Array = np.tensordot(shares, stacked, axes=1)
    if has_deviation:
        variances = stacked[..., 1] ** 2 + (stacked[..., 0] - mean[:, 0]) ** 2
        mean[:, 1] = np.sqrt(np.tensordot(shares, variances, axes=1))
    return mean


def align(scores: Array, form: dict[str, Any] | None, answers: dict[str, Any]) -> Array:
    """What one model of a blend answers, in the classes or the units of the blend."""
    if form is None:
        return scores
    if "places" in form:  # a class that its training rows did not have has probability 0
        placed = np.zeros((len(scores), form["width"]))
        placed[:, form["places"]] = scores
        return placed
    if answers["kind"] == "number" and scores.ndim == 2:  # without the deviation
        scores = scores[:, 0]
    if form["scale"] is None:
        return scores
    values = in_units(scores, form)
    if answers["uses_log"]:
        values = np.log1p(np.maximum(values, -1 + 1e-9))
    return np.asarray((values - np.array(answers["mean"])) / np.array(answers["scale"]))


def log_odds(scores: Array, least: float) -> Array:
    """log(p / (1 - p)), p held away from 0 and 1."""
    held = np.clip(scores, least, 1 - least)
    return np.asarray(np.log(held) - np.log1p(-held))


def sigmoid(values: Array) -> Array:
    """1 / (1 + e^-x)."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -700, 700))))


def softmax(values: Array) -> Array:
    """Shares of the powers of e in each row."""
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def combine(stacked: Array, combiner: dict[str, Any]) -> Array:
    """One answer of the members' [M, R] or [M, R, C]: by weights, by ranks or by a logistic regression."""
    if combiner["method"] == "rank_mean":
        return combine_ranks(stacked, combiner)
    if combiner["method"] == "logistic":
        return combine_odds(stacked, combiner)
    return np.asarray(np.tensordot(np.array(combiner["weights"]), stacked, axes=1))


def combine_ranks(stacked: Array, combiner: dict[str, Any]) -> Array:
    """Platt's curve on the mean of the ranks among the out-of-fold answers."""
    columns = stacked.reshape(*stacked.shape[:2], -1)
    width = columns.shape[2]
    ranks = np.zeros(columns.shape[1:])
    for member, weight in enumerate(combiner["weights"]):
        for column in range(width):
            knots = np.array(combiner["knots"][member * width + column])
            values = columns[member, :, column]
            below, up_to = (knots.searchsorted(values, side) for side in ("left", "right"))
            ranks[:, column] += weight * (below + up_to) / (2 * len(knots))
    slopes = np.array(combiner["coefficients"])[:, 0]
    found = sigmoid(log_odds(ranks, 1e-4) * slopes + np.array(combiner["intercepts"]))
    if combiner["task"] in ("multiclass", "ordinal"):
        found = found / found.sum(axis=1, keepdims=True)
    return found.reshape(stacked.shape[1:])


def combine_odds(stacked: Array, combiner: dict[str, Any]) -> Array:
    """A logistic regression on the members' log odds, or their log probabilities of classes."""
    coefficients, intercepts = (np.array(combiner[key]) for key in ("coefficients", "intercepts"))
    if combiner["task"] in ("binary", "multilabel"):
        odds = np.moveaxis(log_odds(stacked, 1e-6), 0, -1)
        if combiner["task"] == "multilabel":
            return sigmoid(np.einsum("rlm,lm->rl", odds, coefficients) + intercepts)
        return sigmoid((odds @ coefficients.T + intercepts)[:, 0])
    logs = np.moveaxis(np.log(np.clip(stacked, 1e-6, 1.0)), 0, 1)
    return softmax(logs.reshape(len(logs), -1) @ coefficients.T + intercepts)


def calibrate(scores: Array, calibration: dict[str, Any] | None) -> Array:
    """Probabilities at another temperature."""
    if calibration is None:
        return scores
    if calibration["task"] in ("multiclass", "ordinal"):
        return softmax(np.log(np.clip(scores, 1e-12, 1.0)) / calibration["temperature"])
    return sigmoid(log_odds(scores, 1e-12) / calibration["temperature"])


def decide(scores: Array, decision: dict[str, Any] | None) -> Array:
    """The decided classes as 0 and 1 in the shape of the scores; the scores where nothing was learned of that."""
    if decision is None:
        return scores
    kind, values = decision["kind"], np.array(decision["values"])
    if kind in ("threshold", "thresholds"):
        limits = values[0] if kind == "threshold" else values
        return np.asarray(scores >= limits).astype(np.float64)
    if kind == "multipliers":
        numbers = (scores * values).argmax(axis=1)
    else:  # cut points on the expected class number
        expected = scores @ np.arange(scores.shape[1]) / scores.sum(axis=1)
        numbers = np.searchsorted(values, expected, side="right")
    return np.asarray(numbers[:, None] == np.arange(scores.shape[1])).astype(np.float64)


def blend(scores: list[Array], plan: dict[str, Any]) -> Array:
    """One answer of several members, each the mean of its models."""
    forms, stack = [each["aligned"] for each in plan["members"]], plan["blend"]["stack"]
    aligned = [align(own, form, plan["answers"]) for own, form in zip(scores, forms, strict=True)]
    means = {
        name: np.mean([aligned[place] for place in places], axis=0)
        for name, places in plan["blend"]["members"].items()
    }
    first = next(iter(means.values()))  # what a member without weight would say does not matter
    stacked = np.stack([means.get(name, first) for name in stack["names"]])
    return calibrate(combine(stacked, stack["combiner"]), stack.get("calibration"))


def join(scores: list[Array], plan: dict[str, Any]) -> Array:
    """One answer of all models."""
    if "blend" in plan:
        return blend(scores, plan)
    weights = [each["weight"] for each in plan["members"]]
    return average(scores, weights, plan["answers"].get("has_deviation", False))


# ---- scores become answers ----


def in_units(scores: Array, answers: dict[str, Any]) -> Array:
    """Standardised numbers in the units of the training table."""
    values: Array = scores * np.array(answers["scale"]) + np.array(answers["mean"])
    return np.expm1(values) if answers["uses_log"] else values


def answer_numbers(scores: Array, answers: dict[str, Any]) -> dict[str, list[str]]:
    """Numbers, with their deviations or step by step."""
    if answers["kind"] == "steps":
        values = in_units(scores, answers)
        return {
            name: list(map(spell, values[:, i].tolist()))
            for i, name in enumerate(answers["columns"])
        }
    means = scores[:, 0] if answers["has_deviation"] else scores
    found = {answers["columns"][0]: list(map(spell, in_units(means, answers).tolist()))}
    if answers["has_deviation"]:
        deviations = scores[:, 1] * answers["scale"]
        if answers["uses_log"]:  # of a log-normal distribution
            logs, variances = means * answers["scale"] + answers["mean"], deviations**2
            deviations = np.exp(logs + variances / 2) * np.sqrt(np.expm1(variances))
        found[f"{answers['columns'][0]}_std"] = list(map(spell, deviations.tolist()))
    return found


def answer_labels(scores: Array, answers: dict[str, Any]) -> dict[str, list[str]]:
    """Which of several labels are there, in a column each or as a list."""
    present = scores.astype(np.float32) >= np.array(answers["thresholds"], dtype=np.float32)
    if answers["kind"] == "labels":
        pairs = zip(answers["columns"], answers["words"], strict=True)
        return {
            name: [words[int(there)] for there in present[:, i]]
            for i, (name, words) in enumerate(pairs)
        }
    form = answers["spelling"]
    lists = [
        form["joint"].join(
            name for name, there in zip(answers["quoted"], row, strict=True) if there
        )
        for row in present
    ]
    cells = [
        f"{form['opening']}{text}{form['closing']}" if row.any() else form["empty"]
        for text, row in zip(lists, present, strict=True)
    ]
    return {answers["columns"][0]: cells}


def answer(scores: Array, answers: dict[str, Any]) -> dict[str, list[str]]:
    """Scores in the words and units of the training table, column by column."""
    kind, classes = answers["kind"], answers.get("classes", [])
    if kind in ("number", "steps"):
        return answer_numbers(scores, answers)
    if kind in ("labels", "list"):
        return answer_labels(scores, answers)
    if kind == "binary":
        numbers = scores >= 0.5
    elif kind == "ordinal":  # the middle of the distribution
        cumulated = np.cumsum(scores, axis=1)
        numbers = (cumulated >= cumulated[:, -1:] / 2).argmax(axis=1)
    else:
        numbers = scores.argmax(axis=1)
    return {answers["columns"][0]: [classes[int(number)] for number in numbers]}


def probabilities(scores: Array, answers: dict[str, Any]) -> dict[str, list[str]]:
    """A column of probabilities for each class or label."""
    if answers["kind"] in ("number", "steps"):
        raise SystemExit(
            "the model answers numbers, which have no probabilities; leave out --proba"
        )
    if answers["kind"] == "binary":
        scores = np.stack([1 - scores, scores], axis=1)
    return {
        name: list(map(spell, scores[:, i].tolist()))
        for i, name in enumerate(answers["probabilities"])
    }


def check_columns(rows: list[Row], plan: dict[str, Any], path: Path) -> None:
    """Refuse a table that lacks columns."""
    there = rows[0] if rows else {}
    missing = [name for name in plan["columns"] if name not in there]
    if not rows or missing:
        what = f"lacks {', '.join(missing)}" if rows else "has no rows"
        raise SystemExit(f"{path} {what}; give a table like the one that the model was trained on")


def open_member(folder: Path, plan: dict[str, Any]) -> Member | TabularMember:
    """A graph, or a model beside the encoder."""
    return (TabularMember if plan["kind"] == "tabular" else Member)(folder, plan)


def main() -> None:
    """Read the table, ask every model, write the answers."""
    parser = argparse.ArgumentParser(
        description="Answer the rows of a CSV with the models in this folder."
    )
    parser.add_argument("table", type=Path, help="CSV with the columns of the training table")
    parser.add_argument("output", type=Path, help="CSV to write")
    parser.add_argument("--proba", action="store_true", help="write probabilities, not labels")
    asked = parser.parse_args()
    plan = json.loads((HERE / "plan.json").read_text(encoding="utf-8"))
    rows = read_csv(asked.table)
    check_columns(rows, plan, asked.table)
    if plan["windows"] is not None:
        rows = latest_windows(rows, plan["windows"])
    members = [open_member(HERE / each["folder"], each) for each in plan["members"]]
    warn_of_strange_cells(complete(rows, plan["members"][0]), plan["members"][0]["pieces"])
    scores = join([member.score(rows) for member in members], plan)
    if asked.proba:
        answers = probabilities(scores, plan["answers"])
    else:
        decision = plan["blend"]["stack"].get("decision") if "blend" in plan else None
        answers = answer(decide(scores, decision), plan["answers"])
    id_column = plan["id_column"] if plan["id_column"] in rows[0] else None
    ids = [row[id_column] if id_column else str(number) for number, row in enumerate(rows)]
    with asked.output.open("w", encoding="utf-8", newline="") as file:
        written = csv.writer(file, lineterminator="\n")
        written.writerow([id_column or "id", *answers])
        written.writerows(zip(ids, *answers.values(), strict=True))
    print(f"{len(rows)} answers written to {asked.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
