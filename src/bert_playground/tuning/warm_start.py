"""collect_starts: configurations of earlier runs and studies, to be tried first; their scores are not taken over."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bert_playground.config.schema import RunConfig
from bert_playground.logger import logger
from bert_playground.lookup import count_of, expand_home, expand_pattern, name_neighbours
from bert_playground.run_list import RunEntry, list_runs, read_entry
from bert_playground.runs import TRIALS
from bert_playground.training.comparison.paired import direction
from bert_playground.tuning.settings import TableFacts, place_config
from bert_playground.tuning.space import Space

MOST = 5  # of each folder


def collect_starts(
    folders: Sequence[str], space: Space, config: RunConfig, facts: TableFacts, metric: str
) -> list[dict[str, Any]]:
    """Parameters of the best runs of each folder that the space holds.

    Other runs may have been validated on other rows, among them those put aside here, so that only what they were trained
    with is taken, and measured anew.

    Args:
        folders: run folders, folders of runs such as output, or studies.
        space: of this study.
        config: of its trials.
        facts: of the table.
        metric: by which the best ones are chosen, without val_.

    Raises:
        FileNotFoundError: a folder is not there.
        ValueError: it holds no run.
    """
    starts: list[dict[str, Any]] = []
    for name in folders:
        entries = [entry for entry in _find_entries(Path(name)) if _fits(entry, config, facts)]
        if not entries:
            raise ValueError(
                f"--warm-start {name} holds no complete run of a {facts.task} task; name a run, a folder of runs such as "
                "output, or a study"
            )
        sign = direction(metric)
        entries.sort(
            key=lambda entry: -sign * entry.metrics.get(f"val_{metric}", -sign * float("inf"))
        )
        found = [params for entry in entries if (params := _place(entry, space, config, facts))]
        new = [params for params in found if params not in starts][:MOST]
        starts += new
        logger.info(
            f"warm start: {count_of(len(new), 'configuration')} of {len(entries)} runs in {name}"
        )
    return starts


def _find_entries(path: Path) -> Iterator[RunEntry]:
    folders = expand_pattern(expand_home(path))
    if not folders:
        raise FileNotFoundError(f"no folder {path} to start from{name_neighbours(path)}")
    for folder in folders:
        if (folder / TRIALS).is_dir():
            yield from list_runs(folder / TRIALS)
        elif (folder / "config.json").is_file():
            yield read_entry(folder)
        elif folder.is_dir():
            for entry in list_runs(folder):
                inside = entry.run.path / TRIALS
                yield from list_runs(inside) if inside.is_dir() else [entry]


def _fits(entry: RunEntry, config: RunConfig, facts: TableFacts) -> bool:
    if entry.status != "complete" or entry.record is None or not entry.metrics:
        return False
    is_same = entry.record.setting("model.pretrained") == config.model.pretrained
    return is_same and entry.record.summary.task == facts.task


def _place(
    entry: RunEntry, space: Space, config: RunConfig, facts: TableFacts
) -> dict[str, Any] | None:
    assert entry.record is not None
    try:
        given = RunConfig.model_validate(entry.record.settings.values)
    except ValidationError:  # of a version with other settings
        return None
    return space.encode(place_config(space, given, config, facts))
