"""Records survive the line, refuse what is impossible, and match their published schemas."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg import records
from rrg.codec import decode, encode, schema_files
from rrg.errors import RecordError
from rrg.records import KINDS, Anatomy, Box, Error, ImageRef, Part, Report, Sample, Section, Sentence, Slice, Turn

SLICE = Slice(
    id="a", from_=("b",), patient="p", study="s", series="x", index=0, count=2, pixels="series/x#0", sha256="0",
    rows=2, columns=3, dtype="int16", unit="HU", modality="CT", spacing_mm=(0.5, 0.8), extra={"mine": [1, None, "ß"]},
)  # fmt: skip


def test_published_schemas_are_those_of_the_records() -> None:
    folder = Path(__file__).parents[1] / "rrg" / "schemas"
    assert {p.name: p.read_text() for p in folder.iterdir()} == dict(schema_files()), "run make schemas"


def test_schema_is_the_first_field_of_every_kind() -> None:
    for name, kind in KINDS.items():
        first = dataclasses.fields(kind)[0]
        assert (first.name, first.default) == ("schema", name)


def test_every_field_of_a_record_has_a_place_in_its_schema() -> None:
    line = encode(SLICE)
    assert line.startswith(b'{"schema":"rrg.slice/1"')
    assert b'"from":["b"]' in line
    assert decode(line, Slice) == SLICE


boxes = st.tuples(*[st.floats(0, 1000)] * 2, *[st.floats(0.01, 500)] * 2).map(
    lambda t: Box(x0=t[0], y0=t[1], x1=t[0] + t[2], y1=t[1] + t[3])
)


@given(st.text(max_size=40).filter(lambda t: not any(0xD800 <= ord(c) < 0xE000 for c in t)), boxes)
def test_any_text_and_box_round_trip(text: str, box: Box) -> None:
    report = Report(
        id="r", text=text, lang="de", source_sha256="0",
        sections=(Section(kind="body", span=(0, len(text))),),
        sentences=(Sentence(span=(0, len(text)), section=0, lang="de"),),
    )  # fmt: skip
    line = encode(report)
    assert b"\n" not in line
    assert decode(line, Report) == report
    error = Error(id="e", code="E_BOX", command="x", message=repr(box), source="y")
    assert decode(encode(error), Error) == error


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b'"rows":2', b'"rows":2,"row":1', "row"),
        (b'"rows":2', b'"rows":"2"', "rows"),
        (b'"rows":2', b'"rows":0', "0 x 3"),
        (b'"rows":2,', b"", "rows"),
        (b'"index":0', b'"index":-1', "-1"),
        (b"[0.5,0.8]", b"[0.5,0]", "not positive"),
        (b"[0.5,0.8]", b"[0.5]", "spacing_mm"),
    ],
)
def test_a_record_that_is_not_valid_is_refused_by_name(old: bytes, new: bytes, says: str) -> None:
    line = encode(SLICE)
    assert old in line
    with pytest.raises(RecordError, match=r"rrg\.slice/1") as caught:
        decode(line.replace(old, new), Slice)
    assert says in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(("x0", "x1"), [(3.0, 3.0), (4.0, 3.0), (0.0, float("nan")), (0.0, float("inf"))])
def test_an_empty_or_endless_box_can_not_be_made(x0: float, x1: float) -> None:
    with pytest.raises(ValueError, match="empty or not finite"):
        Box(x0=x0, y0=0.0, x1=x1, y1=1.0)


def test_links_to_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="span"):
        Report(id="r", text="abc", lang="de", source_sha256="0", sections=(Section(kind="body", span=(0, 4)),))
    with pytest.raises(ValueError, match="sentence 0 of 0"):
        Report(
            id="r", text="abc", lang="de", source_sha256="0", anatomy=(Anatomy(span=(0, 1), sentence=0, classes=()),)
        )
    image = ImageRef(id="i0", ref="series/a#0", rows=1, columns=1)
    with pytest.raises(ValueError, match="i1"):
        Sample(
            id="s", patient="p", study="t", images=(image,), lang="de", task="vqa",
            turns=(Turn(role="user", content=(Part(type="image", ref="i1"),)),),
        )  # fmt: skip


def test_what_may_be_none_may_be_left_out() -> None:
    """None is not written, so every field that may be None must have it as default."""
    for cls in vars(records).values():
        if dataclasses.is_dataclass(cls):
            for field in dataclasses.fields(cls):
                if "None" in str(field.type):
                    assert field.default is None, f"{cls.__name__}.{field.name}"
