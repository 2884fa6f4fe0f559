"""Every command prints one JSON document where it is asked to, but those that serve, and the one that starts another."""

from pathlib import Path

WITHOUT = {
    "launch": "the command that it starts has --json",
    "mlflow_ui": "a page that is served until Ctrl-C",
    "model_serve": "a server until Ctrl-C; GET /info has its facts",
    "serve": "the same",
}


def test_every_other_command_takes_json(root: Path) -> None:
    """The snapshots are the help of every command, which another test holds them against."""
    helps = {path.stem: path.read_text() for path in (root / "tests/cli/snapshots").glob("*.txt")}
    assert len(helps) > 50
    assert {name for name, text in helps.items() if "--json" not in text} == WITHOUT.keys()
