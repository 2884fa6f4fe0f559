"""Which checkpoint is meant: the given one, the newest of several, or the newest in output."""

from pathlib import Path

from .console import say
from .options import model_flags


def choose_checkpoint(first: Path | None, more: list[Path] | None) -> Path:
    """The checkpoint to use; a choice that was not the user's own is said on stderr.

    Raises:
        FileNotFoundError: a given path is no checkpoint, or there is none to find.
    """
    from bert_playground.runs import find_checkpoint, newest

    given = [path for path in (first, *(more or [])) if path is not None]
    if len(given) == 1:
        return find_checkpoint(given[0])
    if not given:
        given = [run for run in Path("output").glob("run_*") if _has_weights(run)]
        if not given:
            raise FileNotFoundError(
                "no checkpoint given and none under output/; train one with `bert train --train FILE.csv`, "
                "or give --checkpoint FOLDER"
            )
    chosen = newest(given)
    say(f"checkpoint: {chosen} (the newest of {len(given)})")
    return chosen


def _has_weights(run: Path) -> bool:
    names = ("model.safetensors", "adapter_model.safetensors")
    return (
        any(path for name in names for path in run.glob(f"checkpoints/*/{name}"))
        or (run / "ensemble.json").is_file()
    )


def pretrained_folder(model: str | None) -> Path | None:
    """The folder of the checkpoint that `--model` names; None where it names an architecture, or nothing."""
    from bert_playground.models.hub_files import fetch_folder

    checkpoint = model_flags(model).get("model.pretrained") if model else None
    return fetch_folder(str(checkpoint)) if checkpoint else None
