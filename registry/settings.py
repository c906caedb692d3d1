"""Settings: read once at the entry point, passed down from there."""

import getpass
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    """How a bucket is reached; an empty field means what the machine itself offers, such as its role.

    Attributes:
        endpoint: URL of the service, where it is not Amazon's (``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``).
        region: ``AWS_REGION`` or ``AWS_DEFAULT_REGION``.
        key_id: ``AWS_ACCESS_KEY_ID``.
        secret: ``AWS_SECRET_ACCESS_KEY``; never printed.
        token: ``AWS_SESSION_TOKEN``; never printed.
    """

    endpoint: str = ""
    region: str = ""
    key_id: str = ""
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "S3Access":
        """Read the variables named above; the first that is set counts."""
        return cls(
            endpoint=environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or "",
            region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "",
            key_id=environment.get("AWS_ACCESS_KEY_ID") or "",
            secret=environment.get("AWS_SECRET_ACCESS_KEY") or "",
            token=environment.get("AWS_SESSION_TOKEN") or "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where things are and who is asking.

    Attributes:
        home: folder of bases, caches and, unless ``registry`` says otherwise, of the registry (``ADAPTORY_HOME``).
        registry: the registry (``ADAPTORY_REGISTRY``): a folder, by default ``<home>/registry``, or the URL of a
            PostgreSQL database, which may hold a password and is never printed.
        blobs: where its content is (``ADAPTORY_BLOBS``): a folder or ``s3://bucket/prefix``, by default in its folder.
        s3: how a bucket is reached.
        actor: who is written into histories (``ADAPTORY_ACTOR``), by default the login name.
        server: URL of the server that ``eval``, ``chat`` and ``top`` ask (``ADAPTORY_SERVER``).
        api_key: what they send there, where keys are required (``ADAPTORY_API_KEY``); never printed.
        sign_password: of an encrypted signing key (``ADAPTORY_SIGN_PASSWORD``); never printed.
    """

    home: Path
    registry: str = field(repr=False)
    actor: str
    server: str
    api_key: str = field(default="", repr=False)
    sign_password: str = field(default="", repr=False)
    blobs: str = ""
    s3: S3Access = field(default_factory=S3Access)

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers of a request to ``server``."""
        return {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the variables named above; unset and empty mean the default."""
        home = Path(environment.get("ADAPTORY_HOME") or _platform_home()).expanduser().absolute()
        return cls(
            home=home,
            registry=environment.get("ADAPTORY_REGISTRY") or str(home / "registry"),
            actor=environment.get("ADAPTORY_ACTOR") or getpass.getuser(),
            server=environment.get("ADAPTORY_SERVER") or "http://127.0.0.1:8000",
            api_key=environment.get("ADAPTORY_API_KEY") or "",
            sign_password=environment.get("ADAPTORY_SIGN_PASSWORD") or "",
            blobs=environment.get("ADAPTORY_BLOBS") or "",
            s3=S3Access.from_environment(environment),
        )

    @property
    def bases(self) -> Path:
        """Folder of prepared bases."""
        return self.home / "bases"

    @property
    def cache(self) -> Path:
        """Folder of things that can be made again: pulled adapters, tools."""
        return self.home / "cache"


def _platform_home() -> str:
    from platformdirs import user_data_dir

    return user_data_dir("adaptory", appauthor=False)
