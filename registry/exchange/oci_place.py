"""OciPlace: ``oci://host[:port]/repository:tag``."""

import ipaddress
import re
from dataclasses import dataclass

from registry.errors import InvalidInput
from registry.refs import shown

SCHEME = "oci://"

# The distribution specification's grammar (opencontainers/distribution-spec, "Pulling manifests").
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PLACE = re.compile(
    r"oci://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::(?P<port>[0-9]{1,5}))?"
    rf"/(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class OciPlace:
    """A place in an OCI registry.

    Attributes:
        host: with its port, where one was written.
        repository: perhaps with slashes.
        tag: ``""`` where a digest was written instead.
        digest: of the manifest, or ``""``.
    """

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> "OciPlace":
        """Read a place as a person types it.

        Raises:
            InvalidInput: it has another form, or neither tag nor digest.
        """
        if "@" in text.removeprefix(SCHEME).partition("/")[0]:  # nothing of it is repeated
            raise InvalidInput("A place holds no name and no password.", "--user NAME --password-stdin")
        found = _PLACE.fullmatch(text)
        if not found or len(found["repository"]) > 255:
            raise InvalidInput(f"{shown(text)} is no place in an OCI registry.", "Write oci://HOST/REPOSITORY:TAG.")
        if not found["tag"] and not found["digest"]:
            raise InvalidInput(f"{shown(text)} has no tag.", f"Write {text}:TAG.")
        host = found["host"] + (f":{found['port']}" if found["port"] else "")
        return cls(host, found["repository"], found["tag"] or "", found["digest"] or "")

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, where nobody listens in on plain HTTP."""
        name = self.host.rpartition(":")[0] if re.search(r":[0-9]+$", self.host) else self.host
        if name == "localhost":
            return True
        try:
            return ipaddress.ip_address(name.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def name(self) -> str:
        """As ``oras`` and ``docker`` write it: without the scheme."""
        return str(self).removeprefix(SCHEME)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{SCHEME}{self.host}/{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")
