"""fit_variations: the members of an ensemble on one prepared table, side by side or one by one; what is complete is never fitted again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bert_playground.config.schema import RunConfig
from bert_playground.data.prepare import Prepared
from bert_playground.documents import read_json
from bert_playground.engines.engine import Engine
from bert_playground.logger import logger
from bert_playground.models.ensemble import Variation, write_manifest
from bert_playground.run_record import read_record
from bert_playground.runs import MEMBERS, RunDir
from bert_playground.training.callbacks.progress import show_fits
from bert_playground.training.members import describe_variation
from bert_playground.training.run import fit
from bert_playground.training.run_folder import RunResult, run_in_folder
from bert_playground.training.start import start_run, write_json
from bert_playground.training.track_run import track_fold

# Which member has which folder, so that an ensemble that was stopped goes on.
FOLDERS = "members.json"


@dataclass(frozen=True)
class MemberFit:
    """One member to fit.

    Attributes:
        number: of the member, from 0 on.
        variation: what it has of its own.
        folder: of its run.
        prepared: the rows of all members.
        config: of the member.
        sources: of the configuration's values.
    """

    number: int
    variation: Variation
    folder: RunDir
    prepared: Prepared
    config: RunConfig
    sources: Mapping[str, str]


def fit_variations(
    run: RunDir,
    config: RunConfig,
    sources: Mapping[str, str],
    prepared: Prepared,
    variations: Sequence[Variation],
    engine: Engine,
) -> list[RunResult]:
    """Fit one member for each variation; after each one the ensemble answers with those that are complete.

    Args:
        run: of the ensemble; an earlier part of it may have fitted some.
        config: of all members.
        sources: of its values.
        prepared: the rows.
        variations: what each member has of its own.
        engine: where they are fitted.

    Raises:
        KeyboardInterrupt: Ctrl-C; a note says how many members are complete.
    """
    folders = _plan_folders(run, len(variations))
    results: dict[int, RunResult] = {}

    def list_jobs() -> Iterator[MemberFit]:
        for number, variation in enumerate(variations):
            what = describe_variation(variation, config.training.seed)
            logger.info(f"member {number + 1} of {len(variations)}: {what}")
            varied = vary_config(config, variation, run)
            if not engine.is_in_process:  # it is tracked from here
                varied = varied.with_changes({"tracking": {"mlflow": False}})
            yield MemberFit(number, variation, folders[number], prepared, varied, dict(sources))

    try:
        with (
            show_fits(len(variations)) as tell,
            closing(engine.run(fit_member, list_jobs())) as done,
        ):
            for job, result in done:
                results[job.number] = result
                seconds = result.summary["seconds"]
                tell(f"member {job.number + 1} of {len(variations)} is complete: {seconds:.1f} s")
                if not engine.is_in_process:
                    _track(job, config.training.seed)
                _write_members(run, results, config.ensemble.diversity_strategy)
    except KeyboardInterrupt as interrupt:
        if results:
            interrupt.add_note(f"{len(results)} of {len(variations)} members are complete")
        raise
    return [results[number] for number in range(len(variations))]


def fit_member(job: MemberFit) -> RunResult:
    """Fit one member in its run folder; the tables are neither read nor decided upon again."""
    folder, prepared = job.folder, job.prepared
    if folder.summary.is_file():
        summary: dict[str, Any] = read_json(folder.summary)
        return RunResult(folder, read_record(folder.path).summary.metrics, folder.kept, summary)
    if job.variation.fold is not None:
        prepared = prepared.of_fold(job.variation.fold)

    def body(run: RunDir, config: RunConfig, checkpoint: Path | None) -> RunResult:
        start_run(run, config)
        return fit(prepared, config, run, checkpoint)

    result = run_in_folder(body, "train", job.config, job.sources, folder=folder)
    # What goes on is found by its absolute path, and the ensemble names its members by where they lie in it.
    return replace(result, run_dir=folder, best_checkpoint=folder.kept)


def vary_config(config: RunConfig, variation: Variation, run: RunDir) -> RunConfig:
    """The configuration of one member: a single model on the same split, in a folder under that of all."""
    changes: dict[str, dict[str, Any]] = {
        "training": {
            "seed": config.training.seed + variation.seed_offset,
            "output_dir": run.path / MEMBERS,
            "report": False,  # that of all members together shows each
        },
        "data": {"split_seed": config.split_seed},
        "ensemble": {"num_models": 1},
        "tracking": {"directory": config.tracking.directory or config.training.output_dir},
    }
    for section, values in variation.settings(config.data.sample_fraction).items():
        changes.setdefault(section, {}).update(values)
    return config.with_changes(changes)


def _plan_folders(run: RunDir, num_members: int) -> list[RunDir]:
    path = run.path / FOLDERS
    if path.is_file():
        names = read_json(path)["folders"]
    else:
        stem = f"run_{datetime.now():%Y%m%d_%H%M%S}"
        names = [stem, *(f"{stem}_{number}" for number in range(2, num_members + 1))]
        write_json(path, {"folders": names})
    return [RunDir(run.path / MEMBERS / name) for name in names]


def _track(job: MemberFit, seed: int) -> None:
    what = describe_variation(job.variation, seed)
    track_fold(job.folder.path, f"member {job.number + 1}", {"member": what})


def _write_members(run: RunDir, results: Mapping[int, RunResult], strategy: str) -> None:
    kept = [results[number].best_checkpoint for number in sorted(results)]
    write_manifest(run.path, [path for path in kept if path is not None], strategy=strategy)
