"""Hand-labelled US addresses -> chat data: an address in, JSON with named fields out.

The addresses are those of the package ``usaddress`` 0.5.16 (MIT), labelled by hand word by word. This script gets its
source distribution, joins the words of each field, and writes ``train.jsonl``, ``heldout.jsonl``, ``schema.json`` and
``SOURCE.md`` into a build folder. Nothing of it is kept in the repository.

    python examples/address/prepare_data.py --out build/address
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

SDIST = "usaddress==0.5.16"
SEED = 3407
HELD_OUT = 240
LABELLED_BY_HAND = (
    "labeled.xml",
    "multi_word_state_addresses.xml",
    "us50_messiest_manual_label.xml",
    "us50_train_tagged.xml",
)

FIELDS = {
    "recipient": ("Recipient",),
    "building": ("BuildingName", "LandmarkName"),
    "number": ("AddressNumberPrefix", "AddressNumber", "AddressNumberSuffix"),
    "street": (
        "StreetNamePreModifier",
        "StreetNamePreDirectional",
        "StreetNamePreType",
        "StreetName",
        "StreetNamePostType",
        "StreetNamePostDirectional",
        "StreetNamePostModifier",
    ),
    "unit": ("OccupancyType", "OccupancyIdentifier", "SubaddressType", "SubaddressIdentifier"),
    "box": ("USPSBoxType", "USPSBoxID", "USPSBoxGroupType", "USPSBoxGroupID"),
    "city": ("PlaceName",),
    "state": ("StateName",),
    "zip": ("ZipCode", "ZipPlus4"),
    "country": ("CountryName",),
}
"""Field of the answer -> labels of usaddress; the order is that of the answer."""

FIELD_OF = {label: field for field, labels in FIELDS.items() for label in labels}

# Names the fields, so that the untrained base knows what is asked of it too.
SYSTEM = f"Address to JSON. Keys: {', '.join(FIELDS)}."

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "US address",
    "type": "object",
    "properties": {field: {"type": "string", "minLength": 1} for field in FIELDS},
    "additionalProperties": False,
    "minProperties": 1,
}

SOURCE = """# Where this data comes from

Addresses and labels: the package `usaddress` 0.5.16 (DataMade and contributors, https://github.com/datamade/usaddress),
files {files} of its source distribution, under the MIT licence below.
`examples/address/prepare_data.py` joined the labelled words into fields, dropped what does not map to one value a field
(intersections, words that are no address), removed duplicates and split the rest with seed {seed}.

---

{licence}
"""


@dataclass(frozen=True, slots=True)
class Address:
    """One address and its fields, in the order of ``FIELDS``."""

    text: str
    fields: dict[str, str]

    @property
    def key(self) -> str:
        """The text without case, spaces and punctuation: equal keys are the same address."""
        return re.sub(r"[^a-z0-9]", "", self.text.lower())

    def chat(self) -> dict[str, object]:
        """A row of chat data; the last message is the answer."""
        answer = json.dumps(self.fields, ensure_ascii=False, separators=(",", ":"))
        turns = (("system", SYSTEM), ("user", self.text), ("assistant", answer))
        return {"messages": [{"role": role, "content": content} for role, content in turns]}


def read_address(element: ElementTree.Element) -> Address | None:
    """Map one labelled address, or None where it does not map cleanly.

    That is: a label without a field, text between the labelled words other than punctuation, or a field whose words
    do not stand together.
    """
    words = [(FIELD_OF.get(word.tag), word.text or "", word.tail or "") for word in element]
    if not words or any(field is None or re.search(r"[^\s,;.]", tail) for field, _, tail in words):
        return None
    runs = [
        (str(field), "".join(text + tail for _, text, tail in run))
        for field, run in groupby(words, lambda word: word[0])
    ]
    values = {field: " ".join(value.split()).strip(" ,;") for field, value in runs}
    if len(values) < len(runs) or not all(values.values()):
        return None
    text = " ".join("".join(element.itertext()).split())
    return Address(text, {field: values[field] for field in FIELDS if field in values})


def read_addresses(folder: Path) -> Iterator[Address]:
    """Every address of the hand-labelled files that maps cleanly, in the order of the files."""
    for name in LABELLED_BY_HAND:
        root = ElementTree.parse(folder / name).getroot()  # noqa: S314 - a pinned package's own file
        yield from filter(None, map(read_address, root))


def split(addresses: Iterable[Address], held_out: int, seed: int) -> tuple[list[Address], list[Address]]:
    """Shuffle the distinct addresses and set ``held_out`` of them aside: no text is on both sides.

    Addresses that stand there twice with different answers are ambiguous and are left out.
    """
    by_key: dict[str, list[Address]] = {}
    for address in addresses:
        by_key.setdefault(address.key, []).append(address)
    distinct = [same[0] for same in by_key.values() if all(other.fields == same[0].fields for other in same)]
    random.Random(seed).shuffle(distinct)  # noqa: S311 - a split, not a secret
    return distinct[held_out:], distinct[:held_out]


def get_sdist(folder: Path) -> Path:
    """Download the source distribution with pip, once."""
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob("usaddress-*.tar.gz")):
        command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation")
        subprocess.run([*command, "--no-binary", "usaddress", "--dest", str(folder), SDIST], check=True)
    return next(folder.glob("usaddress-*.tar.gz"))


def write(out: Path, train: list[Address], held_out: list[Address], licence: str) -> None:
    """Write the four files."""
    for name, addresses in (("train.jsonl", train), ("heldout.jsonl", held_out)):
        lines = (json.dumps(address.chat(), ensure_ascii=False) + "\n" for address in addresses)
        (out / name).write_text("".join(lines), encoding="utf-8")
    (out / "schema.json").write_text(json.dumps(SCHEMA, indent=2) + "\n", encoding="utf-8")
    note = SOURCE.format(files=", ".join(LABELLED_BY_HAND), seed=SEED, licence=licence.strip())
    (out / "SOURCE.md").write_text(note, encoding="utf-8")


def main() -> None:
    """Get, map, split, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("build/address"), help="folder for the data")
    parser.add_argument("--sdist", type=Path, help="a source distribution that is already here")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tarfile.open(options.sdist or get_sdist(options.out / "source")) as archive:
        archive.extractall(options.out / "source", filter="data")
    source = next(path for path in (options.out / "source").iterdir() if path.is_dir())
    train, held_out = split(read_addresses(source / "training"), HELD_OUT, SEED)
    write(options.out, train, held_out, (source / "LICENSE").read_text(encoding="utf-8"))
    print(f"{len(train)} addresses to train on and {len(held_out)} held out, in {options.out}")


if __name__ == "__main__":
    main()
