"""conclude_study: the verdict, the best configuration as a file, summary.json and the report."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial

from bert_playground.config.changes import list_changes
from bert_playground.config.schema import RunConfig
from bert_playground.files import write_text
from bert_playground.logger import logger
from bert_playground.runs import RunDir
from bert_playground.training.start import write_json
from bert_playground.tuning.race import RACE_SEED, Race, race_trials
from bert_playground.tuning.read_space import FIXED
from bert_playground.tuning.report import report_study
from bert_playground.tuning.request import TuneRequest
from bert_playground.tuning.rows import TunedRows
from bert_playground.tuning.search import Search, describe_trials
from bert_playground.tuning.study import RUN, best_trial, finished_trials
from bert_playground.tuning.verdict import VERDICT_SEED, Verdict, reach_verdict
from bert_playground.tuning.weights import drop_weights

BEST = "best.yaml"
SEEDS_PER_END = 100  # so that a study that goes on is judged by seeds that it has not used
ENDS = "verdicts"  # the study's attribute: how often it was concluded
LEAST_TRIALS = 4  # of which importances say anything


def conclude_study(
    run: RunDir, search: Search, rows: TunedRows, asked: TuneRequest, started: float
) -> dict[str, Any]:
    """Everything that comes after the last trial.

    Args:
        run: of the study.
        search: that has ended.
        rows: the table of the trials, and the rows put aside.
        asked: of the study.
        started: `time.perf_counter()` at the start of this process.
    """
    before = int(search.study.user_attrs.get(ENDS, 0))
    search.study.set_user_attr(ENDS, before + 1)
    offset = search.runner.config.training.seed + SEEDS_PER_END * before
    race = race_trials(search, RACE_SEED + offset)
    best = _choose(search, race)
    verdict = _judge(search, rows, asked, best, race, VERDICT_SEED + offset)
    kept = None if verdict.is_worse else best
    config, _ = search.configured(kept)
    path = run.path / BEST
    given = {name for name, by in search.runner.sources.items() if by != "default"}
    tuned = () if kept is None else tuple(kept.params)
    comments = _say_best(search, best, race), verdict.say()
    write_text(path, spell_config(config, {*given, *tuned}, comments))
    command = _train_command(run, path)
    summary = _summarise(run, search, best, race, verdict, rows, command)
    summary["seconds"] = time.perf_counter() - started
    summary["time"] = {"asked": search.clock.seconds, "taken": summary["seconds"]}
    write_json(run.summary, summary)
    if search.runner.config.training.report and report_study(run, search, summary):
        summary["files"]["report"] = str(run.report_path)
    summary["seconds"] = summary["time"]["taken"] = time.perf_counter() - started
    write_json(run.summary, summary)
    for said in (*comments, say_time(summary["time"])):
        logger.info(said)
    return summary


def _choose(search: Search, race: Race | None) -> FrozenTrial | None:
    """The trial that won the race, or without one by the score of the search; None: the defaults did."""
    best = best_trial(search.study)
    if race is not None:
        search.clock.best = race.seconds * search.clock.fits_per_trial
        for attributes in (best.user_attrs if best else {}, search.defaults or {}):
            if run := attributes.get(RUN):
                drop_weights(RunDir(Path(run)))  # those of the winner's last round stay
        found = {trial.number: trial for trial in finished_trials(search.study)}
        return None if race.winner is None else found[race.winner]
    return best if best is not None and search.is_better(best.value, search.defaults) else None


def _judge(
    search: Search,
    rows: TunedRows,
    asked: TuneRequest,
    best: FrozenTrial | None,
    race: Race | None,
    first_seed: int,
) -> Verdict:
    metric = search.runner.metric
    if best is None:
        by = "even by its own score" if race is None else "on fresh splits"
        return Verdict(metric, why=f"no trial was better than the defaults, {by}")
    if rows.aside is None:
        return Verdict(metric, why="no rows were put aside (--aside 0)")
    search.progress.begin("the verdict")
    return reach_verdict(
        search.runner,
        rows.aside,
        search.configured(best),
        search.configured(None),
        search.clock,
        asked.seeds,
        first_seed,
        lambda number: search.progress.begin(f"the verdict, pair {number + 1}"),
    )


def _say_best(search: Search, best: FrozenTrial | None, race: Race | None) -> str:
    metric, tried = search.runner.metric, describe_trials(search)
    who = "The defaults are" if best is None else f"Trial {best.number} is"
    if race is not None:
        return f"{who} the best of {tried}: {metric} {race.say()}."
    if best is None:
        known = search.defaults
        assert known is not None
        return f"{who} the best of {tried}: {metric} {known['value']:.4f}."
    return f"{who} the best of {tried}: {search.say_best().removeprefix('best ')} by the score that chose it."


def spell_config(config: RunConfig, given: set[str], comments: tuple[str, ...]) -> str:
    """What differs from all defaults as YAML that `bert train --config` takes, without tables and folders.

    Args:
        config: of the best trial.
        given: dotted paths of what somebody or the study has set.
        comments: for the head of the file.
    """
    values = config.model_dump(mode="json")
    paths = {*given, *list_changes(values)}
    sections: dict[str, dict[str, Any]] = {}
    for path in sorted(paths):
        section, key = path.split(".")
        if _belongs_to_study(path) or key not in values.get(section, {}):
            continue
        sections.setdefault(section, {})[key] = values[section][key]
    head = "".join(f"# {comment}\n" for comment in comments)
    # Through JSON, as YAML would spell the classes of NumPy.
    return head + yaml.safe_dump(
        json.loads(json.dumps(sections)), sort_keys=True, allow_unicode=True
    )


def _belongs_to_study(path: str) -> bool:
    """Whether a setting speaks of tables, folders or the study, and not of what is learned and how."""
    kept = ("data.task", "data.class_order", "training.metric", "checkpoint.best_model_metric")
    is_fixed = path in FIXED or path.partition(".")[0] in (
        "tracking",
        "cross_validation",
        "ensemble",
        "checkpoint",
    )
    return is_fixed and path not in kept


def _train_command(run: RunDir, best: Path) -> str:
    stored = json.loads(run.config.read_text(encoding="utf-8"))["values"]
    data, parts = stored["data"], []
    for flag, key in (("--val", "val"), ("--target", "target"), ("--id-column", "id_column")):
        if data.get(key):
            parts.append(f" {flag} {quote(str(data[key]))}")
    folds = stored["cross_validation"]["folds"]
    parts += [f" --folds {folds}"] if folds is not None else []
    return f"bert train --train {quote(str(data['train']))}{''.join(parts)} --config {quote(str(best))}"


def _summarise(
    run: RunDir,
    search: Search,
    best: FrozenTrial | None,
    race: Race | None,
    verdict: Verdict,
    rows: TunedRows,
    command: str,
) -> dict[str, Any]:
    known = search.defaults
    assert known is not None
    metric = search.runner.metric
    schema = search.runner.prepared.schema
    value, error = search.best_value()
    attributes = known if best is None else best.user_attrs
    metrics, trained = attributes.get("metrics", {}), attributes.get(RUN)
    if race is not None:
        value, error = race.value, race.error
        metrics, trained = race.last.metrics, str(race.last.run.path)
    return {
        "kind": "tune",
        "task": schema.task,
        "target": schema.target,
        "monitor": f"val_{metric}",
        "mode": "max" if search.runner.objective.higher_is_better else "min",
        "metrics": metrics,
        "concluded": True,
        "run": str(run.path),
        "study": search.study.study_name,
        "space": search.space.to_dict(),
        "defaults": {key: known[key] for key in ("value", "error", "seconds", "run")},
        "best": {
            "trial": None if best is None else best.number,
            "value": value,
            "error": error,
            "params": {} if best is None else search.space.decode(best.params),
            "run": trained,
            "says": _say_best(search, best, race),
        },
        "race": None if race is None else race.to_dict(),
        "verdict": verdict.to_dict(),
        "importances": measure_importances(search.study),
        "trials": list_trials(search),
        "rows_aside": 0 if rows.aside is None else rows.aside.height,
        "command": command,
        "files": {
            "run": str(run.path),
            "best": str(run.path / BEST),
            "log": str(run.train_log),
        },
    }


def list_trials(search: Search) -> list[dict[str, Any]]:
    """Each trial: parameters, state, value, seconds, folder, and why it ended early or failed."""
    return [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value,
            "params": search.space.decode(trial.params),
            "seconds": trial.user_attrs.get("seconds"),
            "run": trial.user_attrs.get(RUN),
            "origin": trial.user_attrs.get("origin"),
            "reason": trial.user_attrs.get("reason"),
        }
        for trial in finished_trials(search.study)
    ]


def measure_importances(study: optuna.Study) -> dict[str, float]:
    """Setting → its share of what separates good trials from the others (PED-ANOVA); {}: too few trials."""
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(complete) < LEAST_TRIALS:
        return {}
    try:
        found: Mapping[str, float] = optuna.importance.get_param_importances(study)
    except (ValueError, RuntimeError) as error:  # such as trials that are all equally good
        logger.debug(f"no importances: {error}")
        return {}
    return {name: float(value) for name, value in found.items()}


def say_time(time_: Mapping[str, float | None]) -> str:
    """Asked and taken."""
    asked, taken = time_["asked"], time_["taken"]
    assert taken is not None
    if asked is None:
        return f"It took {taken:.0f} s."
    return f"It took {taken:.0f} s of the {asked:.0f} s that it had ({taken / asked - 1:+.1%})."
