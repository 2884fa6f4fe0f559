"""remove_run: delete a run folder, and nothing that is none."""

import shutil

from bert_playground.run_lock import is_running, name_process
from bert_playground.runs import MEMBERS, RunDir


def require_removable(run: RunDir) -> None:
    """Check that a folder is that of a run of its own, which nobody is working on.

    Raises:
        ValueError: it is not; says why.
    """
    path = run.path
    if path.is_symlink():
        raise ValueError(
            f"{path} is a link to {path.readlink()}; remove the link, or name the folder itself"
        )
    files = (run.config, run.environment, run.summary, run.metrics, run.train_log)
    if not any(file.is_file() for file in files):
        raise ValueError(
            f"{path} is no run folder: it has no config.json, summary.json or train.log; it stays as it is"
        )
    if (path / ".git").exists():
        raise ValueError(f"{path} is a repository; it stays as it is")
    parent = path.resolve().parent
    if parent.name == MEMBERS or "folds" in path.resolve().parts[-4:-1]:
        owner = next(
            (each for each in path.resolve().parents if (each / "config.json").is_file()), None
        )
        if owner is not None:
            raise ValueError(
                f"{path} is a part of the run {owner}, which needs it; remove that one as a whole"
            )
    if is_running(run):
        raise ValueError(
            f"{path} is underway in {name_process(run)}; stop it first (it saves on Ctrl-C), or wait until it ends"
        )


def measure_size(run: RunDir) -> int:
    """Bytes of all files of a run."""
    return sum(path.lstat().st_size for path in run.path.rglob("*") if not path.is_dir())


def remove_run(run: RunDir) -> None:
    """Delete the folder; files that links in it lead to stay.

    Raises:
        ValueError: see `require_removable`.
    """
    require_removable(run)
    shutil.rmtree(run.path)
