"""Labels: closed words from real-looking headers; free text never leaves."""

import math
import time
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg.dicom import Header, read_header
from rrg.files import Source, files_under
from rrg.labels import (
    AGE_BANDS,
    CONTRAST_PHASES,
    HINTS,
    KERNELS,
    SCANNERS,
    SEQUENCES,
    SEXES,
    TAGS,
    Labels,
    age_band,
    labels_of,
    scanner_of,
    type_hints,
)
from rrg.records import Role, Slice
from tests.made_dicom import image, magnetic, save


class Made:
    """Tags of a made-up header, by the names of `TAGS`."""

    def __init__(self, b_value: float | None = None, **values: str | bytes) -> None:
        raw = {name: value.encode() if isinstance(value, str) else value for name, value in values.items()}
        self.values = {TAGS[name]: value for name, value in raw.items()}
        self.b_value = b_value

    def raw(self, tag: int) -> bytes | None:
        return self.values.get(tag)

    def binary(self, tag: int, size: int = 2, *, real: bool = False) -> float | None:
        return self.b_value if tag == TAGS["b_value"] and real and size == 8 else None


def ct(**values: str | bytes) -> Labels:
    return labels_of(Made(None, **{"modality": "CT", **values}))


def mr(b_value: float | None = None, **values: str | bytes) -> Labels:
    return labels_of(Made(b_value, **{"modality": "MR", **values}))


# --- roles


@pytest.mark.parametrize(
    ("description", "hints"),
    [
        ("Topogramm  0.6  T20s", ("localizer",)),
        ("Surview", ("localizer",)),
        ("3-plane loc", ("localizer",)),
        ("Premonitoring", ("bolus",)),
        ("SmartPrep Series", ("bolus",)),
        ("Monitoring  10.0  B20f", ("bolus",)),
        ("LungeMIP 8mm", ("mip",)),
        ("MinIP ax", ("mip",)),
        ("VRT Becken", ("vrt",)),
        ("Thorax MPR cor 3mm", ("reformat",)),
        ("CT Perfusion TTP", ("dynamic", "derived")),
        ("Patientenprotokoll", ("derived",)),
        ("SUB_ART-NAT", ("derived",)),
        # words that hold such words, and what a series is for
        ("t1_mprage_sag", ()),
        ("Lokalisation unbekannt, Lockerung", ()),
        ("ep2d_diff_tra_DYNDIST", ()),
        ("Thorax 1.0 B70f dünn für MPR und MIP", ()),
        ("1.25mm for MIP", ()),
        ("Bolusse", ()),
    ],
)
def test_hints_of_a_series_description(description: str, hints: tuple[str, ...]) -> None:
    assert ct(series_description=description).hints == hints
    assert mr(series_description=description).hints == hints


@pytest.mark.parametrize(
    ("image_type", "hints"),
    [
        ("ORIGINAL\\PRIMARY\\LOCALIZER\\CT_SOM5 TOP", ("localizer",)),
        ("ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 MON", ("bolus",)),
        ("ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI", ()),
        ("DERIVED\\SECONDARY\\REFORMATTED\\AVERAGE", ("reformat",)),
        ("DERIVED\\SECONDARY\\MIP", ("mip",)),
        ("DERIVED\\PRIMARY\\VOLUME\\MAX_IP", ("mip",)),
        ("DERIVED\\PRIMARY\\VOLUME\\VOLUME_RENDER", ("vrt",)),
        ("DERIVED\\PRIMARY\\DIFFUSION\\ADC\\DIS2D", ("derived",)),
        ("DERIVED\\SECONDARY\\AXIAL", ()),
    ],
)
def test_hints_of_image_type(image_type: str, hints: tuple[str, ...]) -> None:
    assert ct(image_type=image_type).hints == hints
    assert type_hints(tuple(image_type.split("\\"))) == hints


def test_protocol_name_speaks_for_an_mr_series_and_not_for_a_ct_series() -> None:
    assert mr(protocol="localizer").hints == ("localizer",)
    assert ct(protocol="Topogramm Abdomen nativ").hints == ()
    assert ct(protocol="Abdomen nativ").contrast_phase is None


def test_what_enhanced_objects_are_computed_by() -> None:
    assert ct(calculation="MIN_IP").hints == ("mip",)
    assert ct(calculation="SURFACE_RENDER").hints == ("vrt",)
    assert ct(calculation="NONE").hints == ()


# --- CT


@pytest.mark.parametrize(
    ("scanner", "kernel", "place", "wanted"),
    [
        ("SIEMENS", "B30f", "", "soft"),
        ("SIEMENS", "Br38f\\3", "", "soft"),
        ("SIEMENS", "I40f\\2", "", "soft"),
        ("SIEMENS", "Qr36d", "", "soft"),
        ("SIEMENS", "H31s", "", "brain"),
        ("SIEMENS", "Hr38", "", "brain"),
        ("SIEMENS", "H70h", "", "bone"),
        ("SIEMENS", "U90u", "", "bone"),
        ("SIEMENS", "Bl57d\\3", "", "lung"),
        ("SIEMENS", "B70f", "Thorax", "lung"),
        ("SIEMENS", "B70f", "LWS", "bone"),
        ("SIEMENS", "B70f", "", None),
        ("SIEMENS", "B70f", "Thorax Schulter", None),
        ("SIEMENS", "T20s", "", None),
        ("SIEMENS", "S80s", "", None),
        ("", "B31f", "", "soft"),
        ("GE MEDICAL SYSTEMS", "STANDARD", "", "soft"),
        ("GE MEDICAL SYSTEMS", "SOFT", "", "soft"),
        ("GE MEDICAL SYSTEMS", "DETAIL", "", "soft"),
        ("GE MEDICAL SYSTEMS", "LUNG", "", "lung"),
        ("GE MEDICAL SYSTEMS", "BONEPLUS", "", "bone"),
        ("GE MEDICAL SYSTEMS", "EDGE", "chest", "lung"),
        ("Philips", "B", "", "soft"),
        ("Philips", "YA", "Lunge", "lung"),
        ("Philips", "YB", "Knie", "bone"),
        ("Philips", "UB", "", "brain"),
        ("Philips", "L", "", "lung"),
        ("Philips", "zz", "", None),
        ("SIEMENS", "B", "", None),
        ("TOSHIBA", "FC08", "", "soft"),
        ("TOSHIBA", "FC21", "", "brain"),
        ("CANON_MEC", "FC30", "", "bone"),
        ("TOSHIBA", "FC52", "", "lung"),
        ("TOSHIBA", "FC81", "Handgelenk", "bone"),
        ("TOSHIBA", "FC99", "", None),
        ("UIH", "B_SOFT_A", "", "soft"),
        ("UIH", "B_SHARP_C", "Thorax", "lung"),
        ("NeuSoft", "Lung1", "", "lung"),
        ("Hitachi", "31", "", None),
    ],
)
def test_kernel_classes(scanner: str, kernel: str, place: str, wanted: str | None) -> None:
    assert ct(manufacturer=scanner, kernel=kernel, series_description=place).kernel == wanted
    assert ct(manufacturer=scanner, kernel=kernel, series_description=place).scanner in (*SCANNERS, None)


def test_the_body_part_tells_what_a_sharp_kernel_is_for() -> None:
    assert ct(manufacturer="Philips", kernel="D", body_part="CHEST").kernel == "lung"
    assert ct(manufacturer="Philips", kernel="D", body_part="LSPINE").kernel == "bone"
    assert ct(manufacturer="Philips", kernel="D", body_part="ABDOMEN").kernel is None


@pytest.mark.parametrize(
    ("description", "phase"),
    [
        ("Abdomen nativ 5.0", "native"),
        ("CCT native", "native"),
        ("NON-CONTRAST", "native"),
        ("Schädel ohne KM", "native"),
        ("w/o contrast", "native"),
        ("Leber arteriell 3mm", "arterial"),
        ("Abd. ART 1.0", "arterial"),
        ("Late arterial", "arterial"),
        ("spät-arteriell", "arterial"),
        ("Oberbauch portalvenös", "portal"),
        ("Oberbauch portalvenoes", "portal"),
        ("PORTAL VENOUS 2.0", "portal"),
        ("Abd pv", "portal"),
        ("Thorax/Abdomen VEN 3.0", "portal"),
        ("venöse Phase", "portal"),
        ("Spätphase", "delayed"),
        ("Delayed 10 min", "delayed"),
        ("Abdomen 3.0 B30f", None),
        ("nativ und venös", None),
        ("art + ven", None),
        ("VNC virtual non contrast", None),
        ("Arthrographie Karton", None),
        ("alternativ", None),
    ],
)
def test_contrast_phases_are_told_or_none(description: str, phase: str | None) -> None:
    assert ct(series_description=description).contrast_phase == phase


def test_latin_1_umlauts_are_read() -> None:
    assert ct(series_description="portalvenös".encode("latin-1")).contrast_phase == "portal"
    assert ct(series_description="Spa\u0308tphase").contrast_phase == "delayed"  # a letter and its dots apart


def test_abbreviations_of_phases_are_not_believed_in_mr() -> None:
    assert mr(series_description="t1_vibe art").contrast_phase is None
    assert mr(series_description="t1_vibe arteriell").contrast_phase == "arterial"


# --- MR


@pytest.mark.parametrize(
    ("description", "sequence"),
    [
        ("t2_tse_sag", "T2"),
        ("AX T2 FRFSE FS", "T2"),
        ("T2W_TSE", "T2"),
        ("t1_mprage_sag_p2_iso", "T1"),
        ("LAVA dyn", "T1"),
        ("pd_tse_fs_sag", "PD"),
        ("t2_tirm_tra_dark-fluid", "FLAIR"),
        ("T2 FLAIR ax", "FLAIR"),
        ("Ax T1 FLAIR", "T1"),
        ("STIR cor", "STIR"),
        ("t2_tirm_cor", "STIR"),
        ("ep2d_diff_b50_800", "DWI"),
        ("DWI b1000", "DWI"),
        ("ep2d_diff_tra_DYNDIST_ADC", "ADC"),
        ("SWI_Images", "SWI"),
        ("TOF 3D", "TOF"),
        ("ep2d_perf", "PERFUSION"),
        ("t2*_fl2d_tra", None),
        ("T2 map", None),
        ("t1 t2 vergleich", None),
    ],
)
def test_sequence_classes_by_words(description: str, sequence: str | None) -> None:
    assert mr(series_description=description).sequence == sequence
    assert mr(protocol=description).sequence == sequence


def test_the_description_goes_before_the_protocol() -> None:
    assert mr(series_description="x_ADC", protocol="ep2d_diff").sequence == "ADC"
    assert mr(series_description="t1_se", protocol="t2_tse").sequence == "T1"


TIMES = ("scanning_sequence", "repetition_time", "echo_time", "inversion_time")


@pytest.mark.parametrize(
    ("times", "sequence"),
    [
        (("SE", "550", "12", ""), "T1"),
        (("SE", "5590", "101", ""), "T2"),
        (("SE", "3000", "12", ""), "PD"),
        (("SE", "3000", "45", ""), None),
        (("SE", "1100", "12", ""), None),
        (("SE", "550", "90", ""), None),
        (("SE\\IR", "6000", "394", "2200"), "FLAIR"),
        (("SE\\IR", "4000", "60", "150"), "STIR"),
        (("SE\\IR", "4000", "60", "700"), None),
        (("GR\\IR", "2300", "3", "900"), "T1"),
        (("GR", "25", "4", ""), None),
        (("EP", "3000", "90", ""), None),
        (("SE", "5590", "", ""), None),
        (("SE", "nan", "101", ""), None),
    ],
)
def test_sequence_classes_by_parameters_of_stripped_headers(times: tuple[str, ...], sequence: str | None) -> None:
    assert mr(None, **dict(zip(TIMES, times, strict=True))).sequence == sequence


def test_image_type_and_acquisition_contrast_tell_the_sequence() -> None:
    assert mr(image_type="DERIVED\\PRIMARY\\DIFFUSION\\ADC").sequence == "ADC"
    assert mr(image_type="DERIVED\\PRIMARY\\DIFFUSION\\FA").sequence is None
    assert mr(image_type="ORIGINAL\\PRIMARY\\T1\\NONE").sequence == "T1"
    assert mr(acquisition_contrast="FLUID_ATTENUATED").sequence == "FLAIR"
    assert mr(acquisition_contrast="T2_STAR").sequence is None


def test_b_values() -> None:
    assert mr(1000.0).sequence == "DWI"
    assert mr(0.0).sequence is None
    assert mr(0.0).b_value == 0
    assert mr(sequence_name="*ep_b800t").b_value == 800
    assert mr(sequence_name="*ep_b50#2").b_value == 50
    assert mr(sequence_name="*ep_b50_800").b_value is None
    assert mr(50.0, sequence_name="*ep_b800t").b_value == 50
    assert mr(-1.0).b_value is None
    assert mr(1e9).b_value is None


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"series_description": "t2_tse_fs"}, True),
        ({"series_description": "T2 SPAIR"}, True),
        ({"series_description": "T1 FatSat"}, True),
        ({"series_description": "t1 ohne fs"}, False),
        ({"scan_options": "PFP\\FS"}, True),
        ({"scan_options": "SAT1"}, False),
        ({"scan_options": "SAT1", "series_description": "t1_vibe_dixon"}, None),
        ({"series_description": "t2_tse"}, None),
        ({"series_description": "STIR"}, True),
    ],
)
def test_fat_suppression(values: dict[str, str], wanted: bool | None) -> None:
    assert mr(None, **values).fat_suppressed is wanted


@pytest.mark.parametrize(
    ("seen", "tesla"),
    [("3", 3.0), ("1.4939", 1.5), ("15000", 1.5), ("2.89362", 2.9), ("0", None), ("-3", None), ("300", None)],
)
def test_field_strength(seen: str, tesla: float | None) -> None:
    assert mr(field_strength=seen).field_strength_t == tesla


# --- patient and scanner


@pytest.mark.parametrize(
    ("age", "born", "studied", "band"),
    [
        ("063Y", "", "", "60-69"),
        ("017Y", "", "", "0-17"),
        ("018Y", "", "", "18-29"),
        ("080Y", "", "", "80+"),
        ("008W", "", "", "0-17"),
        ("300M", "", "", "18-29"),
        ("", "19500301", "20240229", "70-79"),
        ("", "19440301", "20240229", "70-79"),
        ("", "19440229", "20240229", "80+"),
        ("", "1990.01.31", "2020.01.31", "30-39"),
        ("0Y", "20160725", "20160725", None),
        ("000Y", "19500301", "20240229", "70-79"),
        ("63", "", "", None),
        ("", "20240301", "20240229", None),
        ("", "20240230", "20240229", None),
        ("200Y", "", "", None),
        ("", "18000101", "20240229", None),
        ("Y063", "?", "", None),
    ],
)
def test_age_bands(age: str, born: str, studied: str, band: str | None) -> None:
    assert age_band(age, born, studied) == band
    assert ct(age=age, birth_date=born, study_date=studied).age_band == band


@pytest.mark.parametrize(
    ("manufacturer", "scanner"),
    [
        ("SIEMENS", "siemens"),
        ("Siemens Healthineers", "siemens"),
        ("GE MEDICAL SYSTEMS", "ge"),
        ("Philips Medical Systems", "philips"),
        ("CANON_MEC", "canon"),
        ("TOSHIBA", "toshiba"),
        ("Hitachi Medical Corporation", "hitachi"),
        ("FUJIFILM Healthcare", "fujifilm"),
        ("UIH", "united-imaging"),
        ("NMS Neusoft", "neusoft"),
        ("Dr. Mustermann Imaging", "other"),
        ("Gerhard Imaging", "other"),
        ("UNKNOWN", None),
        ("", None),
    ],
)
def test_scanners(manufacturer: str, scanner: str | None) -> None:
    assert scanner_of(manufacturer) == scanner


@pytest.mark.parametrize(
    ("thickness", "wanted"),
    [("5", 5.0), ("0.625", 0.625), ("1.0000001", 1.0), ("0", None), ("-1", None), ("inf", None), ("x", None)],
)
def test_thickness(thickness: str, wanted: float | None) -> None:
    assert ct(thickness=thickness).thickness_mm == wanted


def test_sex_is_one_of_three_letters() -> None:
    assert [ct(sex=sex).sex for sex in ("F", "m", "O", "Erika", "")] == ["F", "M", "O", None, None]


# --- the closed vocabulary


def words_in(annotation: Any) -> set[Any]:
    """The words of a Literal, also inside of an Optional."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    inside = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()
    return {word for each in inside for word in words_in(each)}


def test_the_words_are_those_of_the_slice_record() -> None:
    hints = get_type_hints(Slice)
    assert set(KERNELS) == words_in(hints["kernel"])
    assert set(CONTRAST_PHASES) == words_in(hints["contrast_phase"])
    assert set(SEQUENCES) == words_in(hints["sequence"])
    assert set(SEXES) == words_in(hints["sex"])
    assert set(AGE_BANDS) == words_in(hints["age_band"])
    assert set(HINTS) == set(get_args(Role)) - {"primary"}


VOCABULARY: dict[str, tuple[str, ...]] = {
    "kernel": KERNELS,
    "contrast_phase": CONTRAST_PHASES,
    "sequence": SEQUENCES,
    "scanner": SCANNERS,
    "sex": SEXES,
    "age_band": AGE_BANDS,
}
RANGE = {"thickness_mm": (0.05, 100.0), "field_strength_t": (0.05, 25.0), "b_value": (0.0, 20_000.0)}


def check_closed(labels: Labels) -> None:
    checked = {"hints", "fat_suppressed"}
    assert set(labels.hints) <= set(HINTS)
    assert len(set(labels.hints)) == len(labels.hints)
    assert labels.fat_suppressed in (True, False, None)
    for name, words in VOCABULARY.items():
        assert getattr(labels, name) in (*words, None)
    for name, (low, high) in RANGE.items():
        value = getattr(labels, name)
        assert value is None or (isinstance(value, float) and math.isfinite(value) and low <= value <= high)
    assert checked | set(VOCABULARY) | set(RANGE) == {field.name for field in fields(Labels)}


NAMES = [name for name in TAGS if name not in ("modality", "b_value")]
WORDS = st.sampled_from([
    "MIP", "Mustermann^Erika", "T1", "b800", "nativ", "ven", "B70f", "FC52", "063Y", "19500101", "SIEMENS", "GE", "\\",
    "*", "FS", "3.0", "1e400", "-1", "nan", "SE", "IR", "Müller", "LUNG", "ep_b800t", "F", "M", "0Y", "localizer",
    "SUB", "٣٣Y", "²³", "B٣٠", "ep_b٣",
])  # fmt: skip
TEXT = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(str.encode),
    st.lists(WORDS, max_size=5).map(lambda words: "_".join(words).encode()),
    st.lists(WORDS, max_size=5).map(lambda words: "\\".join(words).encode("utf-16")),
    WORDS.map(str.encode),
)


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(["CT", "MR", "PT", ""]),
    st.dictionaries(st.sampled_from(NAMES), TEXT),
    st.one_of(st.none(), st.floats()),
)
def test_whatever_a_header_says_only_closed_words_leave(
    modality: str, values: dict[str, bytes], b_value: float | None
) -> None:
    check_closed(labels_of(Made(b_value, modality=modality, **values)))


def test_a_file_gives_its_labels(tmp_path: Path) -> None:
    tags: dict[str, Any] = {
        "ConvolutionKernel": "B30f",
        "Manufacturer": "SIEMENS",
        "SeriesDescription": "Abdomen venös",
        "PatientSex": "F",
    }
    found = read_header(Source(str(save(image(1, **tags), tmp_path / "ct")), "ct"))
    assert isinstance(found, Header)
    assert found.labels == Labels(
        thickness_mm=5.0, kernel="soft", contrast_phase="portal", scanner="siemens", sex="F", age_band="70-79"
    )
    made = magnetic(1, DiffusionBValue=800.0, MagneticFieldStrength=3, SeriesDescription="a", PatientAge="040Y")
    found = read_header(Source(str(save(made, tmp_path / "mr")), "mr"))
    assert isinstance(found, Header)
    assert found.labels == Labels(
        thickness_mm=5.0, sequence="DWI", field_strength_t=3.0, b_value=800.0, age_band="40-49"
    )


# --- real files, and the time it takes


@pytest.mark.parametrize(
    ("folder", "wanted"),
    [
        ("prostatex-0000-mr/3.000000-t2tsesag-87368", {"sequence": "T2", "hints": (), "fat_suppressed": False}),
        ("prostatex-0000-mr/7.000000-ep2ddifftraDYNDISTADC-48780", {"sequence": "ADC", "hints": ("derived",)}),
        ("prostatex-0000-mr/8.000000-ep2ddifftraDYNDISTCALCBVAL-83202", {"sequence": "DWI", "fat_suppressed": True}),
        ("lidc-idri-0314-chest-ct/full_5mm", {"kernel": "lung", "scanner": "philips", "sex": "F"}),
        ("totalsegmentator-ct-mr/example_ct_dicom", {"kernel": "soft", "scanner": "siemens", "thickness_mm": 3.0}),
        ("dicom-edge-cases/dicom2nifti/generic/anatomical", {"sequence": "FLAIR", "scanner": None, "age_band": None}),
        ("dicom-edge-cases/dicom2nifti/failing/notavolume", {"hints": ("bolus",), "kernel": None}),
    ],
)
def test_labels_of_real_series(data: Path, folder: str, wanted: dict[str, Any]) -> None:
    headers = [read_header(source) for source in files_under([data / folder])]
    labels = [header.labels for header in headers if isinstance(header, Header)]
    assert labels
    for each in labels:
        check_closed(each)
        assert {name: getattr(each, name) for name in wanted} == wanted


def test_the_labels_of_one_more_slice_of_a_series_cost_less_than_60_microseconds() -> None:
    values = dict.fromkeys(NAMES, "t2_tse_tra Abdomen 3.0")
    tags = [Made(None, **{**values, "modality": "MR", "echo_time": str(n % 4)}) for n in range(1000)]
    taken = []
    for _ in range(5):
        start = time.process_time()
        for each in tags:
            labels_of(each)
        taken.append((time.process_time() - start) / len(tags))
    assert min(taken) < 60e-6
