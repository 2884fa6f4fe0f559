"""Section: a frozen group of settings; Flag, Unset: what the command line says of a setting; numbers and durations."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
AboveZero = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A frozen group of settings; an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), coerce_numbers_to_str=True
    )


@dataclass(frozen=True)
class Flag:
    """The flag of a setting.

    Attributes:
        names: one or more, between spaces.
        metavar: what stands for the value in the help; empty: the flag takes none.
        value: what a flag without a value means.
        turns_on: another setting that becomes true with it.
        repeats: whether it may be given several times.
        panel: its heading in the help; None: that of the section.
        help: what it does, where that is the contrary of the field; None: the field's description.
    """

    names: str
    metavar: str = ""
    value: bool = True
    turns_on: str | None = None
    repeats: bool = False
    panel: str | None = None
    help: str | None = None


@dataclass(frozen=True)
class Unset:
    """What None means, in the words that help and --show-config use."""

    words: str


SECONDS = {"s": 1, "m": 60, "h": 3600}


def read_duration(value: Any) -> Any:
    """Seconds of 90, "90s", "20m", "1.5h" or "1h30m"; what is no such text is left to pydantic.

    Raises:
        ValueError: other words.
    """
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    if parts and "".join(map("".join, parts)) == text:
        return sum(float(number) * SECONDS[unit] for number, unit in parts)
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"{value!r} is no length of time, expected such as 90s, 20m or 1h30m"
        ) from None
