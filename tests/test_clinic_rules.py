"""A clinic's own rules: what they add, what is refused and how, in this process and in workers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rrg.errors import UsageError
from rrg.reports.clinic import read_rules, use_rules
from rrg.reports.lexicon import lexicon_version
from rrg.reports.parse import parse
from rrg.reports.patterns import PatternError, checked, from_template

RULES = r"""
[headings.de]
findings = ["Organstatus"]
[abbreviations.de]
inner = ["Klm", "Pos"]
[structures.de]
spleen = ["Milzloge"]
"kidney_*" = ["Ausscheidungsorgan(e)"]
[stems.de]
liver = ["Hepar"]
[gone.en]
spleen = ["spleen out"]
[findings.de]
cyst = ["Bläschen"]
[context.de]
"negation after" = ["nix von"]
[[references]]
template = "Bildnr. {image} aus Se{series}"
[[references]]
pattern = 'Pos\.?\s*(?P<images>\d{1,4}(?:\s*,\s*\d{1,4})*)\s+im\s+Stapel\s+(?P<series>\d{1,3})'
[[references]]
template = "Pic {image}"
"""
TEXT = "Organstatus: Bläschen der Milzloge, Bildnr 45-47 aus Se3, nix von Rundherd. Verkalkung Pos. 4, 5 im Stapel 7."


@pytest.fixture(autouse=True)
def _without_rules() -> Iterator[None]:
    use_rules(None)
    yield
    use_rules(None)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_table_adds_what_it_says(tmp_path: Path) -> None:
    before = parse(TEXT, "de")
    assert before.sections[0].kind == "body"
    version = lexicon_version()
    clinic = read_rules(written(tmp_path, RULES))
    use_rules(clinic)
    said = parse(TEXT, "de")
    assert lexicon_version() == f"{version}+{clinic.digest[:12]}"
    assert said.sections[0].kind == "findings"
    assert len(said.sentences) == 2
    assert said.anatomy[0].classes == ("spleen",)
    assert {each.name: each.state for each in said.findings} == {
        "cyst": "present",
        "nodule": "absent",
        "calcification": "present",
    }
    assert [(each.series_number, each.image_numbers, each.rule) for each in said.references] == [
        (3, (45, 46, 47), "added-1"),
        (7, (4, 5), "added-2"),
    ]
    assert {name for each in parse("Heparzyste.", "de").anatomy for name in each.classes} >= {"liver"}
    assert parse("Spleen out.", "en").anatomy[0].absent
    assert [each.image_numbers for each in parse("Mass (Pic 12 and 14).", "en").references] == [(12, 14)]
    use_rules(None)
    assert parse(TEXT, "de") == before
    assert lexicon_version() == version


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[organs.de]\nliver = ['x']", r"unknown table \[organs\]; expected headings"),
        ("[structures]\nliver = ['x']", r"expected \[structures.de\] or \[structures.en\]"),
        ("[structures.fr]\nliver = ['x']", r"\[structures.fr\]"),
        ("[structures.de]\nleber = ['x']", r"\[structures.de\] leber: no structure is named 'leber'"),
        ("[structures.de]\nliver = 'x'", "expected a list of words"),
        ("[structures.de]\nliver = ['a;b']", "without ;"),
        ("[structures.de]\nliver = ['a(b']", r"\( and \) do not match"),
        ("[structures.de]\nliver = ['" + "[a|b|c]" * 9 + "']", "more than 500 forms"),
        ("[findings.de]\ncysts = ['x']", "'cysts' is not known; did you mean 'cyst'"),
        ("[context.de]\n'negation behind' = ['x']", "did you mean 'negation b"),
        ("[headings.de]\nintro = ['x']", "'intro' is not known; expected one of clinical"),
        ("[abbreviations.de]\ninner = ['z.B.']", "one word without its full stop"),
        ("references = 3", r"write \[\[references\]\]"),
        ("[[references]]\ntemplate = 'Bild {nummer}'", r"\[\[references\]\] 1: template: {nummer} is not known"),
        ("[[references]]\ntemplate = 'Serie {series}'", "expected {image} once"),
        ("[[references]]\ntemplate = '{series}/{image}'", "expected a word beside the numbers"),
        ("[[references]]\npattern = '(?P<images>'", "is no regular expression"),
        ("[[references]]\npattern = 'Bild \\d+'", r"expected a group \(\?P<images>...\).*seen none"),
        ("[[references]]\npattern = '(?P<images>\\d*)'", "matches an empty text"),
        ("[[references]]\npattern = '(?P<images>\\d{1,4})" + "a" * 300 + "'", "expected at most 300"),
        ("[[references]]\nregex = 'x'", "expected one text, template or pattern; seen regex"),
        ("[headings", "no TOML"),
    ],
)
def test_wrong_rules_are_refused_with_place_and_reason(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as error:
        read_rules(written(tmp_path, text.replace("\\d", "\\d")))
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value).replace("\\n", "") or "no TOML" in str(error.value)


def test_a_missing_file_and_a_large_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_rules(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="expected at most 1,000,000"):
        read_rules(written(tmp_path, "#" * 1_000_001))


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?P<images>\d+)*x",
        r"(?P<images>(?:\d+)+)x",
        r"(?P<images>(?:a|a)*)b",
        r"Im(?P<images>(?:\d+,?)+)z",
        r"(?P<images>\s*\s*\s*\s*\s*\d)",
        r"(?P<images>\d)(?:.*.*.*.*.*)=",
        r"x(?P<images>(?:[a-z]+)*[a-z]+)$",
    ],
)
def test_patterns_that_explode_are_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match="takes too long"):
        checked(pattern)


def test_a_pattern_sees_a_window_and_loses_nothing_at_its_edge(tmp_path: Path) -> None:
    use_rules(read_rules(written(tmp_path, "[[references]]\ntemplate = 'Pic {image}'")))
    for shift in range(120, 200):
        text = "x" * shift + " Pic 123, " + "y" * 300 + " Pic 77."
        assert [each.image_numbers for each in parse(text, "en").references] == [(123,), (77,)], shift


def test_a_template_reads_like_what_it_shows() -> None:
    import re

    pattern = re.compile(from_template("Bildnr. {image} aus Se{series}"), re.IGNORECASE)
    for text in ("Bildnr. 45 aus Se3", "bildnr 45  aus Se 3", "Bildnr.45 aus Se.3".replace("Se.", "Se")):
        match = pattern.search(text)
        assert match is not None
        assert (match["images"], match["series"]) == ("45", "3")
    assert pattern.search("xBildnr 45 aus Se3") is None


def test_workers_have_the_rules_and_the_run_says_so(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    for number in range(4):
        (reports / f"A{number}.de.txt").write_text(TEXT, encoding="utf-8")
    rules = written(tmp_path, RULES)
    outputs = []
    for workers in ("1", "2"):
        command = [sys.executable, "-m", "rrg", "parse-reports", "--reports", str(reports), "--unmatched", "keep"]
        command += ["--rules", str(rules), "--workers", workers, "--key-file", str(tmp_path / "key")]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, done.stderr.decode()
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    records = [json.loads(line) for line in outputs[0].splitlines()]
    digest = read_rules(rules).digest
    assert records[0]["inputs"]["lexicon"].endswith(f"+{digest[:12]}")
    made = [each for each in records if each["schema"] == "rrg.report/1"]
    assert len(made) == 4
    assert all(each["lexicon"] == records[0]["inputs"]["lexicon"] for each in made)
    assert all([ref["rule"] for ref in each["references"]] == ["added-1", "added-2"] for each in made)


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "rules.md").read_text(encoding="utf-8")
    example = page.partition("```toml\n")[2].partition("```")[0]
    clinic = read_rules(written(tmp_path, example))
    assert len(clinic.rows) == 8
    assert len(clinic.references) == 2
