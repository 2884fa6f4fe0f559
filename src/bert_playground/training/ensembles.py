"""fit_variation: one member on a prepared table; train_ensemble: several, scored alone and together on the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_playground.config.schema import RunConfig
from bert_playground.data.prepare import Prepared, prepare
from bert_playground.ensemble_predictor import (
    EnsemblePredictor,
    disagreement_rate,
    error_correlation,
)
from bert_playground.inference import AnyPredictor, Predictions, Predictor
from bert_playground.models.ensemble import Variation, vary, write_manifest
from bert_playground.models.sizes import fit_to_checkpoint
from bert_playground.run_lock import hold_run
from bert_playground.runs import ENSEMBLE_NAME, RunDir
from bert_playground.training.members import describe_variation, fit_members
from bert_playground.training.metrics.scorer import make_scorer
from bert_playground.training.pretrain_first import pretrain_first
from bert_playground.training.report.conclude import conclude_run
from bert_playground.training.run import fit
from bert_playground.training.run_folder import RunResult, run_in_folder
from bert_playground.training.start import start_run, write_run_config


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


def train_ensemble(config: RunConfig, sources: Mapping[str, str] | None = None) -> EnsembleResult:
    """Train `ensemble.num_models` models on one split of the table, which is read and decided upon once.

    The folder answers with the members that are complete at any time, so Ctrl-C loses only the one that is underway.

    Args:
        config: what was asked for; see its section `ensemble`.
        sources: for each dotted path of the configuration where its value came from.

    Raises:
        ValueError: tables or configuration do not fit, or checkpoints are turned off.
        KeyboardInterrupt: Ctrl-C; a note says which members are complete.
    """
    config, sources = fit_to_checkpoint(config, sources or {})
    asked = config.ensemble
    if not config.checkpoint.enable_checkpointing:
        raise ValueError(
            "an ensemble is made of checkpoints; leave checkpoint.enable_checkpointing on"
        )
    architecture = config.model.architecture if config.model.pretrained is None else None
    variations = vary(asked.diversity_strategy, asked.num_models, architecture)
    run = RunDir.create(config.training.output_dir)
    with hold_run(run):
        return _train_together(run, config, sources, variations)


def _train_together(
    run: RunDir, config: RunConfig, sources: Mapping[str, str], variations: Sequence[Variation]
) -> EnsembleResult:
    strategy = config.ensemble.diversity_strategy
    try:
        prepared = prepare(config)
        config = pretrain_first(prepared, config, run)
        results = fit_members(
            variations,
            lambda _, variation: fit_variation(prepared, config, variation, run, sources),
            seed=config.training.seed,
            on_fitted=lambda results: _write_members(run, results, strategy),
        )
    except KeyboardInterrupt as interrupt:
        if (run.path / ENSEMBLE_NAME).is_file():
            interrupt.add_note(f"they answer together: {run.path}")
        raise
    finally:
        if not (run.path / ENSEMBLE_NAME).is_file():
            run.discard_unused()
    write_run_config(run, config, sources)
    return _conclude(run, config, prepared, variations, results)


def fit_variation(
    prepared: Prepared,
    config: RunConfig,
    variation: Variation,
    run: RunDir,
    sources: Mapping[str, str] | None = None,
) -> RunResult:
    """Fit one member in a run folder of its own under `run`; the tables are neither read nor decided upon again."""
    if variation.fold is not None:
        prepared = prepared.of_fold(variation.fold)

    def body(folder: RunDir, varied: RunConfig, checkpoint: object) -> RunResult:
        start_run(folder, varied)
        return fit(prepared, varied, folder)

    return run_in_folder(body, "train", vary_config(config, variation, run), sources)


def vary_config(config: RunConfig, variation: Variation, run: RunDir) -> RunConfig:
    """The configuration of one member: a single model on the same split, in a folder under that of all."""
    changes: dict[str, dict[str, Any]] = {
        "training": {
            "seed": config.training.seed + variation.seed_offset,
            "output_dir": run.path / "members",
            "report": False,  # that of all members together shows each
        },
        "data": {"split_seed": config.split_seed},
        "ensemble": {"num_models": 1},
        "tracking": {"directory": config.tracking.directory or config.training.output_dir},
    }
    for section, values in variation.settings(config.data.sample_fraction).items():
        changes.setdefault(section, {}).update(values)
    return config.with_changes(changes)


def _write_members(run: RunDir, results: Sequence[RunResult], strategy: str) -> None:
    write_manifest(run.path, [_checkpoint(result) for result in results], strategy=strategy)


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
