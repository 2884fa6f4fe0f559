"""Which checkpoint is meant: the given one, the newest of several, or the newest in output."""

from pathlib import Path
from shlex import quote

from .console import program, say


def choose_checkpoint(first: Path | None, more: list[Path] | None) -> Path:
    """The checkpoint to use; a choice that was not the user's own is said on stderr.

    Raises:
        FileNotFoundError: a given path is no checkpoint, or there is none to find.
    """
    from bert_playground.lookup import expand_home, expand_pattern
    from bert_playground.runs import find_checkpoint, newest

    given = [path for path in (first, *(more or [])) if path is not None]
    if len(given) == 1:  # a quoted pattern is what an unquoted one is
        fitting = [each for each in expand_pattern(expand_home(given[0])) if _is_usable(each)]
        given = fitting or given
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


def choose_single_checkpoint(
    first: Path | None, more: list[Path] | None, command: str, options: str = ""
) -> Path:
    """As `choose_checkpoint`, for a command that works on one checkpoint.

    Args:
        first: as there.
        more: as there.
        command: of `bert`, for the message.
        options: that the command cannot do without.

    Raises:
        ValueError: several that answer together; the message has the command for each of them.
    """
    folder = choose_checkpoint(first, more)
    refuse_together(folder, f"{command} --checkpoint", options)
    return folder


def refuse_together(folder: Path, command: str, options: str = "", whole: str = "") -> None:
    """Refuse the folder of an ensemble or a blend, and name its checkpoints with the command to use them.

    Args:
        folder: of a checkpoint or of several.
        command: of `bert`, for the message; the folder follows it.
        options: that the command cannot do without.
        whole: further options with which the command takes all of them; "": it never does.

    Raises:
        ValueError: it is one.
    """
    from bert_playground.models.ensemble import checkpoints_inside, name_together

    kind = name_together(folder)
    if kind is None:
        return
    commands = [
        f"  {program()} {command} {quote(str(each))} {options}".rstrip()
        for each in checkpoints_inside(folder)
    ]
    if whole:
        commands.append(f"  {program()} {command} {quote(str(folder))} {options} {whole}  # all")
    raise ValueError(
        f"{folder} is {kind}; `bert {command.split(' --')[0]}` takes one of them:\n"
        + "\n".join(commands)
    )


def _is_usable(path: Path) -> bool:
    from bert_playground.runs import find_checkpoint

    try:
        return bool(find_checkpoint(path))
    except FileNotFoundError:
        return False


def _has_weights(run: Path) -> bool:
    names = ("model.safetensors", "adapter_model.safetensors")
    return any(path for name in names for path in run.glob(f"checkpoints/*/{name}")) or any(
        (run / name).is_file() for name in ("ensemble.json", "blend.json", "estimator.json")
    )


def pretrained_folder(model: str | None) -> Path | None:
    """The folder of the checkpoint that `--model` names; None where it names an architecture, or nothing."""
    from bert_playground.config.flags import model_flags
    from bert_playground.models.hub_files import fetch_folder

    checkpoint = model_flags(model).get("model.pretrained") if model else None
    return fetch_folder(str(checkpoint)) if checkpoint else None
