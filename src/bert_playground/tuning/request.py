"""TuneRequest: what is asked of a study beside the configuration of its trials; stored with it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bert_playground.files import write_text
from bert_playground.lookup import expand_home, expand_pattern, name_neighbours
from bert_playground.runs import RunDir

REQUEST = "tune.json"
USUAL_TRIALS = 30


@dataclass(frozen=True)
class TuneRequest:
    """What a study shall do.

    Attributes:
        seconds: that everything may take, the verdict included; None: no limit.
        trials: most trials beside the run by the defaults; None: as many as there is time for.
        space: what a file of a space holds; None: the default one.
        space_name: what it is called in messages.
        study: its name in the storage; None: that of the folder.
        storage: where it is kept; see `open_storage`.
        warm_start: run folders, folders of runs and studies, whose best configurations are tried first.
        aside: share of the rows that no trial sees.
        seeds: fresh ones for the verdict.
        folds: that trials are trained on where nobody asked for some; 0: one split; None: not chosen yet.
    """

    seconds: float | None = None
    trials: int | None = None
    space: dict[str, Any] | None = None
    space_name: str = ""
    study: str | None = None
    storage: str | None = None
    warm_start: tuple[str, ...] = ()
    aside: float = 0.2
    seeds: int = 5
    folds: int | None = None

    def __post_init__(self) -> None:
        wrong = []
        if self.seconds is not None and self.seconds <= 0:
            wrong.append(f"--time is {self.seconds:g} s, expected more, such as 20m")
        if self.trials is not None and self.trials < 0:
            wrong.append(f"--trials is {self.trials}, expected 0 or more")
        if not 0 <= self.aside <= 0.9:
            wrong.append(
                f"--aside is {self.aside:g}, expected a share of the rows such as 0.2; 0: none"
            )
        if self.seeds < 2:
            wrong.append(f"--seeds is {self.seeds}, expected at least 2: one shows no spread")
        if wrong:
            raise ValueError("; ".join(wrong))

    @property
    def most_trials(self) -> float:
        """Without a limit of any kind there are a few."""
        if self.trials is not None:
            return self.trials
        return float("inf") if self.seconds is not None else USUAL_TRIALS

    def write(self, run: RunDir) -> None:
        """Store it in the study's folder."""
        write_text(run.path / REQUEST, json.dumps(asdict(self), indent=2, default=str) + "\n")

    @classmethod
    def read(cls, run: RunDir) -> "TuneRequest":
        """What `write` stored."""
        values = json.loads((run.path / REQUEST).read_text(encoding="utf-8"))
        # Studies of versions that had no choice are on one split.
        return cls(**{"folds": 0, **values, "warm_start": tuple(values["warm_start"])})

    def go_on(
        self, seconds: float | None, trials: int | None, warm_start: Sequence[str]
    ) -> "TuneRequest":
        """The same for a study that goes on; what is given now counts."""
        changed = replace(self, warm_start=tuple(warm_start))
        if seconds is not None or trials is not None:
            changed = replace(changed, seconds=seconds, trials=trials)
        return changed


def find_study(path: Path) -> RunDir:
    """The study of a folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is another run's.
    """
    found = expand_pattern(expand_home(path))
    if not found:
        raise FileNotFoundError(f"no study at {path}{name_neighbours(path)}")
    run = RunDir(found[-1])
    if not (run.path / REQUEST).is_file():
        raise ValueError(
            f"{run.path} is no folder of `bert tune`; expected one with {REQUEST}, such as output/run_…; a training goes on "
            f"with: bert train --resume {run.path}"
        )
    return run
