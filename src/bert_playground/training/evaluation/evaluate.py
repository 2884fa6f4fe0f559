"""evaluate_table: what a checkpoint scores on a table whose answers are known, beside the best constant answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bert_playground.config.datasets import load_datasets
from bert_playground.data.drift.finding import Finding
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.reading.table import read_table
from bert_playground.data.schema.roles import recognise
from bert_playground.data.schema.sampling import read_frames
from bert_playground.inference import AnyPredictor, join_predictions
from bert_playground.logger import logger
from bert_playground.run_record import find_record, read_record
from bert_playground.runs import BLEND_NAME, ENSEMBLE_NAME, RunDir
from bert_playground.training.metrics.baseline import baseline_scores
from bert_playground.training.metrics.multilabel import report_each
from bert_playground.training.metrics.scorer import look_up_metric, make_scorer


@dataclass(frozen=True)
class Evaluation:
    """Scores on labelled rows.

    Attributes:
        num_rows: that were scored.
        metrics: of the checkpoint, the loss first where it has one.
        constant: the same of the best constant answer to these very rows: what a model that never looks would score.
        drift: how the rows differ from those of training.
        is_seen: whether the table is the one that the checkpoint was trained on.
    """

    num_rows: int
    metrics: dict[str, float]
    constant: dict[str, float]
    drift: tuple[Finding, ...] = ()
    is_seen: bool = False


def evaluate_table(
    predictor: AnyPredictor,
    data: Path,
    *,
    also: Sequence[str] = (),
    num_variants: int = 1,
    strict: bool = False,
) -> Evaluation:
    """Score a checkpoint on a table; of a known data set by its own metric too.

    Args:
        predictor: of the checkpoint or ensemble.
        data: a table with the target; a large one is read chunk by chunk.
        also: names of further metrics.
        num_variants: see `Predictor.score`.
        strict: whether it is an error that the rows differ from those of training.

    Raises:
        FileNotFoundError: the table is not there.
        ValueError: it is faulty, lacks columns or has labels that training did not know; a metric does not fit the
            task; or the rows differ, and `strict`.
    """
    pipeline = predictor.pipeline
    is_seen = _has_seen(predictor.checkpoint, data)
    if is_seen:
        logger.warning(
            f"{predictor.checkpoint} was trained on rows of {data}, so these scores flatter it: what unseen rows score is in "
            "the summary.json of its run"
        )
    for name in also:  # before the work, not after it
        look_up_metric(name, pipeline.task)
    # Windows are cut from all rows of a series.
    frames = read_frames(data) if pipeline.windows is None else iter([read_table(data)])
    columns: list[str] = []
    answers = []
    drift = pipeline.watch_drift()
    for frame in frames:
        columns = frame.columns
        rows = pipeline.rows_with_labels(frame)
        answers.append(predictor.score(rows, num_variants=num_variants, drift=drift))
    answer = join_predictions(answers)
    findings = drift.conclude(str(data), strict=strict)
    labels = answer.labels
    assert labels is not None  # the target column is there
    own = _own_metric(pipeline, columns)
    also = (*also, own) if own else also
    scorer = make_scorer(
        pipeline.task,
        *also,
        decode=pipeline.in_units,
        thresholds=predictor.thresholds,
        decision=predictor.decision,
    )
    # Several models or variants together have no loss of their own.
    loss = {} if answer.loss is None else {"loss": answer.loss}
    metrics = {**loss, **scorer(labels, answer.scores)}
    if pipeline.task == "multilabel":
        metrics |= report_each(labels, answer.scores, [str(name) for name in pipeline.classes])
    num_classes = len(pipeline.classes) or None
    constant = baseline_scores(labels, len(labels), num_classes, task=pipeline.task)
    return Evaluation(len(labels), metrics, scorer(labels, constant), tuple(findings), is_seen)


def _has_seen(checkpoint: Path, data: Path) -> bool:
    """Whether the run of a checkpoint, an ensemble or a blend was trained on this very file."""
    is_run = any((checkpoint / name).is_file() for name in (BLEND_NAME, ENSEMBLE_NAME))
    is_told = is_run and RunDir(checkpoint).config.is_file()
    try:
        record = read_record(checkpoint) if is_told else find_record(checkpoint)
    except ValueError:  # a damaged file of the run does not keep a checkpoint from being scored
        return False
    trained_on = None if record is None else record.setting("data.train")
    if trained_on is None:
        return False
    path = Path(trained_on)
    return path.exists() and data.exists() and path.samefile(data)


def _own_metric(pipeline: TextPipeline, columns: Sequence[str]) -> str | None:
    """The metric that a known data set is judged by; folders of earlier versions do not hold it."""
    if pipeline.schema.metric is not None:
        return pipeline.schema.metric
    known = recognise([*columns], load_datasets(None))
    asked = None if known is None else (known.target, known.task or pipeline.task)
    return known.metric if known and asked == (pipeline.target, pipeline.task) else None
