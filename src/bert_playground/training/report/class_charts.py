"""show_classes: confusion, ROC and precision-recall, calibration, thresholds and a table of classes."""

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from bert_playground.lookup import count_of
from bert_playground.training.metrics.calibration_error import bin_confidence, calibration_error
from bert_playground.training.report.answers import Answers, Array
from bert_playground.training.report.blocks import Block, Figure, Figures, Table
from bert_playground.training.report.svg import Chart, Range, draw_matrix

MOST_CLASSES = 10  # of a matrix; the others are one together
MOST_CURVES = 4  # of a chart
MOST_ROWS = 200  # of the table of classes
UNIT = Range(0.0, 1.0)
THRESHOLDS = np.linspace(0.02, 0.98, 49)


def show_classes(answers: Answers) -> list[Block]:
    """The charts and tables of a classification.

    Args:
        answers: of a task with classes or labels.
    """
    figures = []
    if answers.has_single_class:
        figures.append(_draw_confusion(answers))
    figures += _draw_curves(answers)
    if answers.task in ("binary", "multiclass"):
        figures.append(_draw_calibration(answers))
    if answers.task == "binary":
        figures.append(_draw_thresholds(answers))
    return [Figures(tuple(figures)), _tabulate_classes(answers)]


def count_pairs(answers: Answers) -> tuple[tuple[str, ...], Array]:
    """Names and counts [K, K] of true against answered classes; the rarest of many classes are one, "others"."""
    size = len(answers.names)
    counts = np.zeros((size, size), dtype=np.int64)
    np.add.at(counts, (answers.labels.astype(np.int64), answers.classes), 1)
    if size <= MOST_CLASSES + 1:
        return answers.names, counts
    order = np.argsort(-counts.sum(axis=1), kind="stable")
    kept = np.sort(order[:MOST_CLASSES])
    place = np.full(size, MOST_CLASSES)
    place[kept] = np.arange(MOST_CLASSES)
    merged = np.zeros((MOST_CLASSES + 1, MOST_CLASSES + 1), dtype=np.int64)
    np.add.at(merged, (place[:, None], place[None, :]), counts)
    return (*(answers.names[number] for number in kept), "others"), merged


def _draw_confusion(answers: Answers) -> Figure:
    names, counts = count_pairs(answers)
    right = int((answers.classes == answers.labels).sum())
    said = f"{right} of {count_of(answers.num_rows, 'row')} are right"
    worst = counts * (1 - np.eye(len(names), dtype=np.int64))
    row, column = np.unravel_index(int(worst.argmax()), worst.shape)
    if worst[row, column]:
        said += f"; most often {names[row]} is answered as {names[column]}, in {count_of(int(worst[row, column]), 'row')}"
    return Figure(draw_matrix(f"Confusion matrix: {said}.", names, counts), f"Confusion: {said}.")


def _one_against_rest(answers: Answers) -> list[tuple[str, Array, Array]]:
    """Name, truth [R] and score [R] of each class that some rows have and others lack, the most frequent first."""
    if answers.task == "binary":
        return [(answers.names[1], answers.labels > 0, answers.scores)]
    number = np.arange(len(answers.names))
    is_there = (
        answers.labels > 0
        if answers.labels.ndim == 2
        else answers.labels.astype(np.int64)[:, None] == number
    )
    order = np.argsort(-is_there.sum(axis=0), kind="stable")
    return [
        (answers.names[each], is_there[:, each], answers.scores[:, each])
        for each in order
        if 0 < is_there[:, each].sum() < answers.num_rows
    ]


def _draw_curves(answers: Answers) -> list[Figure]:
    """ROC and precision-recall."""
    asked = [each for each in _one_against_rest(answers) if 0 < each[1].sum() < answers.num_rows]
    if not asked:
        return []
    shown = asked[:MOST_CURVES]
    areas = [(name, roc_auc_score(*pair), average_precision_score(*pair)) for name, *pair in shown]
    of = "" if len(asked) == len(shown) else f" of the {len(shown)} most frequent classes"
    if answers.task == "binary":
        rocs, averages = (f"{value:.4f}" for value in areas[0][1:])
    else:
        rocs = ", ".join(f"{name} {area:.4f}" for name, area, _ in areas)
        averages = ", ".join(f"{name} {area:.4f}" for name, _, area in areas)
    roc = Chart(
        f"ROC curve{of}; area {rocs}.", UNIT, UNIT, "false positive rate", "true positive rate"
    )
    pr = Chart(
        f"Precision-recall curve{of}; average precision {averages}.",
        UNIT,
        UNIT,
        "recall",
        "precision",
    )
    roc.guide((0, 0), (1, 1))
    for series, (name, truth, scores) in enumerate(shown, 1):
        legend = name[:12] if len(shown) > 1 else ""
        false, true, _ = roc_curve(truth, scores)
        roc.line(list(zip(false.tolist(), true.tolist(), strict=True)), series, legend)
        precision, recall, _ = precision_recall_curve(truth, scores)
        pr.line(list(zip(recall.tolist(), precision.tolist(), strict=True)), series, legend)
        pr.guide((0, float(truth.mean())), (1, float(truth.mean())))
    return [
        Figure(roc.to_svg(), f"ROC{of}; area {rocs}. On the dashed line the score tells nothing."),
        Figure(pr.to_svg(), f"Precision and recall{of}; average precision {averages}. Dashed: what chance reaches."),
    ]  # fmt: skip


def _draw_calibration(answers: Answers) -> Figure:
    labels = answers.labels.astype(np.int64)
    bins = bin_confidence(labels, answers.scores)
    error = calibration_error(labels, answers.scores)
    start = 0.5 if answers.task == "binary" else 0.0
    said = f"expected calibration error {error:.4f}"
    chart = Chart(
        f"Reliability: confidence against the part that is right, {said}.",
        Range(start, 1.02),
        Range(0.0, 1.04),
        "probability of the answer",
        "part that is right",
    )
    chart.guide((start, start), (1, 1))
    points = list(zip(bins.confidence.tolist(), bins.accuracy.tolist(), strict=True))
    chart.line(points, 1)
    chart.dots(points, 1, (3 + 14 * np.sqrt(bins.share)).tolist())
    return Figure(
        chart.to_svg(),
        f"Calibration: {said}. On the dashed line probabilities mean what they say; below it the model is too sure. "
        "The area of a dot is its share of the rows.",
    )


def _draw_thresholds(answers: Answers) -> Figure:
    truth = answers.labels > 0
    points = [_at_threshold(truth, answers.scores, threshold) for threshold in THRESHOLDS]
    chart_of = {
        name: [(float(x), point[place]) for x, point in zip(THRESHOLDS, points, strict=True)]
        for place, name in enumerate(("accuracy", "F1", "recall"))
    }
    best = max(chart_of["F1"], key=lambda point: point[1])
    most = max(chart_of["accuracy"], key=lambda point: point[1])
    said = f"accuracy is highest from {most[0]:.2f} on ({most[1]:.4f}), F1 from {best[0]:.2f} on ({best[1]:.4f})"
    chart = Chart(
        f"Accuracy, F1 and recall over the threshold: {said}.", UNIT, UNIT, "threshold of the probability"
    )  # fmt: skip
    for series, (name, line) in enumerate(chart_of.items(), 1):
        chart.line(line, series, name)
    chart.mark(0.5, "0.5")
    return Figure(
        chart.to_svg(),
        f"Thresholds: {said}, chosen on these very rows, which flatters; rows never seen will gain less.",
    )


def _at_threshold(truth: Array, scores: Array, threshold: float) -> tuple[float, float, float]:
    """Accuracy, F1 and recall of class 1."""
    answered = scores >= threshold
    hits = int((answered & truth).sum())
    both = int(answered.sum() + truth.sum())
    return (
        float((answered == truth).mean()),
        2 * hits / both if both else 0.0,
        hits / max(1, int(truth.sum())),
    )


def _tabulate_classes(answers: Answers) -> Table:
    if answers.has_single_class:
        number = np.arange(len(answers.names))
        truth = answers.labels.astype(np.int64)[:, None] == number
        answered = answers.classes[:, None] == number
    else:
        truth = answers.labels > 0
        answered = answers.scores >= np.array(answers.thresholds or 0.5)
    rows = []
    order = np.argsort(-truth.sum(axis=0), kind="stable")
    shown = np.sort(order[:MOST_ROWS])
    for place in shown.tolist():
        hits = int((truth[:, place] & answered[:, place]).sum())
        there, said = int(truth[:, place].sum()), int(answered[:, place].sum())
        rows.append(
            (
                answers.names[place],
                there,
                said,
                hits / said if said else None,
                hits / there if there else None,
                2 * hits / (there + said) if there + said else None,
            )
        )
    kind = "class" if answers.has_single_class else "label"
    size = len(answers.names)
    more = f", the {MOST_ROWS} most frequent of {size}" if size > MOST_ROWS else ""
    return Table(
        f"Each {kind}{more}",
        (kind, "rows", "answered", "precision", "recall", "F1"),
        tuple(rows),
        is_folded=len(rows) > 30,
    )
