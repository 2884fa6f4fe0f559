"""answer_parts: `bert predict` by many workers, into a folder of parts."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bert_playground.cli.utils.console import print_json, print_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from bert_playground.inference import AnyPredictor
    from bert_playground.predict_in_parts import PartsResult

FILES = (".csv", ".tsv", ".gz", ".parquet")


@dataclass(frozen=True)
class Asked:
    """What was typed; see `bert predict`."""

    test: Path
    output: Path
    sample: Path | None
    merge: Path | None
    part_rows: int | None
    probabilities: bool
    num_variants: int
    strict: bool
    as_json: bool


def answer_parts(
    typed: Asked,
    load: "Callable[[], AnyPredictor]",
    engine: str,
    num_workers: int | None,
    ray_address: str | None,
    task_cpus: int,
) -> None:
    """Answer the table, and print what there is.

    Raises:
        ValueError: the output is no folder.
    """
    from bert_playground.cli.utils.output import check_output
    from bert_playground.engines.engine import EngineRequest
    from bert_playground.predict_in_parts import PartsRequest, merge_parts, predict_in_parts

    name = "ray" if engine == "ray" else "local"
    _require_folder(typed.output)
    check_output(typed.merge, [typed.test, typed.sample], json=typed.as_json)
    asked = PartsRequest(
        typed.test,
        typed.output,
        load,
        typed.part_rows,
        typed.probabilities,
        typed.sample,
        typed.num_variants,
        typed.strict,
        _settings_of(load),
    )
    result = predict_in_parts(asked, EngineRequest(name, ray_address, task_cpus), num_workers)
    if typed.merge is not None:
        merge_parts(result, typed.merge, typed.sample)
    if typed.as_json:
        print_json({**asdict(result), "merged": typed.merge})
    else:
        print_lines(_say(result, typed.merge))


def _require_folder(output: Path) -> None:
    if output.is_file() or (not output.is_dir() and output.suffix.lower() in FILES):
        raise ValueError(
            f"several workers write a folder of parts, and --output {output} names a file; give --output answers --merge {output}"
        )


def _settings_of(load: "Callable[[], AnyPredictor]") -> dict[str, object]:
    """What decides the answers beside the checkpoint."""
    assert isinstance(load, partial)
    return {"computed_by": load.func.__name__, **load.keywords}


def _say(result: "PartsResult", merge: Path | None) -> list[str]:
    from bert_playground.lookup import count_of

    before = f", {result.resumed} of them there already" if result.resumed else ""
    lines = [
        f"{count_of(result.rows, 'answer')} by {result.checkpoint}",
        f"  {count_of(result.parts, 'part')}{before}; {count_of(result.workers, 'worker')}, at most "
        f"{result.peak_memory / 2**20:,.0f} MB each; {result.seconds:.1f} s",
        f"written to {result.folder}",
    ]
    return lines if merge is None else [*lines, f"merged into {merge}"]
