"""A real OCI registry: Debian's ``docker-registry``, unpacked into ``build/`` without root, on a free port."""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

ROOT = Path(__file__).parents[3]
TOOLS = ROOT / "build" / "docker-registry"
PROGRAM = TOOLS / "usr" / "bin" / "docker-registry"
SECONDS = 30
USER, WORD = "ann", "a-good-word"
HTPASSWD = f"{USER}:$2b$04$R8J934kWkoSicT03SRrvc.iyOriY5Ax.1zOnrKqEJ4J9k07VwIbPm\n"  # bcrypt, of that word

CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
{auth}
"""
AUTH = "auth: {{htpasswd: {{realm: test, path: {file}}}}}"


def installed() -> Path:
    """The program, fetched once for a clone; skips the test where Debian's packages are out of reach."""
    if PROGRAM.is_file():
        return PROGRAM
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg")
    if not apt or not dpkg:
        pytest.skip("docker-registry comes from Debian's packages, and this is no Debian")
    state = TOOLS / "apt"
    for folder in (state / "lists" / "partial", state / "cache" / "archives" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    # Root's apt fetches as a user who may not write here, unless it is told otherwise.
    plain = (apt, "-q", "-o", "APT::Sandbox::User=root")
    own = (*plain, "-o", f"Dir::State::Lists={state / 'lists'}", "-o", f"Dir::Cache={state / 'cache'}")
    done = fetch(*plain, "download", "docker-registry")
    if done.returncode:  # the machine's lists are old or missing, and only root may bring them up to date
        fetch(*own, "update")
        done = fetch(*own, "download", "docker-registry")
    if done.returncode:
        pytest.skip(f"docker-registry cannot be fetched: {done.stderr.strip().splitlines()[-1]}")
    (package,) = TOOLS.glob("docker-registry_*.deb")
    fetch(dpkg, "-x", str(package), str(TOOLS)).check_returncode()
    shutil.rmtree(state)
    return PROGRAM


def fetch(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=TOOLS, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def running(folder: Path, *, locked: bool = False) -> Iterator[str]:
    """A registry over an empty folder, which wants USER and WORD where it is locked; yields ``host:port``."""
    program, port = installed(), free_port()
    (folder / "htpasswd").write_text(HTPASSWD)
    auth = AUTH.format(file=folder / "htpasswd") if locked else ""
    (folder / "config.yml").write_text(CONFIG.format(root=folder / "blobs", port=port, auth=auth))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen((str(program), "serve", str(folder / "config.yml")), stdout=log, stderr=log)
        try:
            wait_until_ready(process, port, folder / "log")
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=SECONDS)


@contextlib.contextmanager
def with_tokens(upstream: str) -> Iterator[str]:
    """Before an open registry, one that wants tokens as Docker's and GitHub's do: for reading, or for writing too."""
    relay = ThreadingHTTPServer(("127.0.0.1", 0), TokenRelay)
    relay.upstream = httpx.Client(base_url=f"http://{upstream}")  # type: ignore[attr-defined]  # for the handler
    thread = threading.Thread(target=relay.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{relay.server_port}"
    finally:
        relay.shutdown()
        thread.join()
        relay.server_close()
        relay.upstream.close()  # type: ignore[attr-defined]


class TokenRelay(BaseHTTPRequestHandler):
    """Gives out tokens that are good for a scope, and passes on what comes with a good one."""

    def do_GET(self) -> None:
        if self.path.startswith("/token?"):
            self.give_token()
        else:
            self.relay("pull")

    def do_HEAD(self) -> None:
        self.relay("pull")

    def do_POST(self) -> None:
        self.relay("pull,push")

    def do_PUT(self) -> None:
        self.relay("pull,push")

    def give_token(self) -> None:
        wanted = base64.b64encode(f"{USER}:{WORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {wanted}":
            self.answer(401, {})
            return
        (scope,) = parse_qs(urlsplit(self.path).query)["scope"]
        self.answer(200, {"Content-Type": "application/json"}, json.dumps({"token": scope}).encode())

    def relay(self, actions: str) -> None:
        upstream, host = self.server.upstream, self.headers["Host"]  # type: ignore[attr-defined]  # see with_tokens
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.headers.get("Authorization", "").startswith(f"Bearer repository:support:{actions}"):
            challenge = f'Bearer realm="http://{host}/token",service="test",scope="repository:support:{actions}"'
            self.answer(401, {"WWW-Authenticate": challenge})
            return
        sent = {name: self.headers[name] for name in ("Content-Type", "Accept") if name in self.headers}
        got = upstream.request(self.command, self.path, content=body, headers=sent)
        kept = {name: value for name, value in got.headers.items() if name != "transfer-encoding"}
        kept["location"] = kept.get("location", "").replace(upstream.base_url.netloc.decode(), host)
        self.answer(got.status_code, kept, got.content)

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in ({"content-length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Nothing: the test says what went wrong."""


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2).close()
        except urllib.error.HTTPError as error:  # it wants a password: it is there
            error.close()
        except OSError:
            time.sleep(0.05)
            continue
        return
    raise AssertionError(log.read_text())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
