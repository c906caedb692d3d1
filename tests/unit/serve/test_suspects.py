import pytest

from registry.version import AdapterVersion
from serve.errors import AdapterRefused, EngineLost
from serve.suspects import ARREST_SECONDS, Suspects
from tests.unit.serve.conftest import Push


def ends(suspects: Suspects, version: AdapterVersion, restarts: int) -> None:
    with pytest.raises(EngineLost), suspects.watched(version, 0, restarts):
        raise EngineLost("gone")


def test_two_ends_are_too_many_for_a_while(push: Push) -> None:
    now = 0.0
    suspects, version = Suspects(lambda: now), push("address")
    ends(suspects, version, 0)
    ends(suspects, version, 0)  # another request that waited for the same load
    ends(suspects, version, 1)
    assert suspects.engine(version.digest) == 0
    with pytest.raises(AdapterRefused, match="ended 2 times"), suspects.watched(version, 0, 2):
        pass
    now = ARREST_SECONDS
    ends(suspects, version, 2)
    now += 1.5 * ARREST_SECONDS
    with pytest.raises(AdapterRefused, match="ended 3 times"), suspects.watched(version, 0, 3):
        pass
    now += ARREST_SECONDS
    with suspects.watched(version, 0, 3):
        pass
    assert suspects.engine(version.digest) is None
