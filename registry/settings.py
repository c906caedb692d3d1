"""Settings: read once at the entry point, passed down from there."""

import getpass
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where things are and who is asking.

    Attributes:
        home: folder of bases, caches and, unless ``registry`` says otherwise, of the registry (``ADAPTORY_HOME``).
        registry: folder of the registry (``ADAPTORY_REGISTRY``), by default ``<home>/registry``.
        actor: who is written into histories (``ADAPTORY_ACTOR``), by default the login name.
        server: URL of the server that ``eval``, ``chat`` and ``top`` ask (``ADAPTORY_SERVER``).
        api_key: what they send there, where keys are required (``ADAPTORY_API_KEY``); never printed.
    """

    home: Path
    registry: str
    actor: str
    server: str
    api_key: str = field(default="", repr=False)

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
