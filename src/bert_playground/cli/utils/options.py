"""The flags of commands: those that are settings come from the fields of RunConfig, the others are written here."""

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from .completion import (
    complete_checkpoints,
    complete_columns,
    complete_models,
    complete_presets,
    complete_settings,
)

if TYPE_CHECKING:
    from bert_playground.config import RunConfig
    from bert_playground.config.flags import Setting

COMPLETED_BY: dict[str, Callable[..., list[str]]] = {
    "--model": complete_models,
    "--target": complete_columns,
    "--id-column": complete_columns,
    "--group-column": complete_columns,
    "--time-column": complete_columns,
}
TABLE_FLAGS = ("--train", "--test")
TABLES = ("FILE", "TRAIN", "TEST")  # arguments that are tables, as help shows them
GIVEN = "bert_playground.given"  # in the context: what was typed, by parameter
_Command = TypeVar("_Command", bound=Callable[..., None])


def takes_settings(flags: str) -> Callable[[_Command], _Command]:
    """Give a command the flags of these settings, `--config` and `--set`; `read_config` then reads them.

    Args:
        flags: names between spaces, each that of a `Flag` in a section of RunConfig.
    """

    def mark(command: _Command) -> _Command:
        command.__dict__["flags"] = tuple(flags.split())
        return command

    return mark


def read_config(
    context: typer.Context, config: Path | None = None
) -> tuple["RunConfig", dict[str, str]]:
    """The merged configuration of a command that `takes_settings`, and where each value came from.

    Args:
        context: of the command.
        config: the file to read where none was named; None: none.
    """
    from bert_playground.config import load_config

    given = context.meta.get(GIVEN, {})
    return load_config(
        given.get("config", config), flags=given_flags(context), assigned=given.get("set")
    )


def given_flags(context: typer.Context) -> dict[str, object]:
    """Dotted path → value of the flags that were given."""
    from bert_playground.config.flags import model_flags, settings

    given: dict[str, object] = {}
    for name, value in context.meta.get(GIVEN, {}).items():
        path = name.replace("__", ".")
        if path == "model.pretrained":
            given |= model_flags(value)
        elif path in settings():
            flag = settings()[path].flag
            assert flag is not None
            given[path] = flag.value if value is True else value
            if flag.turns_on:
                given[flag.turns_on] = True
    return given


class SettingsCommand(TyperCommand):
    """A command; flags that are settings are made when it is called, as pydantic is slow to import."""

    def get_params(self, ctx: Any) -> Any:
        """As the base class, the settings' flags first."""
        flags = getattr(self.callback, "flags", None)
        if flags and not any(parameter.name == "config" for parameter in self.params):
            self.params[:0] = _make_parameters(flags)
        return super().get_params(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the base class.

        Raises:
            typer.BadParameter: a table by the flag of other commands, where this one takes it as an argument.
        """
        names = {each.partition("=")[0] for each in args}
        if asked := [flag for flag in TABLE_FLAGS if flag in names]:
            parameters = self.get_params(ctx)
            known = {name for parameter in parameters for name in parameter.opts}
            arguments = [each for each in parameters if each.param_type_name == "argument"]
            tables = [each.metavar for each in arguments if each.metavar in TABLES]
            if tables and asked[0] not in known:
                raise typer.BadParameter(
                    f"this command takes its table without a flag: {ctx.command_path} {' '.join(tables)}",
                    param_hint=asked[0],
                )
        return super().parse_args(ctx, args)


def _make_parameters(flags: tuple[str, ...]) -> list[Any]:
    """Parameters as Typer makes them of a function; pydantic reads the words and says what is wrong with them."""
    from bert_playground.config.flags import settings

    known = {
        flag.names.split()[0]: (setting, flag)
        for setting in settings().values()
        if (flag := setting.flag) is not None
    }
    types: dict[str, Any] = {}
    for setting, flag in map(known.__getitem__, flags):
        kind: Any = list[str] if flag.repeats else str if flag.metavar else bool
        made = option(
            *flag.names.split(),
            help=setting.help,
            metavar=flag.metavar,
            panel=setting.panel,
            expose_value=False,
            callback=_remember,
            autocompletion=_completer_of(setting, flag.names.split()[0]),
        )
        types[setting.path.replace(".", "__")] = Annotated[kind | None, made]
    return _parameters_of({**types, "config": _CONFIG, "set": _SET})


def _completer_of(setting: "Setting", flag: str) -> Callable[..., list[str]] | None:
    """What the shell offers behind a flag: the names that the setting takes; None: files."""
    from bert_playground.config.flags import choices_of

    names = [str(value) for value in choices_of(setting.field.annotation)]
    if flag in COMPLETED_BY or not names:
        return COMPLETED_BY.get(flag)

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def _parameters_of(types: Mapping[str, Any]) -> list[Any]:
    def collect(**values: Any) -> None: ...

    collect.__annotations__ = dict(types)
    collect.__dict__["__signature__"] = inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in types.items()
        ]
    )
    app = typer.Typer(add_completion=False)
    app.command()(collect)
    return list(typer.main.get_command(app).params)


def _remember(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """Keep what was typed; a flag that was not given is absent, so it overrides nothing."""
    if value is not None and value != []:
        context.meta.setdefault(GIVEN, {})[parameter.name] = value
    return value


def _remember_level(context: typer.Context, level: "Level | None") -> "Level | None":
    """Leave the log level where the error handler finds it; all contexts share `meta`."""
    if level is not None:
        context.meta["log_level"] = level.value
    return level


def option(
    *names: str, help: str, metavar: str | None = "", panel: str | None = None, **more: Any
) -> Any:
    """A typer option whose default is not shown, as its help says what happens without it."""
    return typer.Option(
        *names, help=help, metavar=metavar, rich_help_panel=panel, show_default=False, **more
    )


class PredictPrecision(StrEnum):
    """How activations and products are computed when weights stay as they are."""

    AUTO = "auto"
    F32 = "f32"
    BF16 = "bf16"
    INT8 = "int8"


class Level(StrEnum):
    """How much the log says."""

    TRACE = "TRACE"
    DEBUG = "DEBUG"
    INFO = "INFO"
    SUCCESS = "SUCCESS"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


_RUN = "The run"
_CONFIG = Annotated[
    str | None,
    option(
        "--config",
        metavar="NAME",
        help="preset name, or path of a YAML or JSON file",
        panel=_RUN,
        expose_value=False,
        callback=_remember,
        autocompletion=complete_presets,
    ),
]
_SET = Annotated[
    list[str] | None,
    option(
        "--set",
        metavar="KEY=VALUE",
        help="any setting, such as model.num_layers=6; may be repeated",
        panel=_RUN,
        expose_value=False,
        callback=_remember,
        autocompletion=complete_settings,
    ),
]
ShowConfig = Annotated[
    bool, option("--show-config", help="print every value with its source, and stop", panel=_RUN)
]
FindLr = Annotated[
    bool,
    option(
        "--find-lr",
        help="learning-rate range test: train some 100 steps at rising rates, suggest one, keep a picture",
        panel="Training",
    ),
]
Resume = Annotated[
    Path | None,
    option(
        "--resume",
        metavar="RUN",
        help="go on with a stopped run: its folder",
        panel=_RUN,
        autocompletion=complete_checkpoints,
    ),
]
LogLevel = Annotated[
    Level | None,
    option(
        "--log-level",
        metavar="LEVEL",
        envvar="LOGURU_LEVEL",
        case_sensitive=False,
        callback=_remember_level,
        help="DEBUG, INFO, WARNING or ERROR (default INFO)",
    ),
]
Json = Annotated[bool, option("--json", help="print one JSON document instead")]
Checkpoint = Annotated[
    Path | None,
    option(
        "--checkpoint",
        metavar="FOLDER",
        help="checkpoint or run folder; of several the newest (default: the newest in output/)",
        autocompletion=complete_checkpoints,
    ),
]
# The shell expands output/run_*/checkpoints/final to several words; all but the first arrive here.
MoreCheckpoints = Annotated[
    list[Path] | None, typer.Argument(metavar="FOLDER", hidden=True, show_default=False)
]
Sample = Annotated[
    Path | None,
    typer.Option(
        "--sample", metavar="FILE", help="sample submission to check against", show_default=False
    ),
]
Proba = Annotated[
    bool,
    typer.Option("--proba", metavar="", help="write probabilities, not labels", show_default=False),
]
PredictBatchSize = Annotated[
    int, typer.Option("--batch-size", metavar="N", min=1, help="rows per batch")
]
PredictPrecisionName = Annotated[
    PredictPrecision, typer.Option("--precision", metavar="TYPE", help="f32, bf16 or int8")
]
Strict = Annotated[
    bool, option("--strict", help="make it an error that the table differs from that of training")
]
Tta = Annotated[
    int,
    typer.Option(
        "--tta",
        metavar="N",
        min=1,
        help="test-time augmentation: mean over N ways to write each row, such as another column order",
    ),
]
