# One line each; CONTRIBUTING.md has the plain commands for those without just.

# install everything for development
setup:
    uv sync && uv run pre-commit install

# the fast tests; `just test -m slow` for the others
test *arguments:
    uv run pytest {{arguments}}

# style, types, contracts
lint:
    uv run ruff check && uv run ruff format --check && uv run mypy && uv run lint-imports

# mend style
format:
    uv run ruff check --fix && uv run ruff format

# forward and training step of this machine
bench *arguments:
    uv run bert benchmark {{arguments}}

# check that documents run and that the map is true
docs:
    uv run pytest tests/repository

# write the package's tree into the README
tree:
    uv run python scripts/tree.py --write

# accept a changed `bert --help`
snapshots:
    UPDATE_SNAPSHOTS=1 uv run pytest tests/cli/unit/test_help.py

# build the wheel and the source archive
release:
    uv build
