"""What the Hub, its client or the network refuses is said in one sentence with its remedy."""

from types import SimpleNamespace

import pytest

from bert_playground.hub_errors import explain_hub_error, find_offline, without_token


def refuse(status: int, text: str = "refused") -> Exception:
    """An error of the client, which has the answer of the Hub, raised in an uploading thread."""
    error = RuntimeError(text)
    error.response = SimpleNamespace(status_code=status)
    outer = RuntimeError("Error while uploading 'model.safetensors' to the Hub.")
    outer.__cause__ = error
    return outer


REMEDIES = {
    401: "set HF_TOKEN",
    403: "take a token with the right to write",
    404: "check the spelling",
    409: "run the same command again",
    412: "run the same command again",
    413: "bert model quantize",
    429: "wait some minutes",
    503: "wait and run the same command again",
    418: "refused",
}


@pytest.mark.parametrize("status", REMEDIES)
def test_each_status_has_its_remedy(status: int) -> None:
    said = explain_hub_error(refuse(status))
    assert str(status) in said
    assert REMEDIES[status] in said
    assert "\n" not in said


def test_the_network_is_named_where_nothing_answered() -> None:
    said = explain_hub_error(ConnectionError("Connection refused"))
    assert (
        said
        == "the Hub does not answer (Connection refused); check the network and run the same command again"
    )


def test_what_is_neither_is_a_fault_of_the_client() -> None:
    assert explain_hub_error(KeyError("url")).startswith("its client failed (KeyError: 'url')")


def test_offline_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "yes")
    error = type("OfflineModeIsEnabled", (ConnectionError,), {})("offline")
    assert "TRANSFORMERS_OFFLINE says" in explain_hub_error(error)


@pytest.mark.parametrize(
    ("own", "other", "found"), [("0", "1", None), ("", "1", "TRANSFORMERS_OFFLINE")]
)
def test_the_own_variable_of_the_hub_counts_first(
    own: str, other: str, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", own)
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", other)
    assert find_offline() == found


@pytest.mark.parametrize("text", ["hf_abcDEF123", "Bearer abc.DEF-1"])
def test_tokens_are_taken_out(text: str) -> None:
    assert text not in without_token(f"got {text} here")
    assert text not in explain_hub_error(refuse(418, f"bad {text}"))
