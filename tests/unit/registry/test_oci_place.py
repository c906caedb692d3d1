import pytest

from registry.errors import InvalidInput
from registry.exchange.oci_place import OciPlace

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "repository", "loopback"),
    [
        ("oci://localhost:5000/support:1", "localhost:5000", "support", True),
        ("oci://127.0.0.1:5000/team/support:v1.2", "127.0.0.1:5000", "team/support", True),
        (f"oci://[::1]:5000/support:1@{DIGEST}", "[::1]:5000", "support", True),
        ("oci://ghcr.io/org/a/b:latest", "ghcr.io", "org/a/b", False),
        ("oci://localhost.example.com/support:1", "localhost.example.com", "support", False),
        (f"oci://10.0.0.1:5000/support@{DIGEST}", "10.0.0.1:5000", "support", False),
    ],
)
def test_a_place_reads_back_and_plain_http_is_for_this_machine(
    text: str, host: str, repository: str, loopback: bool
) -> None:
    place = OciPlace.parse(text)
    assert (place.host, place.repository, place.is_loopback, str(place)) == (host, repository, loopback, text)


@pytest.mark.parametrize(
    "text",
    [
        "oci://", "oci://host", "oci://host/", "oci://host/name", "oci://host/Name:1", "oci://host/a/../b:1",
        "oci://user:word@host/name:1", "oci://host/name:1?x", "oci://host/name@sha256:abc", "oci://host /name:1",
        "oci://host/name:" + "x" * 129, "oci://host/" + "a/" * 130 + "b:1", "https://host/name:1",
    ],
)  # fmt: skip
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        OciPlace.parse(text)
    assert "word" not in raised.value.message.removeprefix("A place holds no name and no password.")
