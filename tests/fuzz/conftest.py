"""Seeds of the long form of each fuzzer."""

from collections.abc import Iterator

import pytest

from tests.fuzz.attempts import seeds


@pytest.fixture
def long_seeds(pytestconfig: pytest.Config) -> Iterator[int]:
    """Seeds of the long form."""
    return seeds(pytestconfig.getoption("fuzz_seconds"), pytestconfig.getoption("fuzz_seed"))
