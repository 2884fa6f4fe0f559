"""summary.json: what a run achieved, what it cost, and what to try next."""

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from bert_playground.data.loaders import MLXLoader, StreamingLoader
from bert_playground.data.pipeline import TextPipeline
from bert_playground.memory import peak_memory_bytes
from bert_playground.runs import RunDir
from bert_playground.tasks import TASKS
from bert_playground.training.core.averaging import describe_average, is_averaged
from bert_playground.training.core.optimizer import flatten
from bert_playground.training.core.trainer import Trainer
from bert_playground.training.metrics import METRICS
from bert_playground.training.metrics.baseline import baseline_scores

SUGGESTED = "sentence-transformers/all-MiniLM-L6-v2"


def summarise(
    run: RunDir,
    trainer: Trainer,
    pipeline: TextPipeline,
    train_data: MLXLoader | StreamingLoader,
    val_data: MLXLoader,
    *,
    is_pretrained: bool,
) -> dict[str, Any]:
    """Everything a reader of results wants in one flat document; all numbers are measured in this run."""
    state = trainer.state
    train_seconds = max(state.seconds, 1e-9)
    baseline = measure_baseline(trainer, pipeline, train_data, val_data)
    return {
        "task": pipeline.task,
        "target": pipeline.target,
        "monitor": state.monitor,
        "mode": state.mode,
        "metrics": state.best_metrics,
        "last_metrics": state.metrics,
        "raw_metrics": state.raw_metrics,
        "baseline": baseline,
        "hint": suggest_next(
            state.best_metrics,
            baseline,
            metric=TASKS[pipeline.task].metric,
            is_pretrained=is_pretrained,
            text_columns=tuple(feature.column for feature in pipeline.features if feature.is_text),
        ),
        "best_epoch": state.best_epoch,
        "best_step": state.best_step,
        "epochs": state.epoch,
        "steps": state.step,
        "stop_reason": state.stop_reason,
        "skipped_steps": state.skipped_steps,
        "train_rows": train_data.num_rows,
        "val_rows": val_data.num_rows,
        "parameters": count_parameters(trainer.model),
        "trained_parameters": count_parameters(trainer.model, trained_only=True),
        "precision": "bf16" if trainer.model.encoder.dtype == mx.bfloat16 else "f32",
        "weights": describe_weights(trainer),
        "is_compiled": trainer.loop.use_compilation,
        "seconds": state.seconds,
        "rows_per_second": state.rows / train_seconds,
        "tokens_per_second": state.tokens / train_seconds,
        "peak_memory_bytes": peak_memory_bytes(),
        "files": {
            name: str(path)
            for name, path in {
                "run": run.path,
                "best": run.best,
                "final": run.final,
                "curves": run.curves,
                "log": run.train_log,
                "metrics": run.metrics,
            }.items()
            if path.exists()
        },
    }


def describe_weights(trainer: Trainer) -> str:
    """Which weights the best checkpoint holds."""
    loop, state = trainer.loop, trainer.state
    if loop.swa_start is not None and not is_averaged(
        loop.swa_start, state.best_step, state.total_steps
    ):
        return "the weights as they are, as the best epoch came before training.swa_start"
    return describe_average(loop.ema_decay, loop.swa_start)


def measure_baseline(
    trainer: Trainer,
    pipeline: TextPipeline,
    train_data: MLXLoader | StreamingLoader,
    val_data: MLXLoader,
) -> dict[str, float]:
    """The metrics, on the same validation rows, of the answer that looks at no column."""
    train_labels, val_labels = train_data.labels, val_data.labels
    assert train_labels is not None
    assert val_labels is not None
    scores = baseline_scores(
        train_labels, len(val_labels), len(pipeline.classes) or None, task=pipeline.task
    )
    return {f"val_{name}": value for name, value in trainer.scorer(val_labels, scores).items()}


def count_parameters(model: nn.Module, *, trained_only: bool = False) -> int:
    """Values in the model, or only those that training changes."""
    tree = model.trainable_parameters() if trained_only else model.parameters()
    return sum(parameter.size for parameter in flatten(tree).values())


def suggest_next(
    metrics: dict[str, float],
    baseline: dict[str, float],
    *,
    metric: str,
    is_pretrained: bool,
    text_columns: tuple[str, ...],
) -> str | None:
    """When a run from random weights would gain from a checkpoint: free text, or no gain over the baseline.

    Returns:
        A sentence for the end of the run, or None.
    """
    if is_pretrained:
        return None
    if text_columns:
        return (
            f"{', '.join(text_columns)} hold free text, of which random weights know nothing: a pretrained checkpoint is "
            f"worth trying, such as --model {SUGGESTED}"
        )
    name = f"val_{metric}"
    if name in metrics and name in baseline:
        gain = metrics[name] - baseline[name]
        if (gain if METRICS[metric].higher_is_better else -gain) <= 0:
            return (
                f"{name} is no better than the constant baseline: a pretrained checkpoint is worth trying, "
                f"such as --model {SUGGESTED}, or a higher --lr"
            )
    return None
