"""Downloads from a Hub: a local server speaks the part of its protocol that a snapshot needs."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bert_playground.models.checkpoint import save_model
from bert_playground.models.factory import create_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# The client tries five times more, a second apart; here it does not rest.
LOAD = "import sys, time; time.sleep = lambda seconds: None; from bert_playground.models.factory import load_from_huggingface as l; l(sys.argv[1], task='classification')"


class Hub(ThreadingHTTPServer):
    """Serves one repository, team/tiny, and closes the connection inside files named in `cut`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.cut: set[str] = set()


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/api/models/team/tiny"):
            self.send(json.dumps(self.describe(path)).encode(), with_body=with_body)
            return
        file = self.server.folder / path.rpartition("/")[2]
        if not path.startswith("/team/tiny/resolve/") or not file.is_file():
            self.send_error(404)
            return
        body = file.read_bytes()
        headers = {"ETag": f'"{file.name}-{len(body)}"', "X-Repo-Commit": COMMIT}
        cut = len(body) // 2 if file.name in self.server.cut else None
        self.send(body, headers, with_body=with_body, cut=cut)

    def describe(self, path: str) -> object:
        """What the Hub's API says of the repository, or of its files."""
        files = sorted(self.server.folder.iterdir())
        if "/tree/" in path:
            return [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": file.name}
                for file in files
            ]
        return {
            "id": "team/tiny",
            "sha": COMMIT,
            "siblings": [{"rfilename": f.name} for f in files],
        }

    def send(
        self,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        with_body: bool,
        cut: int | None = None,
    ) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body[:cut])
            self.wfile.flush()
            if cut is not None:
                self.close_connection = True
                self.connection.shutdown(2)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
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
    server = Hub(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def load(hub: Hub, name: str, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
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
def test_a_hub_id_is_downloaded_and_loaded(hub: Hub, tmp_path: Path) -> None:
    answer = load(hub, "team/tiny", tmp_path / "cache")
    assert answer.returncode == 0, answer.stderr
    assert list((tmp_path / "cache").rglob("model.safetensors"))


@pytest.mark.medium
def test_an_unknown_id_is_named(hub: Hub, tmp_path: Path) -> None:
    answer = load(hub, "team/other", tmp_path / "cache")
    assert "could not get the model 'team/other'" in answer.stderr


@pytest.mark.slow
def test_an_interrupted_download_leaves_no_half_file_and_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.cut = {"model.safetensors"}
    answer = load(hub, "team/tiny", tmp_path / "cache")
    assert "could not get the model 'team/tiny'" in answer.stderr
    assert "run the same command again" in answer.stderr
    assert not list((tmp_path / "cache").rglob("model.safetensors"))
    hub.cut = set()
    assert load(hub, "team/tiny", tmp_path / "cache").returncode == 0
