"""S3Blobs: content-addressed objects in a bucket, each uploaded whole or not at all."""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from registry.embedded.blob_store import OnBytes
from registry.embedded.staging import Staging, copy_in, write_file
from registry.errors import Corrupted, InvalidInput, Unavailable
from registry.files import FileEntry
from registry.settings import S3Access

if TYPE_CHECKING:
    from obstore.store import S3Config

PART = 8 << 20
"""Bytes of one part of an upload, and of one ranged read; S3 takes 10,000 parts: 78 GiB."""

PARALLEL = 4
"""Parts under way at once, so about 32 MiB of memory."""

FRESH = timedelta(minutes=30)
"""Content older than this is uploaded again by a push that needs it, so that garbage collection, which goes by age and
leaves everything of the last hour, does not take it before the push is visible."""


class S3Blobs:
    """A bucket with one object for each content, under ``<prefix>/sha256/<2 hex>/<62 hex>``.

    An object appears when its upload is complete: S3 shows no part of one. The key is the SHA-256 of what was staged
    on this machine, and an upload whose bytes turn out otherwise is given up before it is complete. Two pushes of the
    same content write the same bytes, so neither needs a condition.
    """

    def __init__(self, location: str, access: S3Access, staging: Path) -> None:
        """Name a bucket; nothing is asked of it yet.

        Args:
            location: ``s3://bucket/prefix``.
            access: endpoint, region and keys.
            staging: local folder for files that are on their way.

        Raises:
            InvalidInput: the location names no bucket.
        """
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        if not bucket:
            raise InvalidInput(f"{location} names no bucket; s3://bucket/prefix was expected.")
        self.place = f"s3://{bucket}/{prefix}".rstrip("/")
        self._store = _store(bucket, prefix.strip("/"), access)
        self._staging = Staging(staging)

    def stage(self) -> AbstractContextManager[Path]:
        """A private local folder for content that is not yet kept; removed at the end."""
        return self._staging.stage()

    def copy_in(self, source: Path, staged: Path, path: str, on_bytes: OnBytes = None) -> FileEntry:  # noqa: ARG002
        """Copy ``source`` to ``staged / path`` and hash it; ``keep`` takes the time, and tells ``on_bytes``."""
        return copy_in(source, staged, path)

    def keep(self, staged: Path, entries: tuple[FileEntry, ...], on_bytes: OnBytes = None) -> None:
        """Upload what the bucket does not hold, or has held for long.

        Raises:
            Corrupted: a staged file changed after it was hashed.
        """
        for entry in entries:
            if self._is_fresh(entry):
                if on_bytes:
                    on_bytes(entry.size)
            else:
                self._upload(staged / entry.path, entry, on_bytes)

    def copy_out(self, entry: FileEntry, target: Path, on_bytes: OnBytes = None) -> None:
        """Download content to the new file ``target`` in parallel ranges and prove it on the way.

        Raises:
            Corrupted: the content is missing or has other bytes than its name says.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _size, digest = write_file(self.read(entry.digest), target, on_bytes)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        if digest != entry.digest:
            target.unlink()
            raise Corrupted(f"The content {entry.digest[:19]}… of {entry.path} was changed in {self.place}.")

    def read(self, digest: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from ``start`` up to ``stop``, in pieces of at most 8 MiB, read ahead and not proved.

        Raises:
            Corrupted: the content is missing; at once, not with the first piece.
        """
        size = self.size(digest)
        if size is None:
            raise Corrupted(f"The content {digest[:19]}… is missing from {self.place}.")
        return self._pieces(digest, start, size if stop is None else min(stop, size))

    def size(self, digest: str) -> int | None:
        """Bytes of this content, None where it is not kept."""
        found = self._head(digest)
        return found[0] if found else None

    def digests(self) -> Iterator[tuple[str, int, datetime]]:
        """All content, in no order: digest, bytes, and when it was last kept (UTC)."""
        with self._answering():
            for batch in obstore.list(self._store, prefix="sha256"):
                for found in batch:
                    digest = "sha256:" + found["path"].removeprefix("sha256/").replace("/", "")
                    yield digest, found["size"], found["last_modified"]

    def remove(self, digest: str) -> None:
        """Take content away for good; what is not there is no error."""
        with self._answering():
            try:
                obstore.delete(self._store, _key(digest))
            except FileNotFoundError:
                return

    def check(self, digest: str, on_bytes: OnBytes = None) -> bool:
        """Whether the content is there and still hashes to its name; reads all of it."""
        state = hashlib.sha256()
        try:
            for piece in self.read(digest):
                state.update(piece)
                if on_bytes:
                    on_bytes(len(piece))
        except Corrupted:
            return False
        return "sha256:" + state.hexdigest() == digest

    def url(self, digest: str, seconds: int) -> str | None:
        """A presigned URL of the content, good for so long; it reads, whatever the key that signed it may do."""
        with self._answering():
            return obstore.sign(self._store, "GET", _key(digest), timedelta(seconds=seconds))

    def _head(self, digest: str) -> tuple[int, datetime] | None:
        """Bytes and time of an object."""
        with self._answering():
            try:
                found = obstore.head(self._store, _key(digest))
            except FileNotFoundError:
                return None
        return found["size"], found["last_modified"]

    def _is_fresh(self, entry: FileEntry) -> bool:
        found = self._head(entry.digest)
        return found is not None and found[0] == entry.size and datetime.now(UTC) - found[1] < FRESH

    def _upload(self, file: Path, entry: FileEntry, on_bytes: OnBytes) -> None:
        """Upload in parts, or at once where one part holds everything; an error from ``_proved`` gives it up."""
        with self._answering():
            try:
                if entry.size <= PART:
                    obstore.put(self._store, _key(entry.digest), b"".join(_proved(file, entry, on_bytes)))
                else:
                    pieces = _proved(file, entry, on_bytes)
                    obstore.put(self._store, _key(entry.digest), pieces, chunk_size=PART, max_concurrency=PARALLEL)
            except FileNotFoundError as error:
                raise Unavailable(f"There is no bucket {self.place}.", "Make it, or set ADAPTORY_BLOBS.") from error

    def _pieces(self, digest: str, start: int, stop: int) -> Iterator[bytes]:
        begins = iter(range(start, stop, PART))
        under_way: deque[Future[bytes]] = deque()
        pool = ThreadPoolExecutor(PARALLEL)
        try:
            for begin in islice(begins, PARALLEL):
                under_way.append(pool.submit(self._range, digest, begin, min(begin + PART, stop)))
            while under_way:
                piece = under_way.popleft().result()
                for begin in islice(begins, 1):
                    under_way.append(pool.submit(self._range, digest, begin, min(begin + PART, stop)))
                yield piece
        finally:  # who stops reading, maybe a server's event loop, does not wait for what is under way
            pool.shutdown(wait=False, cancel_futures=True)

    def _range(self, digest: str, start: int, stop: int) -> bytes:
        with self._answering():
            try:
                return obstore.get_range(self._store, _key(digest), start=start, end=stop).to_bytes()
            except FileNotFoundError as error:
                raise Corrupted(f"The content {digest[:19]}… is missing from {self.place}.") from error

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Say in our words that the bucket does not answer; obstore's are many lines, with everything it knows."""
        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise Unavailable(
                f"The bucket {self.place} refuses the access key.", "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            ) from error
        except BaseError as error:
            raise Unavailable(f"The bucket {self.place} does not answer.", "Check AWS_ENDPOINT_URL.") from error


def _key(digest: str) -> str:
    hexadecimal = digest.removeprefix("sha256:")
    return f"sha256/{hexadecimal[:2]}/{hexadecimal[2:]}"


def _proved(file: Path, entry: FileEntry, on_bytes: OnBytes) -> Iterator[bytes]:
    """The file's pieces; ends in an error where they are not what the entry says."""
    state = hashlib.sha256()
    with file.open("rb") as reader:
        while piece := reader.read(PART):
            state.update(piece)
            yield piece
            if on_bytes:
                on_bytes(len(piece))
    if "sha256:" + state.hexdigest() != entry.digest:
        raise Corrupted(f"The staged file {file} changed on its way to the bucket.", "Push again.")


def _store(bucket: str, prefix: str, access: S3Access) -> S3Store:
    """The client; where no key is given it looks where obstore looks, such as the machine's role."""
    config: S3Config = {}
    if access.endpoint:
        config["endpoint"] = access.endpoint
    if access.region:
        config["region"] = access.region
    if access.key_id:
        config |= {"access_key_id": access.key_id, "secret_access_key": access.secret}
    if access.token:
        config["session_token"] = access.token
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options={
            "allow_http": access.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=10),
            "timeout": timedelta(seconds=120),
        },
        retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=30)},
    )
