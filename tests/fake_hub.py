"""FakeHub: a server on loopback that speaks the part of the Hub's protocol that pushes and downloads need."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "t" * 34
USER = "ada"


@dataclass
class Repository:
    """Its commits, the oldest first, each a mapping of all files; and who may read it."""

    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    is_private: bool = False

    def __post_init__(self) -> None:
        if not self.commits:
            self.commit({})

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit of these files; its name."""
        name = hashlib.sha1(f"{len(self.commits)}{sorted(files)}".encode()).hexdigest()
        self.commits.append((name, files))
        return name

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit that a revision names; None: there is no such."""
        if revision == "main":
            return self.commits[-1]
        return next((each for each in self.commits if each[0] == revision), None)

    @property
    def files(self) -> dict[str, bytes]:
        """Of the newest commit."""
        return self.commits[-1][1]


class FakeHub(ThreadingHTTPServer):
    """Repositories by name.

    Attributes:
        repositories: by owner/name.
        cut: names of files inside which the connection is closed.
        refuses: end of a path → status with which it is answered.
        seen: every request: method and path.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.refuses: dict[str, int] = {}
        self.seen: list[str] = []

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"

    def add_folder(self, name: str, folder: Path) -> Repository:
        """A repository of the files of a folder."""
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
        repository = Repository()
        repository.commit(
            {name: each.read_bytes() for name, each in files.items() if each.is_file()}
        )
        self.repositories[name] = repository
        return repository


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    """A hub that answers inside the block."""
    server = FakeHub()
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    yield server
    server.shutdown()
    server.server_close()


class Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.respond()

    def do_GET(self) -> None:
        self.respond()

    def do_POST(self) -> None:
        self.respond()

    def do_PUT(self) -> None:
        self.respond()

    def respond(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.seen.append(f"{self.command} {path}")
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = next(
            (code for end, code in self.server.refuses.items() if path.endswith(end)), None
        )
        if status is not None:
            self.refuse(status)
        elif path.startswith("/api/"):
            self.answer_api(path.removeprefix("/api/").split("/"))
        elif path.startswith("/store/"):
            self.server.objects[path.rpartition("/")[2]] = self.body
            self.send(b"")
        elif path.endswith("/info/lfs/objects/batch"):
            self.answer_batch()
        elif "/resolve/" in path:
            self.answer_file(path.strip("/"))
        else:
            self.refuse(404)

    @property
    def is_known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def answer_api(self, parts: list[str]) -> None:
        if parts[0] == "whoami-v2":
            self.send_json({"name": USER, "type": "user"}) if self.is_known else self.refuse(401)
        elif parts[0] == "validate-yaml":
            self.send_json({"errors": [], "warnings": []})
        elif parts == ["repos", "create"]:
            self.create()
        else:
            self.answer_repository("/".join(parts[1:3]), parts[3:])

    def create(self) -> None:
        asked = json.loads(self.body)
        owner = asked.get("organization") or USER
        name = f"{owner}/{asked['name']}"
        if not self.is_known:
            self.refuse(401)
        elif owner != USER:
            self.refuse(403)
        elif name in self.server.repositories:
            self.send_json({"url": f"{self.server.address}/{name}"}, status=409)
        else:
            is_private = bool(asked.get("private")) or asked.get("visibility") == "private"
            self.server.repositories[name] = Repository(is_private=is_private)
            self.send_json({"url": f"{self.server.address}/{name}", "name": name})

    def answer_repository(self, name: str, parts: list[str]) -> None:
        repository = self.server.repositories.get(name)
        if repository is None or (repository.is_private and not self.is_known):
            self.refuse(404, "RepoNotFound")
        elif parts[:1] == ["preupload"]:
            files = json.loads(self.body)["files"]
            self.send_json({"files": [self.choose_mode(each) for each in files]})
        elif parts[:1] == ["commit"]:
            self.commit(name, repository)
        else:
            revision = parts[1] if len(parts) > 1 else "main"
            found = repository.at(revision)
            if found is None:
                self.refuse(404, "RevisionNotFound")
            else:
                self.describe(name, repository, found, is_tree=parts[:1] == ["tree"])

    def choose_mode(self, file: dict[str, object]) -> dict[str, object]:
        is_large = str(file["path"]).endswith(".safetensors")
        return {
            "path": file["path"],
            "uploadMode": "lfs" if is_large else "regular",
            "shouldIgnore": False,
        }

    def answer_batch(self) -> None:
        objects = json.loads(self.body)["objects"]
        given = [
            {
                "oid": each["oid"],
                "size": each["size"],
                "actions": {"upload": {"href": f"{self.server.address}/store/{each['oid']}"}},
            }
            for each in objects
        ]
        self.send_json({"transfer": "basic", "objects": given}, "application/vnd.git-lfs+json")

    def commit(self, name: str, repository: Repository) -> None:
        files = dict(repository.files)
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                files.pop(value["path"])
        made = repository.commit(files)
        url = f"{self.server.address}/{name}/commit/{made}"
        self.send_json({"success": True, "commitOid": made, "commitUrl": url})

    def describe(
        self,
        name: str,
        repository: Repository,
        found: tuple[str, dict[str, bytes]],
        *,
        is_tree: bool,
    ) -> None:
        commit, files = found
        if is_tree:
            rows = [
                {"type": "file", "path": path, "size": len(content), "oid": etag_of(content)}
                for path, content in files.items()
            ]
            self.send_json(rows)
            return
        about = {"id": name, "sha": commit, "private": repository.is_private}
        self.send_json({**about, "siblings": [{"rfilename": path} for path in files]})

    def answer_file(self, path: str) -> None:
        name, _, rest = path.partition("/resolve/")
        revision, _, file = rest.partition("/")
        repository = self.server.repositories.get(name)
        found = None if repository is None else repository.at(revision)
        if found is None or file not in found[1]:
            self.refuse(404, "EntryNotFound")
            return
        body = found[1][file]
        headers = {"ETag": f'"{etag_of(body)}"', "X-Repo-Commit": found[0]}
        cut = len(body) // 2 if file in self.server.cut else None
        self.send(body, headers, cut=cut)

    def refuse(self, status: int, code: str | None = None) -> None:
        self.send(b'{"error": "refused"}', {"X-Error-Code": code} if code else {}, status=status)

    def send_json(self, content: object, kind: str = "application/json", status: int = 200) -> None:
        self.send(json.dumps(content).encode(), {"Content-Type": kind}, status=status)

    def send(
        self,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        status: int = 200,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[:cut])
        self.wfile.flush()
        if cut is not None:
            self.close_connection = True
            self.connection.shutdown(2)


def etag_of(content: bytes) -> str:
    """What names a content."""
    return hashlib.sha1(content).hexdigest()
