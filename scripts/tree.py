"""Print the package as a tree of files with their first docstring lines; --write puts it where the documents show it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/bert_playground"
BEGIN, END = "<!-- tree: `just tree` -->\n```text\n", "```\n<!-- end of tree -->"


def draw_tree(package: Path = PACKAGE) -> str:
    """Every file of the package: one line each, with the first line of its docstring."""
    return _align(package, list(_lines(package, "")))


def draw_folders(package: Path = PACKAGE) -> str:
    """The folders of the package with the first lines of their docstrings, and below each the names of its rooms."""
    rows = []
    folders = _entries(package, is_dir=True)
    for folder in folders:
        is_last = folder == folders[-1]
        rows.append((_branch("", folder, is_last=is_last), _first_line(folder)))
        rooms = [room.name for room in _entries(folder, is_dir=True)]
        if rooms:
            rows.append((_deeper("", is_last=is_last).rstrip(), f"  {', '.join(rooms)}"))
    return _align(package, rows)


DRAWINGS = {"docs/map.md": draw_tree, "README.md": draw_folders}


def read_tree(document: str) -> str:
    """The tree that stands in a document.

    Raises:
        ValueError: there is none, or a second one.
    """
    found = document.partition(BEGIN)[2]
    if document.count(BEGIN) != 1 or END not in found:
        raise ValueError(f"expected one tree between {BEGIN!r} and {END!r}; put these lines in")
    return found.partition(END)[0]


def write_tree(name: str) -> None:
    """Draw the tree of a document anew, in place of the one that stands there."""
    path = ROOT / name
    text = path.read_text(encoding="utf-8")
    old, new = BEGIN + read_tree(text) + END, BEGIN + DRAWINGS[name]() + END
    path.write_text(text.replace(old, new), encoding="utf-8")


def _align(package: Path, rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows) + 2
    lines = [f"{package.relative_to(ROOT)}/", *(f"{name:<{width}}{said}" for name, said in rows)]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _lines(folder: Path, indent: str) -> Iterator[tuple[str, str]]:
    entries = _entries(folder, is_dir=False) + _entries(folder, is_dir=True)
    for entry in entries:
        is_last = entry == entries[-1]
        yield _branch(indent, entry, is_last=is_last), _first_line(entry)
        if entry.is_dir():
            yield from _lines(entry, _deeper(indent, is_last=is_last))


def _entries(folder: Path, *, is_dir: bool) -> list[Path]:
    """The Python files of a folder, or its folders that hold some; left-over caches of moved files are none."""
    if is_dir:
        return sorted(
            path for path in folder.iterdir() if path.is_dir() and any(path.rglob("*.py"))
        )
    return sorted(path for path in folder.glob("*.py") if _is_shown(path))


def _is_shown(path: Path) -> bool:
    return path.name != "__init__.py" or path.parent == PACKAGE


def _branch(indent: str, path: Path, *, is_last: bool) -> str:
    return f"{indent}{'└── ' if is_last else '├── '}{path.name}{'/' if path.is_dir() else ''}"


def _deeper(indent: str, *, is_last: bool) -> str:
    return indent + ("    " if is_last else "│   ")


def _first_line(path: Path) -> str:
    source = path / "__init__.py" if path.is_dir() else path
    text = source.read_text(encoding="utf-8") if source.is_file() else ""
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def main() -> None:
    """Print the tree, or write it into the documents."""
    if "--write" not in sys.argv:
        sys.stdout.write(draw_tree())
        return
    for name in DRAWINGS:
        write_tree(name)


if __name__ == "__main__":
    main()
