"""Presets and files: found by name or path; YAML read as people mean it."""

import itertools
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from bert_playground.documents import parse_json
from bert_playground.lookup import name_neighbours, nearest

MAX_BYTES = 2**20  # of a configuration file
MAX_DEPTH = 20
MAX_VALUES = 20_000  # aliases counted as what they repeat
SUFFIXES = (".yaml", ".yml", ".json")


class PlainLoader(yaml.SafeLoader):
    """YAML 1.2's core schema: 2e-5 is a number; no, off, 12:30 and 2024-01-01 are words; no key twice."""

    # YAML 1.1's table starts over, or `no` would be false and 2e-5 a word.
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth, self.sizes = 0, dict[yaml.Node, int]()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As the base class, but what is deep, what stands for much more than is written, and tags are errors."""
        event = self.peek_event()
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent) and self.anchors.get(event.anchor) not in self.sizes:
            problem = f"alias {event.anchor!r:.60} names nothing, or stands inside what it names"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        if getattr(event, "tag", None) not in (None, "!"):
            problem = f"tags such as {event.tag.replace('tag:yaml.org,2002:', '!!')!r:.60} are not read: write the plain value"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            problem = f"nested more than {MAX_DEPTH} deep, which no configuration is"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is not None and self._size_of(node) > MAX_VALUES:
            problem = f"stands for more than {MAX_VALUES:,} values"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        return node

    def _size_of(self, node: yaml.Node) -> int:
        """How many values a node stands for, each alias counted as what it repeats."""
        if node not in self.sizes:
            if isinstance(node, yaml.ScalarNode):
                self.sizes[node] = 1
            else:
                pairs = node.value if isinstance(node, yaml.MappingNode) else zip(node.value)
                inner = list(itertools.chain.from_iterable(pairs))
                self.sizes[node] = 1 + sum(self.sizes[each] for each in inner)
        return self.sizes[node]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As the base class, but a key that stands twice is an error: the first value would vanish."""
        keys = [key.value for key, _ in node.value]
        if strange := next(
            (key for key, _ in node.value if not isinstance(key, yaml.ScalarNode)), None
        ):
            raise yaml.MarkedYAMLError(
                problem="a key is a list or mapping", problem_mark=strange.start_mark
            )
        for position, key in enumerate(keys):
            if key in keys[:position]:
                mark = node.value[position][0].start_mark
                raise yaml.MarkedYAMLError(problem=f"key {key!r} stands twice", problem_mark=mark)
        return super().construct_mapping(node, deep)


# A leading zero ("007") leaves a word: it may name a column, and a numeric setting takes it all the same.
for _name, _pattern, _first in (
    ("bool", r"(true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"[-+]?(?!0[0-9])(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)$", "-+."),
):
    PlainLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(_pattern), list(_first)
    )


def presets() -> dict[str, Path]:
    """The shipped presets: name → file."""
    installed = (
        Path(__file__).parents[1] / "configs"
    )  # in a wheel; a checkout has configs/ at its root
    folder = installed if installed.is_dir() else Path(__file__).parents[3] / "configs"
    return {file.stem: file for file in sorted(folder.iterdir()) if file.suffix in SUFFIXES}


def find_source(source: str | Path) -> tuple[Path, str]:
    """The file behind what the user wrote after --config, and what to call it.

    A name is a preset. `configs/NAME.yaml` that does not exist here is the preset too, so that documented
    commands work away from a checkout.

    Raises:
        ValueError: no preset has this name.
        FileNotFoundError: there is no such file.
    """
    path, known = Path(source), presets()
    if path.is_file() and (path.suffix in SUFFIXES or str(source) not in known):
        return path, f"file {path}"
    is_name = path.suffix not in SUFFIXES and len(path.parts) == 1
    if (is_name or path.parent == Path("configs")) and path.stem in known:
        return known[path.stem], f"preset {path.stem}"
    if is_name:
        raise ValueError(
            f"no preset is called {str(source)!r}{nearest(str(source), known)} "
            f"(presets: {', '.join(known)}; or give the path of a .yaml or .json file)"
        )
    raise FileNotFoundError(
        f"no configuration file {str(path)!r}{name_neighbours(path)}; give an existing path or a preset ({', '.join(known)})"
    )


def read_mapping(file: Path) -> dict[str, Any]:
    """Read a YAML or JSON file whose top level is a mapping; an empty file asks for nothing.

    Raises:
        ValueError: not text in UTF-8, not YAML or JSON, or no mapping; the message has file and line.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError(
                f"{file} has {file.stat().st_size:,} bytes, expected a configuration of at most {MAX_BYTES:,}"
            )
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".json":
            content = parse_json(text, file, object)
        else:
            content = yaml.load(text, PlainLoader)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} is not UTF-8 text: byte {error.start}; save it as UTF-8"
        ) from error
    except (yaml.YAMLError, ValueError) as error:  # also of a number of thousands of digits
        raise ValueError(f"{file} cannot be read: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{file} holds a {type(content).__name__}, expected sections such as training: with keys under them"
        )
    return {str(key): value for key, value in content.items()}


def parse_value(text: str) -> object:
    """An environment variable's text as YAML would read it: 3, 2e-5, true, [Name, Ticket], {query: 4}, or the text itself."""
    try:
        value = yaml.load(text, PlainLoader)
    except (yaml.YAMLError, ValueError):
        return text
    # A mapping without braces is more likely words with a colon among them.
    return text if isinstance(value, Mapping) and not text.startswith("{") else value
