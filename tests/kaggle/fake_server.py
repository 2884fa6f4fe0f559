"""FakeKaggle: a server on this machine that answers as Kaggle does, and can be told to fail; the real client speaks to it."""

import base64
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

USER, KEY, TOKEN = "ada", "secret-key-0123456789", "secret-token-9876543210"
SERVICE = "/api/v1/competitions.CompetitionApiService/"
INTROSPECT = "/api/v1/security.OAuthService/IntrospectToken"
MODIFIED = "Wed, 01 Jan 2020 00:00:00 GMT"


@dataclass
class Fault:
    """What goes wrong at a method: an error answer, or a connection that ends after so many bytes."""

    status: int = 0
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    times: int = 1_000


@dataclass
class FakeKaggle:
    """The state of the server; tests change it between requests."""

    files: dict[str, bytes] = field(default_factory=dict)
    slug: str = "titanic"
    bundle: bytes | None = None  # None: the files, packed
    faults: dict[str, Fault] = field(default_factory=dict)  # by method, "GET" or "PUT"
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    submissions: list[dict[str, Any]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    left_today: int = 10
    is_code: bool = False
    wrapped: set[str] = field(default_factory=set)  # files that come packed
    listed_sizes: dict[str, int] = field(default_factory=dict)  # where the list is wrong
    url: str = ""

    def methods(self) -> list[str]:
        """The names of the methods that were called."""
        return [name for name, _ in self.calls]

    def packed(self) -> bytes:
        """The archive of all files."""
        return pack(self.files) if self.bundle is None else self.bundle

    def fault_of(self, name: str) -> Fault | None:
        """What is to go wrong now."""
        fault = self.faults.get(name)
        if fault is None or fault.times <= 0:
            return None
        fault.times -= 1
        return fault

    # What each method answers.

    def list_competitions(self, body: dict[str, Any]) -> dict[str, Any]:
        search = body.get("search", "")
        names = (self.slug, "titanic-survivors", "spaceship-titanic", "house-prices-advanced")
        found = [name for name in dict.fromkeys(names) if search in name]
        return {"competitions": [self._competition(name) for name in found]}

    def get_competition(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._competition(self.slug)

    def _competition(self, name: str) -> dict[str, Any]:
        return {
            "id": 1,
            "ref": f"https://www.kaggle.com/competitions/{name}",
            "title": name.title(),
            "category": "Getting Started",
            "evaluationMetric": "Categorization Accuracy",
            "deadline": "2030-01-01T00:00:00Z",
            "teamCount": 3,
            "userHasEntered": True,
            "maxDailySubmissions": 10,
            "isKernelsSubmissionsOnly": self.is_code,
        }

    def list_data_files(self, body: dict[str, Any]) -> dict[str, Any]:
        names = list(self.files)
        start = int(body.get("pageToken") or 0)
        page = names[start : start + 2]
        more = {"nextPageToken": str(start + 2)} if start + 2 < len(names) else {}
        sizes = {name: len(content) for name, content in self.files.items()} | self.listed_sizes
        listed = [
            {"name": name, "ref": name, "totalBytes": sizes[name], "creationDate": "2020-01-01T00:00:00Z"}
            for name in page
        ]  # fmt: skip
        return {"files": listed, **more}

    def get_submission_limits(self, body: dict[str, Any]) -> dict[str, Any]:
        sent = len(self.submissions)
        return {"numToday": sent, "numTotal": sent, "numAllowedNow": self.left_today}

    def start_submission_upload(self, body: dict[str, Any]) -> dict[str, Any]:
        token = f"upload-{len(self.uploads)}"
        self.uploads[token] = b""
        return {"token": token, "createUrl": f"{self.url}/put/{token}"}

    def create_submission(self, body: dict[str, Any]) -> dict[str, Any]:
        content = self.uploads[body["blobFileTokens"]]
        number = len(self.submissions)
        score = self.scores[number] if number < len(self.scores) else None
        start = next(b for name, b in reversed(self.calls) if name == "StartSubmissionUpload")
        self.submissions.append(
            {
                "ref": 100 + number,
                "totalBytes": len(content),
                "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}Z",
                "description": body.get("submissionDescription", ""),
                "fileName": start["fileName"],
                "status": "PENDING" if score is None else "COMPLETE",
                "publicScore": "" if score is None else str(score),
            }
        )
        self.left_today -= 1
        return {"message": "Successfully submitted", "ref": 100 + number}

    def list_submissions(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"submissions": self.submissions[::-1]}

    def get_leaderboard(self, body: dict[str, Any]) -> dict[str, Any]:
        teams = (("first", "0.9"), ("second", "0.8"), ("third", ""))
        rows = [
            {"teamId": number, "teamName": name, "score": score, "submissionDate": "2020-01-01T00:00:00Z"}
            for number, (name, score) in enumerate(teams)
        ]  # fmt: skip
        return {"submissions": rows, "nextPageToken": "more"}


def pack(files: dict[str, bytes]) -> bytes:
    """A zip of these files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    state: FakeKaggle

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        name = self.path.rpartition("/")[2]
        self.state.calls.append((name, body))
        fault = self.state.fault_of(name)
        if fault is not None and fault.status == 0:
            self.drop()
        elif fault is not None:
            self.refuse(fault.status, fault.message, fault.headers)
        elif self.path == INTROSPECT:
            is_active = body.get("token") in self.state.tokens
            self.answer({"active": is_active, "username": USER} if is_active else {"active": False})
        elif not self.is_signed_in():
            self.refuse(401, "Unauthenticated")
        elif body.get("competitionName", self.state.slug) != self.state.slug:
            self.refuse(404, "Requested entity was not found")
        elif name.startswith("DownloadDataFile"):
            self.redirect(body.get("fileName", "*"))
        else:
            self.answer(getattr(self.state, snake_case(name))(body))

    def do_GET(self) -> None:
        self.state.ranges.append(self.headers.get("Range"))
        content = self.content_of(unquote(self.path).removeprefix("/files/"))
        start = 0
        if found := self.headers.get("Range"):
            start = int(found.removeprefix("bytes=").rstrip("-"))
        fault = self.state.fault_of("GET")
        if fault is not None and fault.status:
            self.refuse(fault.status, fault.message, fault.headers)
            return
        self.send_response(206 if start else 200)
        for header in (("Accept-Ranges", "bytes"), ("ETag", '"1"'), ("Last-Modified", MODIFIED)):
            self.send_header(*header)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if fault is not None:
            self.wfile.write(rest[: fault.cut_after])
            self.drop()
        else:
            self.wfile.write(rest)

    def do_PUT(self) -> None:
        fault = self.state.fault_of("PUT")
        self.state.calls.append(("PUT", {}))
        length = int(self.headers.get("Content-Length", 0))
        if fault is not None and fault.cut_after is not None:
            self.rfile.read(min(length, fault.cut_after))
            self.drop()
            return
        content = self.rfile.read(length)
        if fault is not None:
            self.refuse(fault.status, fault.message)
            return
        self.state.uploads[self.path.rpartition("/")[2]] = content
        self.answer({})

    def is_signed_in(self) -> bool:
        """By a key or by a token."""
        kind, _, secret = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            return base64.b64decode(secret).decode() == f"{USER}:{KEY}"
        return kind == "Bearer" and secret in self.state.tokens

    def content_of(self, name: str) -> bytes:
        """Of a download."""
        if name == f"{self.state.slug}.zip":
            return self.state.packed()
        if name.endswith(".zip") and name.removesuffix(".zip") in self.state.wrapped:
            inner = name.removesuffix(".zip")
            return pack({inner: self.state.files[inner]})
        return self.state.files[name]

    def redirect(self, name: str) -> None:
        """To the storage."""
        if name == "*":
            name = f"{self.state.slug}.zip"
        elif name in self.state.wrapped:
            name = f"{name}.zip"
        self.send_response(302)
        self.send_header("Location", f"{self.state.url}/files/{name}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, content: dict[str, Any], status: int = 200, **headers: str) -> None:
        """JSON."""
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        """An error, as Kaggle words it."""
        self.answer({"code": status, "message": message}, status, **(headers or {}))

    def drop(self) -> None:
        """End the connection in the middle."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(2)


def snake_case(name: str) -> str:
    """ListDataFiles → list_data_files."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


@contextmanager
def serve(state: FakeKaggle) -> Iterator[FakeKaggle]:
    """Run the server on a free port while the block runs."""
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("BoundHandler", (Handler,), {"state": state})
    )
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
