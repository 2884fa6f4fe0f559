"""A page of the documentation site for each command, written from its help: nothing here says what a command does."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import typer

from bert_playground.cli.app import app

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / "docs/guides"
PICTURES = ROOT / "docs/images/commands"
OVERVIEW = "commands/README.md"
MAX_EXAMPLES = 5


class Command(NamedTuple):
    """One command of the program: the words that call it, its Click command, and whether it is a group of others."""

    words: tuple[str, ...]
    click: Any

    @property
    def is_group(self) -> bool:
        """Whether others stand below it."""
        return hasattr(self.click, "commands")

    @property
    def title(self) -> str:
        """What is typed, such as `bert data describe`."""
        return " ".join(("bert", *self.words))

    @property
    def page(self) -> str:
        """Its place in the site."""
        return f"commands/{'/'.join(self.words)}{'/README' if self.is_group else ''}.md"


def iterate_commands(group: Any = None, words: tuple[str, ...] = ()) -> Iterator[Command]:
    """Every command that is not hidden, in the order of the help, a group before what stands in it."""
    group = group or typer.main.get_command(app)
    for name, click in group.commands.items():
        if not click.hidden:
            command = Command((*words, name), click)
            yield command
            if command.is_group:
                yield from iterate_commands(click, command.words)


def write_command_pages() -> dict[str, str]:
    """Place in the site → Markdown, of all commands and of the page that lists them."""
    commands = list(iterate_commands())
    guides = read_guides()
    pages = {OVERVIEW: _overview(commands)}
    for command in commands:
        if command.is_group:
            pages[command.page] = _group_page(command, commands, command.page)
        else:
            pages[command.page] = _command_page(command, guides)
    return pages


def read_guides() -> dict[str, list[str]]:
    """What is typed → the guides that are named for it, by the table in docs/guides/README.md; `bert kaggle` for its whole group."""
    found: dict[str, list[str]] = {}
    for line in (GUIDES / "README.md").read_text(encoding="utf-8").splitlines():
        cells = line.strip("|").split("|")
        if not line.startswith("| `bert ") or len(cells) != 3:
            continue
        links = re.findall(r"\]\((\S+?)\)", cells[2])
        group: list[str] = []
        for name in re.findall(r"`([^`]+)`", cells[0]):
            words = name.split() if name.startswith("bert ") else [*group, name]
            group = words[:-1]
            found[" ".join(words)] = links
            if "…" in cells[0]:
                found[" ".join(group)] = links
    return found


def _guides_of(command: Command, guides: Mapping[str, list[str]]) -> list[str]:
    group = " ".join(("bert", *command.words[:-1]))
    return guides.get(command.title) or guides.get(group, [])


def _overview(commands: list[Command]) -> str:
    """All commands in a table, the groups as headings."""
    alone = [each for each in commands if len(each.words) == 1 and not each.is_group]
    parts = [
        "# Commands\n\nEach page is the help of the command, as `--help` prints it in a terminal.\n\n",
        _table(alone, OVERVIEW),
    ]
    for group in (each for each in commands if each.is_group):
        parts.append(f"\n#{_group_page(group, commands, OVERVIEW)}")
    return "".join(parts)


def _group_page(group: Command, commands: list[Command], place: str) -> str:
    """A heading, and a table of what stands in the group, with links from a page at this place."""
    below = [each for each in commands if each.words[:-1] == group.words]
    return f"# {group.title}\n\n{_escape(group.click.help)}\n\n{_table(below, place)}"


def _table(commands: list[Command], place: str) -> str:
    rows = (
        f"| [`{each.title}`]({posixpath.relpath(each.page, posixpath.dirname(place))}) | {_escape(each.click.help)} |\n"
        for each in commands
    )
    return "| command | what |\n|---|---|\n" + "".join(rows)


def _command_page(command: Command, guides: Mapping[str, list[str]]) -> str:
    """Help, usage, guides, a picture where there is one, examples out of the guides, and every option by its panel."""
    up = "../" * len(command.words)
    links = _guides_of(command, guides)
    parts = [f"# {command.title}\n\n{_escape(command.click.help)}\n", _usage(command)]
    if links:
        named = ", ".join(f"[{_title(GUIDES / link)}]({up}guides/{link})" for link in links)
        parts.append(f"Guide: {named}\n")
    picture = "_".join(command.words) + ".svg"
    if (PICTURES / picture).is_file():
        parts.append(f"![What {command.title} prints]({up}images/commands/{picture})\n")
    examples = [each for link in links for each in examples_of(command, GUIDES / link)]
    if examples:
        typed = "\n".join(examples[:MAX_EXAMPLES])
        parts.append(f"## Examples\n\n```bash\n{typed}\n```\n")
    for panel, parameters in _panels(command).items():
        entries = "\n".join(map(_entry, parameters))
        parts.append(f"## {panel}\n\n{entries}")
    return "\n".join(parts)


def examples_of(command: Command, guide: Path) -> list[str]:
    """The lines of a guide that call the command, as they stand there."""
    text = guide.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", "").splitlines()
    return [line for line in lines if re.match(rf"(uv run )?{command.title}(\s|$)", line)]


def _usage(command: Command) -> str:
    arguments = [each for each in _parameters(command) if each.param_type_name == "argument"]
    words = [each.metavar or each.name.upper() for each in arguments]
    words = [
        word if each.required else f"[{word}]" for word, each in zip(words, arguments, strict=True)
    ]
    return f"```text\n{' '.join([command.title, *words, '[OPTIONS]'])}\n```\n"


def _parameters(command: Command) -> list[Any]:
    """Options and arguments that help shows; settings' flags are made when the command is called."""
    with command.click.make_context(command.title, [], resilient_parsing=True) as context:
        shown = command.click.get_params(context)
    return [
        each for each in shown if not getattr(each, "hidden", False) and "--help" not in each.opts
    ]


def _panels(command: Command) -> dict[str, list[Any]]:
    """Heading → parameters: arguments, then options by the panels of the help, those without one last."""
    panels: dict[str, list[Any]] = {}
    for each in _parameters(command):
        plain = "Arguments" if each.param_type_name == "argument" else "Options"
        panels.setdefault(each.rich_help_panel or plain, []).append(each)
    last = panels.pop("Options", None)
    first = panels.pop("Arguments", None)
    return ({"Arguments": first} if first else {}) | panels | ({"Options": last} if last else {})


def _entry(parameter: Any) -> str:
    """A term and its definition: names with metavar, then the help."""
    if parameter.param_type_name == "argument":
        names = [parameter.metavar or parameter.name.upper()]
    else:
        names = [*parameter.opts, *parameter.secondary_opts]
        names[-1] += f" {parameter.metavar}" if parameter.metavar else ""
    more = [" **Required.**"] if parameter.required else []
    if (
        parameter.param_type_name == "option"
        and parameter.show_default
        and parameter.default is not None
    ):
        more.append(f" Default `{parameter.default}`.")
    if parameter.envvar:
        more.append(f" Environment variable `{parameter.envvar}`.")
    said = _escape(parameter.help or "")
    term = ", ".join(f"`{name}`" for name in names)
    return f"{term}\n:   {said}{'.' if more and not said.endswith('.') else ''}{''.join(more)}\n"


def _title(guide: Path) -> str:
    """The first heading of a document."""
    found = re.search(r"^# (.+)$", guide.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else guide.stem


def _escape(text: str | None) -> str:
    """Help as Markdown: code in backticks stays, signs that Markdown would read are escaped."""
    pieces = re.split(r"(`[^`]*`)", " ".join((text or "").split()))
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([\\*_<>|\[\]#])", r"\\\1", piece)
        for piece in pieces
    )
