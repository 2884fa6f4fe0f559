"""Every command prints one JSON document where it is asked to, but those that serve until they are stopped."""

import typer.main

from bert_playground.cli.app import app
from tests.cli.commands import commands_of, parameters_of

SERVERS = {
    "mlflow ui": "a page that is served until Ctrl-C",
    "model serve": "a server until Ctrl-C; GET /info has its facts",
    "serve": "the same",
}


def test_every_command_but_the_servers_takes_json() -> None:
    commands = commands_of(typer.main.get_command(app))
    without = {
        name
        for name, command in commands.items()
        if "--json" not in {option for each in parameters_of(command) for option in each.opts}
    }
    assert without == SERVERS.keys()
