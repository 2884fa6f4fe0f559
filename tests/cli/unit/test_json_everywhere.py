"""Every command prints one JSON document where it is asked to, but those that serve until they are stopped."""

from pathlib import Path

SERVERS = {
    "mlflow_ui": "a page that is served until Ctrl-C",
    "model_serve": "a server until Ctrl-C; GET /info has its facts",
    "serve": "the same",
}


def test_every_command_but_the_servers_takes_json(root: Path) -> None:
    """The snapshots are the help of every command, which another test holds them against."""
    helps = {path.stem: path.read_text() for path in (root / "tests/cli/snapshots").glob("*.txt")}
    assert len(helps) > 50
    assert {name for name, text in helps.items() if "--json" not in text} == SERVERS.keys()
