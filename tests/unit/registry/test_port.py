import pytest

from registry.errors import InvalidInput
from registry.port import listen


def test_a_port_in_use_names_a_free_one() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInput, match=f"Port {port} on 127.0.0.1 is in use") as caught:
            listen("127.0.0.1", port)
    with listen("127.0.0.1", int(caught.value.hint.rpartition("--port ")[2])):
        pass


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Cannot listen"):
        listen("192.0.2.1", 0)
