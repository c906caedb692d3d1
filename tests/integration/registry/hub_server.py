"""A Hub for one repository: the routes that its client uses to look, download, make a repository and commit."""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

COMMIT = "a" * 40
TOKEN = "hf_test"
LARGE = (".safetensors", ".png")  # what the Hub keeps by SHA-256


class Hub(BaseHTTPRequestHandler):
    """Answers for ``repo``; ``files`` is what its branch main holds."""

    repo: ClassVar[str] = "org/adapter"
    files: ClassVar[dict[str, bytes]] = {}
    uploads: ClassVar[dict[str, bytes]] = {}
    created: ClassVar[list[dict[str, Any]]] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in {f"/api/models/{self.repo}", *(f"/api/models/{self.repo}/revision/{at}" for at in ("main", COMMIT))}:
            self.answer({"id": self.repo, "sha": COMMIT, "siblings": [self.sibling(name) for name in self.files]})
        elif path.startswith(f"/api/models/{self.repo}/revision/"):
            self.fail(404, "RevisionNotFound")
        elif path.startswith(f"/{self.repo}/resolve/{COMMIT}/"):
            content = self.files[path.rpartition("/")[2]]
            etag = hashlib.sha256(content).hexdigest()
            self.send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"})
        else:
            self.fail(401 if "gated" not in path else 403, "GatedRepo" if "gated" in path else "RepoNotFound")

    def do_POST(self) -> None:
        path, body = urlsplit(self.path).path, self.body()
        if path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.fail(401, "")
        elif path == "/api/repos/create":
            self.created.append(json.loads(body))
            self.answer({"url": f"{self.root}/{self.repo}"})
        elif path == f"/api/models/{self.repo}/preupload/main":
            asked = [file["path"] for file in json.loads(body)["files"]]
            modes = [
                {"path": name, "uploadMode": "lfs" if name.endswith(LARGE) else "regular", "shouldIgnore": False}
                for name in asked
            ]
            self.answer({"files": modes})
        elif path == f"/{self.repo}.git/info/lfs/objects/batch":
            objects = [
                each | {"actions": {"upload": {"href": f"{self.root}/upload/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self.answer({"objects": objects, "transfer": "basic"})
        elif path == f"/api/models/{self.repo}/commit/main":
            self.commit([json.loads(line) for line in body.splitlines()])
            self.answer({"commitUrl": f"{self.root}/{self.repo}/commit/{COMMIT}", "commitOid": COMMIT})
        else:
            self.fail(404, "RepoNotFound")

    def do_PUT(self) -> None:
        self.uploads[urlsplit(self.path).path.rpartition("/")[2]] = self.body()
        self.send(200, b"")

    def commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[value["path"]] = self.uploads[value["oid"]]

    def sibling(self, name: str) -> dict[str, Any]:
        content = self.files[name]
        found: dict[str, Any] = {"rfilename": name, "size": len(content)}
        if name.endswith(LARGE):
            digest = hashlib.sha256(content).hexdigest()
            found["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 100}
        return found

    @property
    def root(self) -> str:
        return f"http://{self.headers['Host']}"

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def answer(self, document: Any) -> None:
        self.send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def fail(self, status: int, code: str) -> None:
        self.send(status, b"{}", {"X-Error-Code": code})

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Nothing: the test says what went wrong."""


@contextlib.contextmanager
def hub(files: dict[str, bytes]) -> Iterator[tuple[str, type[Hub]]]:
    """A Hub whose repository holds these files; yields its URL, and what it holds and was asked."""
    handler = type("OneHub", (Hub,), {"files": dict(files), "uploads": {}, "created": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
