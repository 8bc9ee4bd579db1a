"""What the PHI report says of made-up files, and that no value of a header is in it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

from rrg import private
from rrg.burned_in import likely_burned_in
from rrg.dicom import Header, read_header
from rrg.errors import RecordError, RrgError, UsageError
from rrg.files import Source
from rrg.keys import Dates
from rrg.phi import PhiFacts, facts_of, facts_of_files, merge, no_facts, report_markdown, write_report
from rrg.phi_tags import PROFILE, deed
from tests.made_dicom import ROOT, image, save

SECRETS = ("Mustermann", "Erika", "P-4711", "A-0815", "19500101", "20240229", "Musterstadt", "Kennwort", ROOT)


def a_file(path: Path, syntax: str = ExplicitVRLittleEndian, **tags: Any) -> str:
    return str(save(image(1, **tags), path, syntax))


def test_every_keyword_of_the_profile_is_one_of_dicom() -> None:
    assert len(PROFILE) > 200
    for keyword in PROFILE - {"OverlayComments"}:
        assert tag_for_keyword(keyword) is not None, keyword
    assert {"PatientName", "PatientID", "DeviceSerialNumber", "InstitutionName", "ImageComments"} <= PROFILE


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_a_file_is_told_by_names_and_counts(tmp_path: Path, syntax: str) -> None:
    made = image(
        1,
        InstitutionName="Klinik Musterstadt",
        PatientComments="",
        StationName="  ",
        PatientIdentityRemoved="NO",
        BurnedInAnnotation="NO",
        AcquisitionDateTime="20240229120000",
        OverlayDate="20240229",  # not in the profile's list, but a date
        OperatorsName="Mustermann^Erika",
    )
    if syntax == ExplicitVRBigEndian:
        made["PixelData"].VR = "OW"
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepDescription = "A-0815", "CT Musterstadt"
    made.RequestAttributesSequence = [request]
    made.IconImageSequence = [Dataset()]
    made.add_new(0x60003000, "OW", b"\1\0")
    block = made.private_block(0x0009, "MUSTERSTADT", create=True)
    block.add_new(0x01, "LO", "Mustermann")
    block.add_new(0x02, "LO", "Kennwort")
    made.add_new(0x00111001, "LO", "Mustermann")  # no creator at (0011,0010)
    facts = facts_of(str(save(made, tmp_path / "a", syntax)))
    assert set(facts["keywords"].values()) == {1}
    assert set(facts["keywords"]) == {
        "AccessionNumber", "AcquisitionDateTime", "FrameOfReferenceUID", "IconImageSequence", "InstitutionName",
        "MediaStorageSOPInstanceUID", "OperatorsName", "OverlayDate", "PatientBirthDate", "PatientID", "PatientName",
        "RequestAttributesSequence", "RequestedProcedureID", "SOPInstanceUID", "ScheduledProcedureStepDescription",
        "SeriesInstanceUID", "StudyDate", "StudyInstanceUID",
    } | {name for name in facts["keywords"] if name == "ImplementationClassUID"}  # fmt: skip
    assert (facts["private"], facts["private_orphans"], facts["private_files"]) == (3, 1, 1)
    assert (facts["overlay_files"], facts["icon_files"], facts["burned_in_files"]) == (1, 1, 0)
    assert facts["claims"] == {"BurnedInAnnotation NO": 1, "PatientIdentityRemoved NO": 1}
    assert not [secret for secret in SECRETS if secret in json.dumps(facts)]


def test_a_name_deep_in_sequences_is_found(tmp_path: Path) -> None:
    inner = Dataset()
    inner.PersonName = "Mustermann^Erika"
    for _ in range(8):
        outer = Dataset()
        outer.ContentSequence = [inner]
        inner = outer
    assert "PersonName" in facts_of(a_file(tmp_path / "a", ContentSequence=Sequence([inner])))["keywords"]


def test_sequences_without_end_are_refused(tmp_path: Path) -> None:
    inner = Dataset()
    for _ in range(100):
        outer = Dataset()
        outer.ContentSequence = [inner]
        inner = outer
    path = a_file(tmp_path / "a", ContentSequence=Sequence([inner]))
    with pytest.raises(RecordError) as caught:
        facts_of(path)
    assert caught.value.code == "E_MALFORMED"
    assert facts_of_files([path]) == {**no_facts(), "files": 1, "unread": 1}


def test_what_is_no_dicom_or_not_there(tmp_path: Path) -> None:
    text = tmp_path / "report.txt"
    text.write_text("Erika Mustermann, kein Nachweis einer Raumforderung. " * 20)
    os.mkfifo(tmp_path / "fifo")
    for path, code in [(text, "E_NOT_DICOM"), (tmp_path / "fifo", "E_NOT_DICOM"), (tmp_path / "none", "E_PATH")]:
        with pytest.raises(RecordError) as caught:
            facts_of(str(path))
        assert caught.value.code == code
        assert "Mustermann" not in caught.value.message


@given(st.binary(max_size=300))
def test_any_bytes_give_facts_or_an_error_record(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "phi_fuzz"
    if not (base := path.with_name("phi_base")).exists():
        a_file(base)
    path.write_bytes(base.read_bytes()[: 400 + len(tail)] + tail)
    try:
        facts = facts_of(str(path))
    except RecordError as error:
        assert error.code in ("E_MALFORMED", "E_NOT_DICOM")  # noqa: PT017 - every error is of this kind
    else:
        assert facts["files"] == 1


# --- burned-in text


@pytest.mark.parametrize(
    ("tags", "likely"),
    [
        ({}, False),
        ({"BurnedInAnnotation": "YES"}, True),
        ({"BurnedInAnnotation": "NO"}, False),
        ({"SOPClassUID": UltrasoundImageStorage, "Modality": "US"}, True),
        ({"SOPClassUID": UltrasoundImageStorage, "Modality": "US", "BurnedInAnnotation": "NO"}, True),
        ({"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT"}, True),
        ({"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "CT"}, True),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, True),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, False),
        ({"ImageType": ["DERIVED", "PRIMARY", "CT_SOM5 PROT"]}, True),
        ({"Modality": "US"}, True),
    ],
)
def test_likely_burned_in_text(tmp_path: Path, tags: dict[str, Any], likely: bool) -> None:
    path = a_file(tmp_path / "a", **tags)
    assert facts_of(path)["burned_in_files"] == int(likely)
    header = read_header(Source(path, "a"))
    if isinstance(header, Header):
        assert likely_burned_in(header) is likely
    else:
        assert header.code == "E_NOT_IMAGE"


# --- sums and the report

counts = st.integers(0, 10**6)
some_facts = st.fixed_dictionaries(
    {
        name: counts if isinstance(empty, int) else st.dictionaries(st.sampled_from("ABC"), st.integers(1, 99))
        for name, empty in no_facts().items()
    }
)


@given(some_facts, some_facts, some_facts)
def test_sums_do_not_depend_on_order(a: Any, b: Any, c: Any) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(c, b))
    assert merge(a, no_facts()) == a
    assert json.loads(json.dumps(merge(a, b))) == merge(a, b)


def filled() -> PhiFacts:
    keywords = sorted(PROFILE | {"StudyDate", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"})
    return {**no_facts(), "files": 7, "keywords": dict.fromkeys(keywords, 7), "private": 3, "private_files": 2,
            "claims": {"BurnedInAnnotation YES": 1}, "burned_in_files": 1}  # fmt: skip


@pytest.mark.parametrize("dates", ["keep", "shift", "year"])
def test_the_report_tells_what_becomes_of_each(dates: Dates) -> None:
    text = report_markdown(filled(), ["0123abcd"], dates)
    rows = dict(line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("| "))
    assert rows["PatientName"] == "7 | never copied to records"
    assert rows["PatientID"] == "7 | pseudonymised: keyed hash"
    assert rows["AccessionNumber"] == "7 | pseudonymised: keyed hash"
    assert rows["StudyInstanceUID"].startswith("7 | pseudonymised: keyed hash; as it is in the store's `private`")
    assert f"--dates {dates}" in rows["StudyDate"]
    assert rows["PatientSex"] == "7 | read, and reduced to a word of a closed list"
    assert len(rows) == len(filled()["keywords"]) + 1  # its head
    assert "pseudonymised, still personal data" in text
    assert "anonym" not in text.lower()
    assert "3 private elements in 2 files" in text
    assert "* 0123abcd" in text
    assert "BurnedInAnnotation YES: 1 files" in text


def test_names_and_free_text_are_never_kept() -> None:
    for keyword in PROFILE - {"OverlayComments", "MAC"}:
        tag = tag_for_keyword(keyword)
        assert tag is not None
        if dictionary_VR(tag) == "PN" or keyword in ("PatientComments", "InstitutionName"):
            assert deed(keyword) == "never copied"


def test_the_report_of_a_store(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for number, study in enumerate(("s0", "s1")):
        path = a_file(tmp_path / study, BurnedInAnnotation="YES" if number else "NO", SOPInstanceUID=f"{ROOT}.{number}")
        entry = private.series_entry("1.2", "1.3", None)
        entry["slices"] = {f"slice{number}": private.slice_entry("1.4", None, "a")}
        entry["grid"] = {"flags": ["burned_in"] if number else []}
        private.remember_study(store, study, "1.1", {"e": entry}, {}, facts_of_files([path]))
    private.remember_study(store, "s2", "1.9", {}, {})  # extracted without --phi-report
    out = tmp_path / "phi.md"
    write_report(store, out, "shift")
    text = out.read_text()
    assert "Files looked at: 2, of these 0" in text
    assert "| PatientName | 2 |" in text
    assert "* slice1" in text
    assert "slice0" not in text
    assert not [secret for secret in SECRETS if secret in text]
    write_report(store, out, "shift")
    assert out.read_text() == text
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_report_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(RrgError, match="E_IO"):
        write_report(tmp_path, tmp_path / "none" / "phi.md", "shift")
    with pytest.raises(UsageError, match="no plain file"):
        write_report(tmp_path, tmp_path, "shift")


def test_real_files_hold_what_the_report_names(data: Path) -> None:
    folder = data / "lidc-idri-0314-chest-ct" / "full_5mm"
    facts = facts_of_files(sorted(map(str, folder.glob("*.dcm")))[:5])
    assert facts["files"] == 5
    assert facts["unread"] == 0
    assert {"PatientID", "StudyInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"} <= set(facts["keywords"])
    assert facts["claims"]["PatientIdentityRemoved YES"] == 5
