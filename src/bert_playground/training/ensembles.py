"""train_ensemble: several members on one prepared table, scored alone and together on the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_playground.config.schema import RunConfig
from bert_playground.data.prepare import Prepared, prepare
from bert_playground.engines.engine import open_engine, require_engine
from bert_playground.ensemble_predictor import (
    EnsemblePredictor,
    disagreement_rate,
    error_correlation,
)
from bert_playground.inference import AnyPredictor, Predictions, Predictor
from bert_playground.models.ensemble import Variation, vary
from bert_playground.runs import ENSEMBLE_NAME, RunDir
from bert_playground.training.ensemble_fits import fit_variations
from bert_playground.training.ignored_settings import log_settings_of_folds
from bert_playground.training.members import describe_variation
from bert_playground.training.metrics.scorer import make_scorer
from bert_playground.training.pretrain_first import pretrain_first
from bert_playground.training.report.conclude import conclude_run
from bert_playground.training.run_folder import RunResult, run_in_folder
from bert_playground.training.start import read_sources


@dataclass(frozen=True)
class EnsembleResult:
    """What an ensemble gives.

    Attributes:
        run_dir: with ensemble.json, summary.json, and the members' runs under members/.
        metrics: of the averaged answer on the validation rows; names start with val_.
        member_metrics: the same of each member alone.
        summary: what summary.json holds.
    """

    run_dir: RunDir
    metrics: dict[str, float]
    member_metrics: list[dict[str, float]]
    summary: dict[str, Any]


def train_ensemble(
    config: RunConfig, sources: Mapping[str, str] | None = None, resume: Path | None = None
) -> EnsembleResult:
    """Train `ensemble.num_models` models on one split of the table, which is read and decided upon once.

    The folder answers with the members that are complete at any time, so Ctrl-C loses only what is underway, and that goes on
    by `resume`.

    Args:
        config: what was asked for; see its section `ensemble`.
        sources: for each dotted path of the configuration where its value came from.
        resume: the folder of an ensemble to go on with, by the configuration that it has stored.

    Raises:
        ValueError: tables or configuration do not fit, or checkpoints are turned off.
        KeyboardInterrupt: Ctrl-C; a note says which members are complete, and how to go on.
    """
    require_engine(config.engine.asked, f"bert train --engine {config.engine.name}")
    if not config.checkpoint.enable_checkpointing:
        raise ValueError(
            "an ensemble is made of checkpoints; leave checkpoint.enable_checkpointing on"
        )

    def body(run: RunDir, config: RunConfig, checkpoint: Path | None) -> EnsembleResult:
        log_settings_of_folds(config, read_sources(run))
        return _train_together(run, config, read_sources(run))

    return run_in_folder(body, "train", config, sources, resume)


def _train_together(run: RunDir, config: RunConfig, sources: Mapping[str, str]) -> EnsembleResult:
    asked = config.ensemble
    architecture = config.model.architecture if config.model.pretrained is None else None
    variations = vary(asked.diversity_strategy, asked.num_models, architecture)
    try:
        prepared = prepare(config)
        config = pretrain_first(prepared, config, run)
        with open_engine(config.engine.asked, config.cross_validation.jobs, run.config) as engine:
            results = fit_variations(run, config, sources, prepared, variations, engine)
    except KeyboardInterrupt as interrupt:
        if (run.path / ENSEMBLE_NAME).is_file():
            interrupt.add_note(f"they answer together: {run.path}")
        raise
    return _conclude(run, config, prepared, variations, results)


def _checkpoint(result: RunResult) -> Path:
    assert result.best_checkpoint is not None  # checkpoints are on
    return result.best_checkpoint


def _conclude(
    run: RunDir,
    config: RunConfig,
    prepared: Prepared,
    variations: Sequence[Variation],
    results: Sequence[RunResult],
) -> EnsembleResult:
    """Score everything once more on the validation rows, as `bert evaluate` would."""
    frame = prepared.val
    predictor = EnsemblePredictor.load(run.path)
    pipeline = predictor.pipeline
    answers = [member.score(frame) for member in predictor.members]
    member_metrics = [
        _measure(member, answer) for member, answer in zip(predictor.members, answers, strict=True)
    ]
    metrics = _measure(predictor, predictor.combine(answers))
    first = results[0].summary
    summary = {
        "task": pipeline.task,
        "target": pipeline.target,
        "strategy": config.ensemble.diversity_strategy,
        "val_rows": frame.height,
        "train_rows": first["train_rows"],
        "metrics": metrics,
        "baseline": first["baseline"],
        "members": [
            {
                "what": describe_variation(variation, config.training.seed),
                "checkpoint": str(_checkpoint(result)),
                "metrics": measured,
                "seconds": result.summary["seconds"],
            }
            for variation, result, measured in zip(variations, results, member_metrics, strict=True)
        ],
        "disagreement": _measure_disagreement(predictor.members, answers),
        "seconds": sum(result.summary["seconds"] for result in results),
        "files": {
            "run": str(run.path),
            "best": str(run.path),
            "members": str(run.path / ENSEMBLE_NAME),
        },
    }
    conclude_run(run, summary, prepared, has_report=config.training.report)
    return EnsembleResult(run, metrics, member_metrics, summary)


def _measure(predictor: AnyPredictor, answer: Predictions) -> dict[str, float]:
    assert answer.labels is not None  # validation rows have the target
    pipeline = predictor.pipeline
    scorer = make_scorer(pipeline.task, decode=pipeline.in_units, thresholds=predictor.thresholds)
    return {f"val_{name}": value for name, value in scorer(answer.labels, answer.scores).items()}


def _measure_disagreement(
    members: Sequence[Predictor], answers: Sequence[Predictions]
) -> dict[str, float | None]:
    """How often two members give different labels, or how alike the errors of two members are."""
    in_units = members[0].pipeline.in_units
    if in_units is None:
        decoded = [
            member.answers(answer.scores).to_numpy()
            for member, answer in zip(members, answers, strict=True)
        ]
        return {"different_labels": disagreement_rate(decoded)}
    errors = []
    for answer in answers:
        assert answer.labels is not None  # validation rows have the target
        errors.append((in_units(answer.scores) - in_units(answer.labels)).ravel())
    return {"error_correlation": error_correlation(errors)}
