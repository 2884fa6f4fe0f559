"""Which checkpoint is meant: the given one, the newest of several, or the newest in output."""

from pathlib import Path

from .console import say


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
    return any(run.glob("checkpoints/*/model.safetensors"))
