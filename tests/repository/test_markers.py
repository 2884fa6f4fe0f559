"""Markers of tests mean what they say."""


def test_quick_for_names_parameters_that_exist(lost_parameters: dict[str, set[str]]) -> None:
    """Else the test with a parameter of another name would have gone to the medium ones without a word."""
    assert lost_parameters == {}
