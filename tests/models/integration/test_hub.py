"""Downloads from a Hub: a local server speaks the part of its protocol that a snapshot needs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bert_playground.models.checkpoint import save_model
from bert_playground.models.factory import create_model
from tests.fake_hub import FakeHub, running_hub

# The client tries five times more, a second apart; here it does not rest.
LOAD = "import sys, time; time.sleep = lambda seconds: None; from bert_playground.models.factory import load_from_huggingface as l; l(sys.argv[1], task='classification')"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    folder = tmp_path / "repository"
    save_model(
        create_model(
            "bert",
            head_type="binary",
            vocab_size=100,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
        ),
        folder,
    )
    with running_hub() as server:
        server.add_folder("team/tiny", folder)
        yield server


def load(hub: FakeHub, name: str, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(cache),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", LOAD, name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.medium
def test_a_hub_id_is_downloaded_and_loaded(hub: FakeHub, tmp_path: Path) -> None:
    answer = load(hub, "team/tiny", tmp_path / "cache")
    assert answer.returncode == 0, answer.stderr
    assert list((tmp_path / "cache").rglob("model.safetensors"))


@pytest.mark.medium
def test_an_unknown_id_is_named(hub: FakeHub, tmp_path: Path) -> None:
    answer = load(hub, "team/other", tmp_path / "cache")
    assert "could not get the model 'team/other'" in answer.stderr


@pytest.mark.slow
def test_an_interrupted_download_leaves_no_half_file_and_goes_on(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.cut = {"model.safetensors"}
    answer = load(hub, "team/tiny", tmp_path / "cache")
    assert "could not get the model 'team/tiny'" in answer.stderr
    assert "run the same command again" in answer.stderr
    assert not list((tmp_path / "cache").rglob("model.safetensors"))
    hub.cut = set()
    assert load(hub, "team/tiny", tmp_path / "cache").returncode == 0
