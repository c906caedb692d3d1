import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InvalidReference
from registry.refs import AdapterRef

segments = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", fullmatch=True)
names = st.one_of(segments, st.tuples(segments, segments).map("/".join))
refs = st.one_of(
    st.builds(AdapterRef, names, version=st.integers(1, 2**31 - 1)),
    st.builds(AdapterRef, names, alias=st.from_regex(r"[a-z]([a-z0-9_-]{0,30}[a-z0-9])?", fullmatch=True)),
    st.builds(AdapterRef, names, digest=st.from_regex(r"sha256:[0-9a-f]{8,64}", fullmatch=True)),
)


@given(refs)
def test_what_is_written_is_read_back(ref: AdapterRef) -> None:
    assert AdapterRef.parse(str(ref)) == ref


@given(st.text())
def test_any_text_is_a_reference_or_a_clear_refusal(text: str) -> None:
    try:
        ref = AdapterRef.parse(text)
    except InvalidReference as error:
        assert error.message.isprintable()
        assert error.hint
    else:
        assert AdapterRef.parse(str(ref)) == ref


@given(refs, st.integers(0, 200), st.characters())
def test_a_reference_has_one_spelling(ref: AdapterRef, place: int, character: str) -> None:
    """One character more is a refusal or another reference, never the same one again."""
    text = str(ref)
    place = min(place, len(text))
    try:
        other = AdapterRef.parse(text[:place] + character + text[place:])
    except InvalidReference as error:
        assert f"{error.message} {error.hint}".isprintable()
    else:
        assert other != ref


def test_a_bare_name_means_prod() -> None:
    assert AdapterRef.parse("team/support") == AdapterRef("team/support", alias="prod")


@pytest.mark.parametrize(
    "text",
    ["", "Support", "../x", "a/../b", "a//b", "a/b/c", "/a", "a:0", "a:01", "a:-1", "a:99999999999", "a:1:2", "a:٣",
     "a@", "a@Prod", "a@sha256:", "a@sha256:12", "a@sha256:" + "g" * 64, "a@b@c", "a b", "a\n", "a\x00", "a:1@prod"],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        AdapterRef.parse(text)
