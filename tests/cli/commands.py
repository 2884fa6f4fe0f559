"""All commands of the program by the words that call them, those of groups included."""

from typing import Any


def commands_of(group: Any, before: str = "") -> dict[str, Any]:
    """{"train": command, "model inspect": command, …} of a Click group, sorted by name."""
    found = {}
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            found |= commands_of(command, f"{before}{name} ")
        else:
            found[before + name] = command
    return found
