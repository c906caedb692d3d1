import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import jsonschema
import pytest


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[3] / "examples" / "address" / "prepare_data.py"
    spec = importlib.util.spec_from_file_location("prepare_address_data", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def read(script: ModuleType, inner: str) -> dict[str, str] | None:
    address = script.read_address(ElementTree.fromstring(f"<AddressString>{inner}</AddressString>"))  # noqa: S314 - ours
    return None if address is None else dict(address.fields)


def test_words_become_fields_in_a_fixed_order(script: ModuleType) -> None:
    inner = (
        "<AddressNumber>12</AddressNumber> <StreetNamePreDirectional>N.</StreetNamePreDirectional> "
        "<StreetName>Oak</StreetName> <StreetNamePostType>St.,</StreetNamePostType> "
        "<OccupancyType>Apt</OccupancyType> <OccupancyIdentifier>3,</OccupancyIdentifier> "
        "<PlaceName>New</PlaceName> <PlaceName>York</PlaceName>, <StateName>NY</StateName> <ZipCode>10001</ZipCode>"
    )
    fields = read(script, inner)
    assert fields == {
        "number": "12",
        "street": "N. Oak St.",
        "unit": "Apt 3",
        "city": "New York",
        "state": "NY",
        "zip": "10001",
    }
    assert list(fields) == [field for field in script.FIELDS if field in fields]


@pytest.mark.parametrize(
    "inner",
    [
        "<StreetName>A</StreetName> <IntersectionSeparator>and</IntersectionSeparator> <StreetName>B</StreetName>",
        "<NotAddress>hello</NotAddress> <StreetName>A</StreetName>",
        "<StreetName>A</StreetName> # <OccupancyIdentifier>1</OccupancyIdentifier>",
        "<StreetName>A</StreetName> <PlaceName>X</PlaceName> <StreetName>B</StreetName>",
        "<StreetName>,</StreetName>",
        "",
    ],
)
def test_what_does_not_map_cleanly_is_dropped(script: ModuleType, inner: str) -> None:
    assert read(script, inner) is None


def test_a_split_holds_each_address_once(script: ModuleType) -> None:
    def address(text: str, city: str = "X") -> object:
        return script.Address(text, {"city": city})

    addresses = [address(f"{number} Main St") for number in range(20)]
    again = [address("3 MAIN ST."), address("7, main st", city="Y")]
    train, held_out = script.split([*addresses, *again], 5, 1)
    keys = [one.key for one in (*train, *held_out)]
    assert len(held_out) == 5
    assert len(keys) == len(set(keys)) == 19
    assert "7mainst" not in keys
    assert script.split([*addresses, *again], 5, 1) == (train, held_out)


def test_an_answer_is_compact_and_fits_the_schema(script: ModuleType) -> None:
    row = script.Address("1 Oak", {"number": "1", "street": "Oak"}).chat()
    answer = row["messages"][-1]["content"]
    assert answer == '{"number":"1","street":"Oak"}'
    jsonschema.validate(json.loads(answer), script.SCHEMA)
