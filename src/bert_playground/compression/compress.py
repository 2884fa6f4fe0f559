"""compress_checkpoint: from a trained encoder to a smaller one, by one recipe or by a search."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from bert_playground.compression.front import Judged, choose_point, find_front, judge_front
from bert_playground.compression.importance import measure_importance
from bert_playground.compression.picture import draw_front
from bert_playground.compression.point import Point, Workshop
from bert_playground.compression.recipe import Recipe, Shape
from bert_playground.compression.recover import BATCH_SIZE, Recovery
from bert_playground.compression.rows import Rows, read_rows
from bert_playground.compression.study import Budget, Sampler, search_recipes
from bert_playground.compression.swap_noise import add_swap_noise
from bert_playground.compression.teacher import (
    Teaching,
    ask_full_model,
    ask_other_teacher,
    load_other_teacher,
)
from bert_playground.compression.vocabulary import Trimmed, trim_vocabulary
from bert_playground.data.reading.table import read_table
from bert_playground.documents import read_json
from bert_playground.files import replaced_directory, write_text
from bert_playground.inference import AnyPredictor, Predictor, has_adapters
from bert_playground.logger import logger
from bert_playground.models.quantization_utils import quantized_layers
from bert_playground.models.tokenwise import prepack_weights
from bert_playground.run_record import find_record
from bert_playground.runs import BLEND_NAME, ENSEMBLE_NAME, ESTIMATOR_NAME, find_checkpoint
from bert_playground.tasks import TASKS
from bert_playground.training.metrics.scorer import look_up_metric

IMPORTANCE_ROWS, IMPORTANCE_BATCH = 512, 16
REQUEST, SUMMARY, FRONT, PICTURE, BEST = (
    "request.json",
    "summary.json",
    "front.csv",
    "front.png",
    "best",
)


@dataclass(frozen=True)
class Request:
    """What is asked of a compression.

    Attributes:
        checkpoint: of the full model, or its run.
        train: the table with the target.
        recipe: the one recipe to follow; None: search.
        holdout: a labelled table to judge by; None: rows of `train`.
        test: a table whose words the vocabulary keeps too.
        teacher: whose answers are learned; None: the full model's.
        metric: a name in METRICS; None: that of the data set, else the task's.
        recovery: how students learn.
        keeps_vocabulary: whether it stays as it is.
        latency_rows: in the batch that is timed.
        max_drop: how much of the metric the one to use may lose.
        budget: of a search.
        sampler: of a search.
        seed: of rows, students and the search.
    """

    checkpoint: Path
    train: Path
    recipe: Recipe | None = None
    holdout: Path | None = None
    test: Path | None = None
    teacher: Path | None = None
    metric: str | None = None
    recovery: Recovery = field(default_factory=Recovery)
    keeps_vocabulary: bool = False
    latency_rows: int = 32
    max_drop: float = 0.005
    budget: Budget = field(default_factory=Budget)
    sampler: Sampler = "nsga2"
    seed: int = 0


@dataclass(frozen=True)
class Compressed:
    """What was made.

    Attributes:
        folder: where; of one recipe the checkpoint itself.
        metric: by which models were compared.
        points: all that were made.
        judged: the front on the rows put aside, the full model last.
        chosen: the one to use.
        reason: why.
        best: the folder of the one to use.
        statements: what was decided.
    """

    folder: Path
    metric: str
    points: tuple[Point, ...]
    judged: tuple[Judged, ...]
    chosen: Judged
    reason: str
    best: Path
    statements: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "folder": str(self.folder),
            "metric": self.metric,
            "full": self.judged[-1].to_dict(),
            "front": [each.to_dict() for each in self.judged[:-1]],
            "tried": [point.to_dict() for point in self.points],
            "chosen": self.chosen.point.name,
            "reason": self.reason,
            "best": str(self.best),
            "statements": list(self.statements),
        }


def compress_checkpoint(request: Request, output: Path, *, resumes: bool = False) -> Compressed:
    """Make a smaller encoder by one recipe, or search for those that nobody beats.

    Args:
        request: what is asked.
        output: a folder that does not exist yet; of one recipe it becomes the checkpoint.
        resumes: go on with the search in `output`.

    Raises:
        FileExistsError: the output exists.
        FileNotFoundError: a folder or a table is not there.
        ValueError: what is asked cannot be had; says what to do.
    """
    if output.exists() and not resumes:
        raise FileExistsError(
            f"{output} exists already; choose a new folder with --output, or go on with its search by --resume {output}"
        )
    if request.recipe is not None and resumes:
        raise ValueError("--resume goes on with a search; one recipe is made again, with --output")
    if request.recipe is None:
        _keep_request(request, output)
    workshop, statements = open_workshop(request)
    for statement in statements:
        logger.info(statement)
    if request.recipe is not None:
        points = [workshop.make(request.recipe, output)]
        judged = judge_front(points, workshop, request.seed)
        return Compressed(
            output, workshop.metric, tuple(points), tuple(judged), judged[0], "", output, statements
        )
    points = search_recipes(workshop, output, request.budget, request.sampler, request.seed)
    if not points:
        raise ValueError(
            f"no recipe could be tried within {request.budget.seconds} s; give more with --time"
        )
    judged = judge_front(find_front(points, workshop.metric), workshop, request.seed)
    chosen, reason = choose_point(judged, workshop.metric, request.max_drop)
    best = _copy_chosen(chosen.point, output)
    result = Compressed(
        output, workshop.metric, tuple(points), tuple(judged), chosen, reason, best, statements
    )
    _write_result(result)
    return result


def open_workshop(request: Request) -> tuple[Workshop, tuple[str, ...]]:
    """Load the full model, divide the rows, and learn from them all that recipes have in common."""
    full = load_full(request.checkpoint)
    teacher = None if request.teacher is None else load_other_teacher(request.teacher, full)
    if request.recipe is not None:  # before anything takes long
        request.recipe.filled(Shape.of(full.model.encoder.config))
    metric = request.metric or full.pipeline.schema.metric or TASKS[full.pipeline.task].metric
    look_up_metric(metric, full.pipeline.task)
    rows = read_rows(full, request.train, request.holdout, request.seed)
    trimmed, said = _trim(full, request, rows)
    loader = full.pipeline.make_loader(
        rows.train.sample(min(IMPORTANCE_ROWS, rows.train.height), seed=request.seed),
        batch_size=IMPORTANCE_BATCH,
    )
    importance = measure_importance(full.model, loader)
    recovery = request.recovery.filled(
        has_other_teacher=teacher is not None,
        is_from_random=_is_from_random(full),
        num_rows=rows.train.height,
    )
    rows, teaching = _teach(full, teacher, request, rows, recovery)
    workshop = Workshop(
        full=full,
        packed=Predictor.load(full.checkpoint),
        importance=importance,
        teaching=teaching,
        rows=rows,
        trimmed=trimmed,
        recovery=recovery,
        metric=metric.removeprefix("val_"),
        latency_rows=request.latency_rows,
    )
    return workshop, (*rows.statements, said, f"teacher: {teaching.source}")


def _teach(
    full: Predictor,
    teacher: AnyPredictor | None,
    request: Request,
    rows: Rows,
    recovery: Recovery,
) -> tuple[Rows, Teaching]:
    """The rows that students learn from, swap noise among them, and what they are to answer."""
    noised = rows.train.head(0)
    if recovery.copies:
        read = {*full.pipeline.columns, *(teacher.pipeline.columns if teacher else ())}
        columns = [name for name in rows.train.columns if name in read]
        noised = add_swap_noise(rows.train, columns, recovery.copies, recovery.seed)
    learned = pl.concat([rows.train, noised])
    answers = None
    if teacher is not None:
        answers = ask_other_teacher(teacher, full, request.train, rows.train, noised)
    assert recovery.lesson is not None
    if answers is not None and not recovery.lesson.vectors:
        return replace(rows, train=learned), Teaching.without_vectors(*answers)
    loader = full.pipeline.of_training_rows.make_loader(learned, batch_size=4 * BATCH_SIZE)
    teaching = ask_full_model(full.model, loader, str(full.checkpoint))
    if answers is not None:
        teaching = replace(teaching, logits=answers[0], source=answers[1])
    return replace(rows, train=learned), teaching


def _is_from_random(full: Predictor) -> bool:
    """Whether the run that trained a model says that it began from random weights."""
    record = find_record(full.checkpoint)
    if record is None or "model" not in record.settings.values:
        return False
    return record.setting("model.pretrained") is None


def load_full(checkpoint: Path) -> Predictor:
    """The model to compress, with full weights.

    Raises:
        ValueError: it is several models, none of an encoder, or quantized.
    """
    folder = find_checkpoint(checkpoint)
    kinds = {
        BLEND_NAME: "the blend of a run over folds",
        ENSEMBLE_NAME: "an ensemble",
        ESTIMATOR_NAME: "no encoder",
    }
    for name, kind in kinds.items():
        if (folder / name).is_file():
            raise ValueError(
                f"{folder} is {kind}; compress one encoder, and give this folder as its teacher: bert compress "
                f"--checkpoint RUN_OF_ONE_ENCODER --teacher {folder}"
            )
    predictor = Predictor.load(folder).with_weights()
    prepack_weights(predictor.model, None)  # no gradient passes a packed weight
    if quantized_layers(predictor.model):
        raise ValueError(
            f"the weights in {folder} are quantized already; compress the model that it was made from, with --bits 8"
        )
    adapter = getattr(predictor.model, "adapter", None)
    if adapter is not None and has_adapters(predictor.model):
        adapter.merge()
    return predictor


def _trim(full: Predictor, request: Request, rows: Rows) -> tuple[Trimmed | None, str]:
    if request.keeps_vocabulary:
        return None, "vocabulary: as it is"
    frames: list[pl.DataFrame] = [rows.train, rows.val]
    if request.test is not None:
        frames.append(full.pipeline.watch_drift().read(read_table(request.test)))
    try:
        trimmed = trim_vocabulary(full.pipeline, frames)
    except ValueError as error:
        return None, f"vocabulary: as it is, as {error}"
    return trimmed, trimmed.statement


def _keep_request(request: Request, output: Path) -> None:
    """Write down what is searched for, or check that the search to go on with is the same."""
    document = json.loads(json.dumps(asdict(request), default=str))
    path = output / REQUEST
    if not path.is_file():
        output.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(document, indent=2) + "\n")
        return
    former = read_json(path)
    fixed = sorted(set(document) - {"budget", "max_drop"})
    changed = [
        f"{name} ({former.get(name)}, asked {document[name]})"
        for name in fixed
        if former.get(name) != document[name]
    ]
    if changed:
        raise ValueError(
            f"the search in {output} has another {'; '.join(changed)}; start a new one with another --output"
        )


def _copy_chosen(point: Point, output: Path) -> Path:
    """The one to use, in a folder of a name that does not depend on the recipe; the full model stays where it is."""
    if point.recipe is None:
        return point.folder
    with replaced_directory(output / BEST) as temporary:
        shutil.copytree(point.folder, temporary, dirs_exist_ok=True)
    return output / BEST


def _write_result(result: Compressed) -> None:
    folder = result.folder
    write_text(folder / SUMMARY, json.dumps(result.to_dict(), indent=2) + "\n")
    write_text(folder / FRONT, pl.DataFrame(list(map(_row, result.judged))).write_csv())
    draw_front(folder / PICTURE, result.points, result.judged, result.chosen.point, result.metric)


def _row(judged: Judged) -> dict[str, Any]:
    point, shown = judged.point, judged.to_dict()
    del shown["recipe"], shown["put_aside"]
    recipe = (point.recipe or Recipe()).to_dict()
    return {**shown, **recipe, "aside": judged.score, "gain": judged.gain, "error": judged.error}


def list_front(result: Compressed) -> Sequence[Sequence[object]]:
    """The rows of the table: each model of the front, the full one last."""
    return [
        [
            each.point.name + (" *" if each is result.chosen else ""),
            each.point.score,
            f"{each.gain:+.4f} ±{each.error:.4f}" if each.point.recipe else "",
            round(each.point.milliseconds, 1),
            round(each.point.speed_up, 2),
            round(each.point.megabytes, 1),
        ]
        for each in result.judged
    ]
