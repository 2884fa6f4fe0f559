"""list_changes: the settings of a run that differ from their defaults."""

from collections.abc import Mapping
from typing import Any

from .flags import settings
from .schema import RunConfig


def list_changes(values: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """Dotted path → value and default of the settings that differ; what this version does not know is left out.

    Args:
        values: section → setting → value, as config.json has them.
    """
    defaults = RunConfig().model_dump(mode="json")
    found = {}
    for path in settings():
        section, key = path.split(".")
        if key not in values.get(section, {}):
            continue
        value, default = values[section][key], defaults[section][key]
        if value != default:
            found[path] = (value, default)
    return found
