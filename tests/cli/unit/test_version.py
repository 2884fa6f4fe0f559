"""bert --version names what is installed."""

from importlib.metadata import version

from typer.testing import CliRunner

from bert_playground.cli.app import app


def test_the_version_is_that_of_the_installed_package() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"bert-playground {version('bert-playground')}\n")
