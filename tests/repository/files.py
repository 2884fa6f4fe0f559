"""Where the repository is, and its Python files."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/bert_playground"
PACKAGE_FILES = sorted(PACKAGE.rglob("*.py"))
PYTHON_FILES = [
    *PACKAGE_FILES,
    *sorted((ROOT / "aliases").glob("*.py")),
    *sorted((ROOT / "scripts").glob("*.py")),
    *sorted((ROOT / "tests").rglob("*.py")),
    ROOT / "bert_cli.py",
]


def name_of(file: Path) -> str:
    """The path as test id."""
    return str(file.relative_to(ROOT))
