"""Print the package as a tree of files with their first docstring lines; --write puts it into the README."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/bert_playground"
BEGIN, END = "<!-- tree: `just tree` -->\n```text\n", "```\n<!-- end of tree -->"
WIDTH = 34


def draw_tree(package: Path = PACKAGE) -> str:
    """The tree as text: one line per file, each with the first line of its docstring."""
    return f"{package.relative_to(ROOT)}/\n" + "".join(f"{line}\n" for line in _lines(package, ""))


def read_tree(readme: str) -> str:
    """The tree that stands in the README."""
    return readme.partition(BEGIN)[2].partition(END)[0]


def _lines(folder: Path, indent: str) -> Iterator[str]:
    entries = [path for path in folder.iterdir() if _belongs(path)]
    entries.sort(key=lambda path: (path.is_dir(), path.name))
    for position, path in enumerate(entries):
        is_last = position == len(entries) - 1
        name = f"{indent}{'└── ' if is_last else '├── '}{path.name}{'/' if path.is_dir() else ''}"
        source = path / "__init__.py" if path.is_dir() else path
        yield f"{name:<{WIDTH}}  {_first_line(source)}".rstrip()
        if path.is_dir():
            yield from _lines(path, indent + ("    " if is_last else "│   "))


def _belongs(path: Path) -> bool:
    if path.is_dir():
        return any(path.rglob("*.py"))
    return path.suffix == ".py" and (path.name != "__init__.py" or path.parent == PACKAGE)


def _first_line(source: Path) -> str:
    text = source.read_text(encoding="utf-8") if source.is_file() else ""
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def main() -> None:
    """Print the tree, or write it into the README."""
    if "--write" not in sys.argv:
        sys.stdout.write(draw_tree())
        return
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(
        text.replace(BEGIN + read_tree(text) + END, BEGIN + draw_tree() + END), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
