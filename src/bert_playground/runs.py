"""RunDir: every path under output/run_*, and which checkpoint is meant."""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bert_playground.lookup import expand_home, expand_pattern, name_neighbours, shorten

WEIGHTS_NAME = "model.safetensors"
PRETRAINED = "pretrained"  # the folder of the run before a run
MEMBERS = "members"  # the folder of their runs
TRIALS = "trials"  # likewise, of a study
ENSEMBLE_NAME = "ensemble.json"  # in the folder of several checkpoints that answer together
BLEND_NAME = "blend.json"  # in the folder of models of folds, whose answers are blended
ESTIMATOR_NAME = "estimator.json"  # in the folder of a model beside the encoder


@dataclass(frozen=True)
class RunDir:
    """The folder of one run; the only place that joins its path strings."""

    path: Path

    @classmethod
    def create(cls, output_dir: Path, now: datetime | None = None) -> "RunDir":
        """Make `output_dir/run_YYYYmmdd_HHMMSS`; a run that starts in the same second gets `_2`, `_3` and so on."""
        stem = f"run_{(now or datetime.now()):%Y%m%d_%H%M%S}"
        output_dir.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            path = output_dir / (stem if number == 1 else f"{stem}_{number}")
            try:
                path.mkdir()  # fails when it exists, so two processes never share a folder
            except FileExistsError:
                number += 1
                continue
            return cls(path)

    @classmethod
    def of_checkpoint(cls, checkpoint: Path) -> "RunDir":
        """The run that a resumable checkpoint, or the run folder itself, belongs to."""
        path = checkpoint.resolve()
        return cls(path.parent.parent if path.parent.name == "checkpoints" else path)

    @property
    def config(self) -> Path:
        """The resolved configuration, with the source of each value."""
        return self.path / "config.json"

    @property
    def environment(self) -> Path:
        """Versions, device, git commit and seed."""
        return self.path / "environment.json"

    @property
    def summary(self) -> Path:
        """What the run achieved and what it cost."""
        return self.path / "summary.json"

    @property
    def report_path(self) -> Path:
        """The page that shows the whole run; one file, without links to others."""
        return self.path / "report.html"

    @property
    def train_log(self) -> Path:
        """The log as text."""
        return self.path / "train.log"

    @property
    def metrics(self) -> Path:
        """One JSON line per report."""
        return self.path / "metrics.jsonl"

    @property
    def curves(self) -> Path:
        """The picture of loss and metric over steps."""
        return self.path / "curves.png"

    @property
    def range_test(self) -> Path:
        """The picture of the loss over rising learning rates, where `--find-lr` asked for it."""
        return self.path / "learning_rates.png"

    @property
    def checkpoints(self) -> Path:
        """The folder that holds `refit`, `best`, `final` and `step_*`."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The model at its best evaluation."""
        return self.checkpoints / "best"

    @property
    def final(self) -> Path:
        """The model after the last step."""
        return self.checkpoints / "final"

    @property
    def refit(self) -> Path:
        """The model that was trained on training and validation rows together, for the epochs that validation chose."""
        return self.checkpoints / "refit"

    @property
    def pretrained(self) -> "RunDir":
        """The run of masked language modelling before this one, where `model.pretrain` asked for it."""
        return RunDir(self.path / PRETRAINED)

    @property
    def kept(self) -> Path | None:
        """The model that answers for the run: refit, else the best one, else the last one; None: none was kept."""
        return next((each for each in (self.refit, self.best, self.final) if each.is_dir()), None)

    @property
    def fold_fits(self) -> Path:
        """The folder of the models of all folds, where the run cross-validates."""
        return self.path / "folds"

    def fold_fit(self, repeat: int, fold: int, member: str) -> Path:
        """The folder of one model of one fold: a run of its own, or what another library saved."""
        return self.fold_fits / f"repeat_{repeat}" / f"fold_{fold}" / member

    def folds_file(self, repeat: int) -> Path:
        """Which row is in which fold, as a CSV; numbers from 0 on."""
        return self.path / (f"folds_{repeat}.csv" if repeat else "folds.csv")

    @property
    def out_of_fold(self) -> Path:
        """The answers to each row of models that did not see it."""
        return self.path / "oof.parquet"

    @property
    def blend_pipeline(self) -> Path:
        """How the blend of a cross-validated run reads rows and decodes answers."""
        return self.path / "pipeline"

    def members(self) -> list["RunDir"]:
        """The runs of an ensemble's members, in the order in which they were trained."""
        found = (self.path / MEMBERS).glob("run_*")
        return [RunDir(path) for path in sorted(found, key=lambda path: _number_parts(path.name))]

    @property
    def is_first_member(self) -> bool:
        """Whether this is the run of the first member of an ensemble."""
        return RunDir(self.path.parent.parent).members()[:1] == [self]

    def at_epoch(self, epoch: int) -> Path:
        """The model after this epoch, from 1 on."""
        return self.checkpoints / f"epoch_{epoch:03d}"

    def at_step(self, step: int) -> Path:
        """The resumable checkpoint taken after this optimizer step."""
        return self.checkpoints / f"step_{step:06d}"

    def discard_unused(self) -> None:
        """Remove the folder of a run that ended before its first report: bad input leaves nothing behind."""
        kept = [self.metrics, self.checkpoints, self.pretrained.checkpoints, self.fold_fits]
        kept += [member.metrics for member in self.members()]
        if not any(path.exists() for path in kept):
            shutil.rmtree(self.path)
            with suppress(OSError):  # other runs lie beside it
                self.path.parent.rmdir()

    def resumable(self) -> list[Path]:
        """All resumable checkpoints, oldest first."""
        found = self.checkpoints.glob("step_*") if self.checkpoints.is_dir() else ()
        return sorted(found, key=lambda path: int(path.name.removeprefix("step_")))


def _number_parts(name: str) -> list[int]:
    return [int(part) for part in name.split("_") if part.isdigit()]


def find_checkpoint(path: Path | str) -> Path:
    """The checkpoint folder meant by `path`: itself, or the refit, the best, the final or the newest one of a run folder.

    A pattern, such as `output/run_*/checkpoints/final`, means the newest checkpoint of what fits it.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it can be loaded.
    """
    path = expand_home(path)
    found = expand_pattern(path)
    if not found:
        is_pattern = any(letter in str(path) for letter in "*?[")
        missing = "nothing fits the pattern" if is_pattern else "the folder does not exist"
        near = name_neighbours(path)
        if not near and not is_pattern and not path.parent.exists() and len(path.parts) == 2:
            near = f"; if it is a model of the Hub: bert model pull {path.as_posix()}"
        raise FileNotFoundError(f"no checkpoint at {path}: {missing}{near}")
    if found != [path]:
        usable = [candidate for each in found if (candidate := _loadable(each)) is not None]
        if usable:
            return newest(usable)
        raise FileNotFoundError(
            f"none of {shorten(map(str, found), 4)} holds a checkpoint: expected {WEIGHTS_NAME} in it, or a run folder"
        )
    if not path.is_dir():
        hint = f"; give {path.parent}" if path.suffix == ".safetensors" else ""
        raise FileNotFoundError(
            f"{path} is a file; a checkpoint is a folder that holds {WEIGHTS_NAME}{hint}"
        )
    chosen = _loadable(path)
    if chosen is not None:
        return chosen
    inside = shorten(child.name for child in sorted(path.iterdir())) or "nothing"
    raise FileNotFoundError(
        f"{path} holds no checkpoint: expected {WEIGHTS_NAME} in it or a run folder with checkpoints/best, found {inside}"
    )


def _loadable(path: Path) -> Path | None:
    """The folder with weights that a checkpoint, a run or its folder of checkpoints means."""
    run = RunDir(path.parent if path.name == "checkpoints" else path)
    for candidate in (path, run.refit, run.best, run.final, *reversed(run.resumable())):
        named = (candidate / name for name in (ENSEMBLE_NAME, BLEND_NAME, ESTIMATOR_NAME))
        if any(candidate.glob("*.safetensors")) or any(path.is_file() for path in named):
            return candidate
    return None


def newest(paths: Iterable[Path]) -> Path:
    """The most recently written of several checkpoints, as when a shell expands `output/run_*/checkpoints/final`."""

    def written(path: Path) -> tuple[float, str]:
        weights = [file.stat().st_mtime for file in path.glob("*.safetensors")]
        return (max(weights, default=path.stat().st_mtime), str(path))

    return max((find_checkpoint(Path(path)) for path in paths), key=written)
