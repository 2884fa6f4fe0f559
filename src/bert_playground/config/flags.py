"""settings, model_flags: every field of RunConfig by its dotted path, with what the command line and --show-config say of it."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo

from .schema import RunConfig
from .sections.base import Flag, Unset
from .sections.model import ARCHITECTURES

# The headings of `bert train --help`; a section that is not named has to do with training.
PANELS = {
    "data": "The table",
    "model": "The model",
    "lora": "The model",
    "ensemble": "The model",
    "tracking": "The run",
}


class Setting(NamedTuple):
    """A field of RunConfig."""

    path: str
    field: FieldInfo

    @property
    def flag(self) -> Flag | None:
        """None: the setting has none, and is reached by --set."""
        return next((item for item in self.field.metadata if isinstance(item, Flag)), None)

    @property
    def unset(self) -> str:
        """What None means."""
        words = (item.words for item in self.field.metadata if isinstance(item, Unset))
        return next(words, "none")

    @property
    def panel(self) -> str:
        """The heading of its flag."""
        usual = PANELS.get(self.path.split(".")[0], "Training")
        return usual if self.flag is None or self.flag.panel is None else self.flag.panel

    @property
    def help(self) -> str:
        """One line: what it is, the names it can take, and the default where it is not off."""
        flag, default = self.flag, self.field.default
        text = (flag and flag.help) or self.field.description or ""
        if choices := [name for name in choices_of(self.field.annotation) if isinstance(name, str)]:
            text += f": {', '.join(choices)}"
        has_no_default = isinstance(default, bool) or default == () or (flag and flag.turns_on)
        if has_no_default or "default" in text:
            return text
        return f"{text} (default{f': {self.unset}' if default is None else f' {default}'})"


@cache
def settings() -> dict[str, Setting]:
    """Dotted path → field, for every setting."""
    return {setting.path: setting for setting in _fields(RunConfig)}


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """The values of the Literal in a type, also where the type allows others beside it."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(value for part in get_args(annotation) for value in choices_of(part))


def model_flags(model: str) -> dict[str, object]:
    """`--model` names an architecture to start from random weights, else a checkpoint."""
    name = model.removesuffix("_with_head")
    return {"model.architecture": name} if name in ARCHITECTURES else {"model.pretrained": model}


def _fields(config: Any) -> Iterator[Setting]:
    for section, content in config.model_fields.items():
        for name, field in content.annotation.model_fields.items():
            yield Setting(f"{section}.{name}", field)
