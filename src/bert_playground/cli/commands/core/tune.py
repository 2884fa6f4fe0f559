"""bert tune: try settings within a time, and say whether the best ones beat the defaults."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.completion import complete_checkpoints
from bert_playground.cli.utils.console import print_json, print_lines, print_result, print_table

_PANEL = "The study"


Time = Annotated[
    str | None,
    options.option(
        "--time",
        metavar="20m",
        help="what everything may take, in seconds or such as 90s, 20m or 1h",
        panel=_PANEL,
    ),
]
Trials = Annotated[
    int | None,
    options.option(
        "--trials",
        metavar="N",
        help="most trials beside the defaults (default 30 without --time)",
        panel=_PANEL,
    ),
]
SpaceFile = Annotated[
    Path | None,
    options.option(
        "--space",
        metavar="FILE",
        help="YAML of settings: {low, high, log} or a list (default: a short one)",
        panel=_PANEL,
    ),
]
ShowSpace = Annotated[
    bool,
    options.option("--show-space", help="print the space as such a file, and stop", panel=_PANEL),
]
StudyName = Annotated[
    str | None,
    options.option(
        "--study",
        metavar="NAME",
        help="its name in --storage (default: that of its folder)",
        panel=_PANEL,
    ),
]
Storage = Annotated[
    str | None,
    options.option(
        "--storage",
        metavar="ADDRESS",
        help="sqlite:///FILE, postgresql://…, redis://…, grpc://HOST:PORT, or a journal file (default: one in its folder)",
        panel=_PANEL,
    ),
]
WarmStart = Annotated[
    list[str] | None,
    options.option(
        "--warm-start",
        metavar="FOLDER",
        help="try the best of these runs or studies first; may be repeated",
        panel=_PANEL,
    ),
]
Aside = Annotated[
    float,
    typer.Option(
        "--aside",
        metavar="SHARE",
        help="of the rows, that no trial sees, for the verdict; 0: none",
        rich_help_panel=_PANEL,
    ),
]
Seeds = Annotated[
    int,
    typer.Option("--seeds", metavar="N", help="fresh ones for the verdict", rich_help_panel=_PANEL),
]
Resume = Annotated[
    Path | None,
    options.option(
        "--resume",
        metavar="RUN",
        help="go on with a study, also beside a process that is at work on it",
        panel=_PANEL,
        autocompletion=complete_checkpoints,
    ),
]


@options.takes_settings(
    "--train --val --target --id-column --task --class-order --template --max-length --num-workers --model --pretrain --lora "
    "--epochs --max-steps --batch-size --lr --optimizer --scheduler --precision --metric --seed --no-compile --output-dir "
    "--mlflow --experiment --folds --repeats --engine --jobs --ray-address --task-cpus"
)
def tune(
    context: typer.Context,
    time: Time = None,
    trials: Trials = None,
    space: SpaceFile = None,
    show_space: ShowSpace = False,
    study: StudyName = None,
    storage: Storage = None,
    warm_start: WarmStart = None,
    aside: Aside = 0.2,
    seeds: Seeds = 5,
    resume: Resume = None,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Tune settings on a table, and judge the best against the defaults on rows put aside."""
    from bert_playground.config.sections.base import read_duration
    from bert_playground.extras import require_extra
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    require_extra("hpo", "bert tune")
    from bert_playground.tuning.request import TuneRequest
    from bert_playground.tuning.tune import run_tuning
    from bert_playground.tuning.tune import show_space as find_space

    config, sources = options.read_config(context)
    if resume is not None and (space is not None or storage is not None or study is not None):
        raise ValueError(
            "a study that goes on keeps its space and its storage; leave --space, --storage and --study out"
        )
    content: dict[str, Any] | None = None
    if space is not None:
        from bert_playground.tuning.read_space import read_file

        content = read_file(space)
    asked = TuneRequest(
        seconds=read_duration(time),
        trials=trials,
        space=content,
        space_name=str(space or ""),
        study=study,
        storage=storage,
        warm_start=tuple(warm_start or ()),
        aside=aside,
        seeds=seeds,
    )
    if show_space:
        _print_space(find_space(config, sources, asked), as_json=json)
        return
    summary = run_tuning(config, sources, asked, resume)
    if json:
        print_json(summary)
    elif summary["concluded"]:
        _print_summary(summary)


def _print_space(space: dict[str, Any], *, as_json: bool) -> None:
    import yaml

    if as_json:
        print_json(space)
    else:
        print_lines([yaml.safe_dump(space, sort_keys=False, default_flow_style=None).rstrip()])


def _print_summary(summary: dict[str, Any]) -> None:
    from bert_playground.tuning.conclude import say_time

    importances, best = summary["importances"], summary["best"]["params"]
    print_table(
        "what was tuned",
        ("setting", "best", "importance"),
        [(path, best.get(path, "as it is"), importances.get(path)) for path in summary["space"]],
        keeps_names=True,
    )
    verdict = summary["verdict"]
    if verdict["gain"] is not None:
        print_table(
            f"{verdict['rows']} rows put aside, means over {len(verdict['seeds'])} fresh seeds",
            ("metric", "tuned", "defaults"),
            [
                (name, value, verdict["defaults"].get(name))
                for name, value in verdict["tuned"].items()
            ],
        )
    print_lines(
        [
            summary["best"]["says"],
            verdict["says"],
            say_time(summary["time"]),
            "",
            *(f"{name:8} {path}" for name, path in summary["files"].items()),
            "",
            "next:",
            f"  {summary['command']}",
            f"  bert tune --resume {summary['run']} --time 20m",
        ]
    )
    print_result(summary["run"])
