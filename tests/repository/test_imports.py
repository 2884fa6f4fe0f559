"""Who may import whom, and that asking for help loads nothing heavy."""

import re
import subprocess
import sys

import pytest

from .files import ROOT

HEAVY = ("mlx", "numpy", "polars", "sklearn", "matplotlib", "tokenizers", "mlflow")


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout


def test_import_contracts_hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["predict", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\n"
        "from bert_playground.cli.app import main\n"
        f"sys.argv = ['bert', *{arguments}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print('loaded:', sorted({set(HEAVY)} & set(sys.modules)))"
    )
    output = run_python(code)
    assert "Usage: bert" in output
    assert output.endswith("loaded: []\n")


def test_help_of_all_commands_needs_no_configuration():
    """The flags of a command are made from the fields of RunConfig when that command is called."""
    code = (
        "import sys\n"
        "from bert_playground.cli.app import main\n"
        "sys.argv = ['bert', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    print('pydantic' in sys.modules)"
    )
    assert run_python(code).endswith("False\n")


def test_importing_the_package_loads_nothing_heavy():
    assert (
        run_python(f"import bert_playground, sys; print({set(HEAVY)} & set(sys.modules))")
        == "set()\n"
    )


def test_version_is_known_and_other_names_are_not():
    import bert_playground

    assert re.match(r"\d+\.\d+\.\d+", bert_playground.__version__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        bert_playground.nothing  # noqa: B018
