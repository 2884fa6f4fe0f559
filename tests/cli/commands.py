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


def parameters_of(command: Any) -> list[Any]:
    """Its options and arguments, those that are settings included; `--help` is not among them."""
    with command.make_context(command.name, [], resilient_parsing=True) as context:
        return [item for item in command.get_params(context) if "--help" not in item.opts]
