import pytest
from click import BadParameter

from registry.errors import InvalidInput
from serve.pins import check_pins
from serve.size import size


def test_more_pins_than_places_are_refused_with_what_to_type() -> None:
    assert check_pins(["a", "a@prod", "b:2"], 2, 4) == ("a@prod", "b:2")
    with pytest.raises(InvalidInput, match="4 places for 2 slots leave room for 2") as error:
        check_pins(["a", "b", "c"], 2, 4)
    assert error.value.hint == "adaptory serve --host-adapters 5"
    with pytest.raises(InvalidInput):
        check_pins(["../etc"], 2, 4)


@pytest.mark.parametrize(
    ("text", "bytes_"), [("20GiB", 20 << 30), ("500MB", 500_000_000), ("1.5 t", 3 << 39), ("4096", 4096), ("1k", 1024)]
)
def test_sizes_as_people_type_them(text: str, bytes_: int) -> None:
    assert size(text) == bytes_


@pytest.mark.parametrize("text", ["", "GiB", "-1", "12 parsecs", "1e9"])
def test_what_is_no_size_is_said(text: str) -> None:
    with pytest.raises(BadParameter, match="20GiB"):
        size(text)
