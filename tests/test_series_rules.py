"""--series RULES.toml: which series are taken, which of several reconstructions, and what is said of a wrong file."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg.errors import UsageError
from rrg.labels import Labels
from rrg.series_choice import CONDITIONS, acquisition_of, reach_of
from rrg.series_rules import Decision, Rules, StackFacts, Table, choose, digest, load_rules
from tests.headers import CORONAL, LABELS, header, volume

EXAMPLE = Path(__file__).parents[1] / "examples" / "series.toml"


def facts(name: str = "a", **values: Any) -> StackFacts:
    """A CT volume of 100 slices; values replace fields of the facts or of the labels."""
    labels = Labels(**{key: values.pop(key) for key in (*LABELS, "scanner", "field_strength_t") if key in values})
    told: dict[str, Any] = {
        "role": "primary", "modality": "CT", "plane": "axial", "slices": 100, "frame_of_reference": "1.5",
        "acquisition": 2.0, "reach_mm": (0.0, 300.0),
    }  # fmt: skip
    return StackFacts(id=name, labels=labels, **{**told, **values})


def rules(tmp_path: Path, text: str) -> Rules:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    return load_rules(path)


def taken(stacks: list[StackFacts], chosen: Rules | None) -> dict[str, str]:
    """Id -> reason of those taken."""
    return {s.id: d.reason for s, d in zip(stacks, choose(stacks, chosen), strict=True) if d.taken}


# --- rules


def test_without_rules_everything_is_taken() -> None:
    assert choose([facts("a", role="localizer"), facts("b")]) == [Decision(True, "no rules")] * 2
    assert choose([], None) == []


def test_the_first_rule_that_holds_decides(tmp_path: Path) -> None:
    made = rules(
        tmp_path,
        """
        [[drop]]
        name = "thin"
        thickness_mm = [0, 1.5]
        [[take]]
        kernel = "soft"
        [[drop]]
        modality = "CT"
        """,
    )
    stacks = [
        facts("a", thickness_mm=1.0, kernel="soft"),
        facts("b", thickness_mm=3.0, kernel="soft"),
        facts("c", thickness_mm=3.0, kernel="lung"),
        facts("d", modality="MR"),
    ]
    assert choose(stacks, made) == [
        Decision(False, "thin"), Decision(True, "take 1"), Decision(False, "drop 2"), Decision(False, "otherwise"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("", True), ("[[drop]]\nrole = 'mip'", True), ("[[take]]\nrole = 'mip'", False), ("otherwise = 'drop'", False)],
)
def test_what_no_rule_names(tmp_path: Path, text: str, wanted: bool) -> None:
    assert choose([facts()], rules(tmp_path, text)) == [Decision(wanted, "otherwise")]


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ("role = ['mip', 'vrt']", {"role": "vrt"}, {"role": "primary"}),
        ("plane = 'coronal'", {"plane": "coronal"}, {"plane": None}),
        ("modality = 'MR'", {"modality": "MR"}, {"modality": "CT"}),
        ("kernel = 'soft'", {"kernel": "soft"}, {"kernel": None}),
        ("kernel = ['soft', 'unknown']", {"kernel": None}, {"kernel": "bone"}),
        ("contrast_phase = 'portal'", {"contrast_phase": "portal"}, {"contrast_phase": "native"}),
        ("sequence = 'T2'", {"sequence": "T2"}, {"sequence": "T1"}),
        ("scanner = 'ge'", {"scanner": "ge"}, {"scanner": "siemens"}),
        ("body_part = ['CHEST', 'LUNG']", {"body_part": "LUNG"}, {"body_part": "HEAD"}),
        ("flag = 'gap_mm'", {"flags": ("gap_mm", "tilt")}, {"flags": ("tilt",)}),
        ("thickness_mm = [1, 3]", {"thickness_mm": 3.0}, {"thickness_mm": 3.01}),
        ("thickness_mm = [0, 99]", {"thickness_mm": 5.0}, {"thickness_mm": None}),
        ("slice_spacing_mm = [1, 3]", {"slice_spacing_mm": 1.0}, {"slice_spacing_mm": None}),
        ("field_strength_t = [2.9, 3.1]", {"field_strength_t": 3.0}, {"field_strength_t": 1.5}),
        ("contrast = true", {"contrast": True}, {"contrast": None}),
        ("contrast = false", {"contrast": False}, {"contrast": None}),
        ("fat_suppressed = true", {"fat_suppressed": True}, {"fat_suppressed": False}),
        ("min_slices = 10", {"slices": 10}, {"slices": 9}),
        ("max_slices = 10", {"slices": 10}, {"slices": 11}),
    ],
)
def test_conditions(tmp_path: Path, condition: str, holds: dict[str, Any], fails: dict[str, Any]) -> None:
    made = rules(tmp_path, f"[[take]]\n{condition}")
    assert [d.taken for d in choose([facts(**holds), facts(**fails)], made)] == [True, False]


def test_every_condition_is_tested() -> None:
    (mark,) = [m for m in test_conditions.pytestmark if m.name == "parametrize"]
    assert {each[0].split(" =")[0] for each in mark.args[1]} == set(CONDITIONS)


# --- twins

PREFER = """
[prefer]
by = [{ kernel = ["soft", "lung"] }, { thickness_mm = 3.0 }, { slices = "most" }]
"""


def test_of_the_reconstructions_of_one_scan_the_best_is_kept(tmp_path: Path) -> None:
    stacks = [
        facts("thin lung", kernel="lung", thickness_mm=1.0, slices=300),
        facts("thin soft", kernel="soft", thickness_mm=1.0, slices=300),
        facts("thick soft", kernel="soft", thickness_mm=3.0, series_number=7),
        facts("thick again", kernel="soft", thickness_mm=3.0, series_number=8),
        facts("fewer", kernel="soft", thickness_mm=3.0, slices=90, series_number=1),
        facts("unknown", slices=999),
    ]
    by_id = dict(zip((s.id for s in stacks), choose(stacks, rules(tmp_path, PREFER)), strict=True))
    assert by_id == {
        "thick soft": Decision(True, "otherwise"),
        "thick again": Decision(False, "prefer series number"),
        "fewer": Decision(False, "prefer slices"),
        "thin soft": Decision(False, "prefer thickness_mm"),
        "thin lung": Decision(False, "prefer kernel"),
        "unknown": Decision(False, "prefer kernel"),
    }


@pytest.mark.parametrize(
    "other",
    [
        {"frame_of_reference": "1.6"},
        {"acquisition": 3.0},
        {"contrast": True},
        {"contrast_phase": "portal"},
        {"modality": "PT"},
        {"reach_mm": (250.0, 700.0)},
        {"role": "mip"},
        {"frame_of_reference": None},
    ],
)
def test_other_scans_are_no_twins(tmp_path: Path, other: dict[str, Any]) -> None:
    chosen = rules(tmp_path, PREFER)
    assert len(taken([facts("a"), facts("b")], chosen)) == 1
    assert len(taken([facts("a"), facts("b", **other)], chosen)) == 2
    assert len(taken([facts("a", **other), facts("b", **other)], chosen)) == 1 + (
        other in ({"role": "mip"}, {"frame_of_reference": None}, {"modality": "PT"})
    )


def test_a_coronal_reformat_and_a_short_range_of_the_same_scan_are_twins(tmp_path: Path) -> None:
    chosen = rules(tmp_path, '[prefer]\nby = [{ plane = ["axial", "coronal"] }]')
    stacks = [
        facts("coronal", plane="coronal", role="reformat", reach_mm=(-10.0, 310.0)),
        facts("axial"),
        facts("inside", plane="sagittal", reach_mm=(100.0, 200.0)),
        facts("nowhere", plane="oblique", reach_mm=None),
    ]
    assert set(taken(stacks, chosen)) == {"axial"}


def test_mr_sequences_are_no_twins_of_each_other(tmp_path: Path) -> None:
    chosen = rules(tmp_path, '[prefer]\nby = [{ slices = "most" }]')
    stacks = [
        facts("t1", modality="MR", sequence="T1"),
        facts("t2", modality="MR", sequence="T2"),
        facts("t2 fs", modality="MR", sequence="T2", fat_suppressed=True),
        facts("t2 cor", modality="MR", sequence="T2", plane="coronal"),
        facts("b0", modality="MR", sequence="DWI", b_value=0.0),
        facts("b800", modality="MR", sequence="DWI", b_value=800.0),
        facts("?1", modality="MR"),
        facts("?2", modality="MR"),
        facts("t2 more", modality="MR", sequence="T2", slices=101),
    ]
    assert set(taken(stacks, chosen)) == {s.id for s in stacks} - {"t2"}


def test_phases_of_a_dynamic_series_are_never_twins(tmp_path: Path) -> None:
    stacks = [facts(str(n), role="dynamic") for n in range(4)]
    assert len(taken(stacks, rules(tmp_path, PREFER))) == 4


def test_per_study_and_keep(tmp_path: Path) -> None:
    stacks = [facts(str(n), slices=n, frame_of_reference=str(n)) for n in range(1, 6)]
    text = '[prefer]\nper = "study"\nkeep = 2\nby = [{ slices = "fewest" }]'
    assert set(taken(stacks, rules(tmp_path, text))) == {"1", "2"}


def test_only_what_the_rules_take_can_be_preferred(tmp_path: Path) -> None:
    chosen = rules(tmp_path, '[[drop]]\nkernel = "soft"\n' + PREFER)
    assert set(taken([facts("a", kernel="soft"), facts("b", kernel="lung")], chosen)) == {"b"}


STACKS = st.lists(
    st.builds(
        lambda **v: v,
        kernel=st.sampled_from(["soft", "lung", None]),
        thickness_mm=st.sampled_from([1.0, 5.0, None]),
        slices=st.sampled_from([5, 20, 100]),
        plane=st.sampled_from(["axial", "coronal", None]),
        role=st.sampled_from(["primary", "reformat", "mip", "localizer", "dynamic"]),
        modality=st.sampled_from(["CT", "MR"]),
        sequence=st.sampled_from(["T1", None]),
        series_number=st.sampled_from([1, 2, None]),
        reach_mm=st.sampled_from([None, (0.0, 100.0), (60.0, 200.0), (0.0, 0.0)]),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(STACKS, st.randoms(use_true_random=False))
def test_decisions_do_not_depend_on_the_order(made: list[dict[str, Any]], rng: random.Random) -> None:
    chosen = load_rules(EXAMPLE)
    stacks = [facts(str(i), **values) for i, values in enumerate(made)]
    by_id = {s.id: d for s, d in zip(stacks, choose(stacks, chosen), strict=True)}
    names = {rule.name for rule in chosen.rules} | {"otherwise"}
    assert all(d.reason in names or d.reason.startswith("prefer ") for d in by_id.values())
    rng.shuffle(stacks)
    assert {s.id: d for s, d in zip(stacks, choose(stacks, chosen), strict=True)} == by_id


# --- the example, and facts of headers


def test_the_example_picks_what_a_group_would_start_from() -> None:
    stacks = [
        facts("topogram", role="localizer", slices=1, acquisition=1.0),
        facts("bolus", role="bolus", slices=1),
        facts("thin lung", kernel="lung", thickness_mm=1.0, slices=400),
        facts("axial soft", kernel="soft", thickness_mm=3.0, slices=130),
        facts("coronal", kernel="soft", thickness_mm=3.0, plane="coronal", role="reformat"),
        facts("mip", role="mip", thickness_mm=8.0),
        facts("portal", kernel="soft", thickness_mm=5.0, acquisition=4.0, contrast_phase="portal"),
        facts("stripped", slice_spacing_mm=2.0, acquisition=9.0),
        facts("nothing known", acquisition=10.0),
        facts("no places", thickness_mm=3.0, flags=("no_mm",)),
        facts("t2", modality="MR", sequence="T2", slices=19),
        facts("adc", modality="MR", sequence="ADC", role="derived", slices=19),
        facts("trace", modality="MR", sequence="DWI", role="derived", slices=19),
        facts("phase", modality="MR", role="dynamic", slices=60),
    ]
    assert taken(stacks, load_rules(EXAMPLE)) == {
        "axial soft": "ct volumes",
        "portal": "ct volumes",
        "stripped": "ct volumes by spacing",
        "t2": "mr volumes",
        "adc": "mr adc",
        "phase": "mr phases",
    }


def test_reach_and_acquisition_of_headers() -> None:
    assert reach_of(volume(11, thickness_mm=5.0)) == (-2.5, 52.5)
    assert reach_of(volume(1, orientation=CORONAL)) == (-2.5, 0.0)  # 6 rows of 0.5 mm, downwards
    assert reach_of([header(position=None)]) is None
    assert acquisition_of(volume(3)) == 1.0
    assert acquisition_of([header(1), header(2, phase=(2.0, None, None, None, None))]) is None


def test_the_digest_is_of_what_the_rules_say(tmp_path: Path) -> None:
    one = rules(tmp_path, '[[take]]\nkernel = "soft"\nmin_slices = 3\n')
    same = rules(tmp_path, '# better\n[[take]]\nmin_slices = 3\nkernel = ["soft"]\n')
    assert digest(one) == digest(same)
    others = [
        '[[take]]\nkernel = "soft"\n',
        '[[drop]]\nkernel = "soft"\nmin_slices = 3\n',
        'otherwise = "take"\n[[take]]\nkernel = "soft"\nmin_slices = 3\n',
        '[[take]]\nname = "x"\nkernel = "soft"\nmin_slices = 3\n',
        '[[take]]\nkernel = "soft"\nmin_slices = 3\n[prefer]\nby = [{ slices = "most" }]\n',
        '[[take]]\nkernel = "soft"\nmin_slices = 3\n[prefer]\nkeep = 2\nby = [{ slices = "most" }]\n',
    ]
    digests = {digest(rules(tmp_path, text)) for text in others}
    assert len(digests | {digest(one)}) == 7
    assert digest(load_rules(EXAMPLE)) == digest(load_rules(EXAMPLE))


# --- a wrong file


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[[take]\n", None, "not TOML"),
        ("[[tkae]]\n", 1, "unknown key 'tkae'; did you mean 'take'?"),
        ("otherwise = 'keep'", 1, "otherwise = 'keep' is no word of rules"),
        ("[[take]]\nkernell = 'soft'", 2, "unknown key 'kernell'; did you mean 'kernel'?"),
        ("[[take]]\n\n[[drop]]\nkernel = 'sotf'", 4, "did you mean 'soft'?"),
        ("[[take]]\nkernel = 'soft'\n[[take]]\nkernel = ['lung', 'bones']", 4, "did you mean 'bone'?"),
        ("[[take]]\nkernel = 3", 2, "kernel = 3 is no word of rules; one of soft, lung"),
        ("[[take]]\nkernel = []", 2, "expected at least one word"),
        ("[[take]]\nrole = 'scout'", 2, "one of primary"),
        ("[[take]]\nflag = 'unknown'", 2, "is no word of rules"),
        ("[[take]]\nbody_part = 'chest'", 2, "in capitals"),
        ("[[take]]\nthickness_mm = 3", 2, "expected [from, to]"),
        ("[[take]]\nthickness_mm = [3, 1]", 2, "expected 0 <= from <= to"),
        ("[[take]]\nthickness_mm = [0, nan]", 2, "expected 0 <= from <= to"),
        ("[[take]]\nthickness_mm = [true, 3]", 2, "expected [from, to]"),
        ("[[take]]\ncontrast = 'yes'", 2, "expected true or false"),
        ("[[take]]\nmin_slices = 2.5", 2, "expected a number of slices"),
        ("[[take]]\nmin_slices = true", 2, "expected a number of slices"),
        ("[[take]]\nmin_slices = 9\nmax_slices = 3", 2, "min_slices 9 is more than max_slices 3"),
        ("[[take]]\nname = 'Dr. Müller'", 2, "up to 40 characters of a-z"),
        ("[[take]]\nname = 'prefer me'", 2, "is taken"),
        ("[[take]]\nname = 'a'\n[[drop]]\nname = 'a'", 4, "two rules have the name"),
        ("take = [{ kernel = 'soft' }]", None, "headed [[take]] or [[drop]]"),
        ("[take]\nkernel = 'soft'", 1, "write [[take]]"),
        ("prefer = 3", 1, "write [prefer]"),
        ("[prefer]\nper = 'series'\nby = [{ slices = 'most' }]", 2, "one of study, acquisition"),
        ("[prefer]\nkeep = 0\nby = [{ slices = 'most' }]", 2, "expected a number from 1"),
        ("[prefer]\nkeep = 1", 1, "by is a list"),
        ("[prefer]\nby = [{ slices = 'most', kernel = 'soft' }]", 2, "by is a list"),
        ("[prefer]\nby = [\n{ slices = 'most' },\n{ slice = 'most' },\n]", 4, "did you mean 'slices'?"),
        ("[prefer]\nby = [{ slices = 'many' }]", 2, "one of most, fewest"),
        ("[prefer]\nby = [{ thickness_mm = 'thin' }]", 2, "expected the wanted number of mm"),
        ("[prefer]\nby = [\n{ kernel = 'sofft' },\n]", 3, "did you mean 'soft'?"),
        ("[prefers]\n", 1, "did you mean 'prefer'?"),
    ],
)
def test_a_wrong_file_is_a_usage_error_with_its_line(tmp_path: Path, text: str, line: int | None, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        rules(tmp_path, text)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert message.startswith(str(tmp_path / "rules.toml"))
    if line is not None:
        assert f"rules.toml, line {line}: " in message


def test_a_file_that_is_not_there_or_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_rules(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not TOML"):
        load_rules(tmp_path / "bytes.toml")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*EXAMPLE.read_text().splitlines(), "[[take]]", "x = 1", '"', "]"]), max_size=30))
def test_any_mixture_of_lines_is_rules_or_a_usage_error(tmp_path_factory: pytest.TempPathFactory, lines: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "mixed.toml"
    path.write_text("\n".join(lines))
    try:
        made = load_rules(path)
    except UsageError as error:
        message = str(error)
    else:
        message = choose([facts()], made)[0].reason
    assert message
    assert "\n" not in message


# --- the table


def line(**values: Any) -> bytes:
    told = {
        "schema": "rrg.series/1", "modality": "CT", "role": "primary", "plane": "axial", "kernel": "soft",
        "thickness_mm": 3.0, "count": 100, "taken": True, "reason": "ct volumes",
    }  # fmt: skip
    return json.dumps({**told, **values}).encode() + b"\n"


def test_the_table_counts_series_by_kind() -> None:
    table = Table()
    assert str(table) == ""
    table.add(
        line() + line(thickness_mm=3.1, count=50) + line(role="localizer", kernel=None, taken=False, reason="helpers")
    )
    table.add(line(modality="MR", kernel=None, sequence="ADC", thickness_mm=None, plane=None, count=19))
    table.add(b'{"schema":"rrg.slice/1","role":"primary","extra":{"x":"\\"rrg.series/1\\""}}\nnot json\n')
    assert str(table).splitlines() == [
        "modality  role       plane  kernel/sequence  mm           reason      series  slices",
        "CT        primary    axial  soft              3  taken    ct volumes       2     150",
        "MR        primary    -      ADC               -  taken    ct volumes       1      19",
        "CT        localizer  axial  -                 3  dropped  helpers          1     100",
    ]


def test_the_table_is_short_however_many_kinds_there_are() -> None:
    table = Table()
    for n in range(200):
        table.add(line(thickness_mm=n / 2 + 0.5))
    lines = str(table).splitlines()
    assert len(lines) == 1 + 40 + 1
    assert lines[-1] == "and 160 series of 160 more kinds"
