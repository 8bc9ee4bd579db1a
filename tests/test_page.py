"""The page: what it shows is what the records say, nothing leaves it, and it works in a real browser."""

import base64
import dataclasses
import hashlib
import io
import itertools
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rrg.errors import RrgError
from rrg.infer_summary import summary_of
from rrg.outputs import page as page_module
from rrg.outputs.cards import located, of_prediction, of_sample, sentences, statement
from rrg.outputs.draft import draft_fragment
from rrg.outputs.page import fragments, write_document, write_page
from rrg.outputs.pictures import LONGEST_SIDE, Edges, Picture, edges, picture_of
from rrg.outputs.spool import open_parts, read_parts, save_part
from rrg.outputs.words import FLAGS, KINDS, WORDS
from rrg.records import Box, ImageRef, Mention, Part, Prediction, Region, Sample, Slice, Turn

ROWS, COLUMNS, SPACING = 40, 60, (2.0, 1.0)
CANARY = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\"'&"


def image(ref: str = "series/abc#3", unit: str = "HU") -> ImageRef:
    return ImageRef(id="i0", ref=ref, rows=ROWS, columns=COLUMNS, modality="CT", unit=unit, spacing_mm=SPACING)  # type: ignore[arg-type]


def pixels() -> "np.ndarray[tuple[int, int], np.dtype[np.int16]]":
    return np.linspace(-1000, 1000, ROWS * COLUMNS).reshape(ROWS, COLUMNS).astype(np.int16)


def axial(index: int = 3) -> Slice:
    return Slice(
        id="s",
        patient="p",
        study="t",
        series="abc",
        index=index,
        count=9,
        series_number=2,
        pixels=f"series/abc#{index}",
        sha256="",
        rows=ROWS,
        columns=COLUMNS,
        dtype="int16",
        unit="HU",
        modality="CT",
        spacing_mm=SPACING,
        position_mm=(0.0, 0.0, 0.0),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    )


def mention(number: int, phrase: str, *boxes: tuple[float, float, float, float]) -> Mention:
    made = tuple(Box(x0=x0, y0=y0, x1=x1, y1=y1) for x0, y0, x1, y1 in boxes)
    return Mention(id=f"m{number}", phrase=phrase, regions=(Region(label=phrase, boxes=made, origin="model"),))


def prediction(text: str, *mentions: Mention, ref: str = "series/abc#3", **fields: object) -> Prediction:
    given = {"id": "a", "task": "grounded-report", "question": "Was ist zu sehen?", "lang": "de", **fields}
    return Prediction(
        images=(image(ref),),
        raw=text,
        text=text,
        mentions=mentions,
        model="m",
        backend="torch",
        **given,  # type: ignore[arg-type]
    )


def pictures(*refs: str) -> dict[str, Picture]:
    return {ref: picture_of(image(ref), pixels(), axial(int(ref[-1]))) for ref in refs or ("series/abc#3",)}


class Seen(HTMLParser):
    """Every element with its attributes, and the text outside of script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inline: dict[str, list[str]] = {"script": [], "style": []}
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = tag if tag in self.inline else ""

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in:
            self.inline[self._in].append(data)
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def written(path: Path, *predictions: Prediction, **options: object) -> Seen:
    refs = {each.images[0].ref for each in predictions}
    write_page(path, predictions, pictures(*sorted(refs)), **options)  # type: ignore[arg-type]
    return Seen(path.read_text(encoding="utf-8"))


# --- geometry and pictures


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ((1, 0, 0, 0, 1, 0), Edges("R", "L", "A", "P")),  # axial: the patient's right is on the picture's left
        ((1, 0, 0, 0, 0, -1), Edges("R", "L", "H", "F")),  # coronal
        ((0, 1, 0, 0, 0, -1), Edges("A", "P", "H", "F")),  # sagittal
        ((-1, 0, 0, 0, 1, 0), Edges("L", "R", "A", "P")),  # mirrored: the letters say so
        ((0.8, 0.6, 0, 0, 0, -1), Edges("RA", "LP", "H", "F")),  # oblique
        ((0.995, 0.0998, 0, 0, 0, -1), Edges("R", "L", "H", "F")),  # tilted by 6 degrees
    ],
)
def test_letters_at_the_edges(orientation: tuple[float, ...], expected: Edges) -> None:
    assert edges(orientation) == expected


def decoded(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def test_windows_are_those_of_the_preset() -> None:
    made = picture_of(image(), pixels())
    assert list(made.windows) == ["soft", "lung", "bone"]
    for name, (center, width) in {"soft": (40, 400), "lung": (-600, 1500), "bone": (400, 1800)}.items():
        shown = decoded(made.windows[name])
        assert (shown.mode, shown.size) == ("L", (COLUMNS, ROWS))
        wanted = np.clip((pixels() - (center - width / 2)) / width, 0, 1) * 255
        assert np.abs(np.asarray(shown, float) - wanted).max() <= 0.51


def test_pixel_spacing_and_size() -> None:
    made = picture_of(image(), pixels())
    assert made.height_per_width == 2.0
    assert decoded(made.thumbnail).size == (72, 96)  # 40 rows of 2 mm, 60 columns of 1 mm
    large = ImageRef(id="i0", ref="r", rows=100, columns=3000, unit="rgb")
    shown = picture_of(large, np.zeros((100, 3000, 3), np.uint8))
    assert decoded(shown.windows["plain"]).size == (LONGEST_SIDE, 34)
    assert (shown.rows, shown.columns) == (100, 3000)


# --- texts


@given(st.text(max_size=60))
def test_sentences_cover_the_text(text: str) -> None:
    assert "".join(text[start:end] for start, end in sentences(text)) == text


def test_abbreviations_do_not_end_a_sentence() -> None:
    text = "V. a. Zyste der Niere, z. B. Bosniak II. Milz ca. 11 cm. (Serie 3, Bild 4)"
    assert [text[a:b].strip() for a, b in sentences(text)] == [
        "V. a. Zyste der Niere, z. B. Bosniak II.",
        "Milz ca. 11 cm.",
        "(Serie 3, Bild 4)",
    ]


@given(st.lists(st.tuples(st.text("ab ", max_size=4), st.text("ab", min_size=1, max_size=3)), max_size=5))
def test_phrases_are_found_in_order(pieces: list[tuple[str, str]]) -> None:
    text = "".join(gap + phrase for gap, phrase in pieces)
    told = located(text, [mention(n, phrase, (0, 0, 1, 1)) for n, (_, phrase) in enumerate(pieces)])
    spans = [mark.span for mark in told.marks if mark.span]
    assert len(spans) == len(pieces)
    assert all(text[a:b] == mark.phrase for mark in told.marks if (span := mark.span) for a, b in [span])
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(spans))


def test_a_phrase_that_the_text_lacks_has_no_place() -> None:
    assert [mark.span for mark in located("nichts", [mention(0, "Leber", (0, 0, 1, 1))]).marks] == [None]


def test_placeholders_and_braces() -> None:
    told = statement(
        (Part(type="image", ref="i0"), Part(type="text", text=" {{x}} {m1} und {m0}.")),
        (mention(0, "Milz", (0, 0, 1, 1)), mention(1, "Leber", (1, 1, 2, 2))),
    )
    assert told.text == "{x} Leber und Milz."
    assert [(m.phrase, told.text[m.span[0] : m.span[1]]) for m in told.marks if m.span] == [
        ("Leber", "Leber"),
        ("Milz", "Milz"),
    ]


def test_every_turn_of_a_dialogue_is_a_card() -> None:
    def turn(role: str, text: str) -> Turn:
        return Turn(role=role, content=(Part(type="text", text=text),))  # type: ignore[arg-type]

    sample = Sample(
        id="x", patient="p", study="t", images=(image(),), lang="de", task="vqa",
        turns=(turn("user", "A?"), turn("assistant", "Ja"), turn("user", "B?"), turn("assistant", "Nein")),
    )  # fmt: skip
    assert [(c.question and c.question.text, c.answer.text) for c in of_sample(sample)] == [
        ("A?", "Ja"),
        ("B?", "Nein"),
    ]


# --- the document


def test_boxes_lie_where_the_record_says_in_a_picture_of_true_shape(tmp_path: Path) -> None:
    seen = written(tmp_path / "p.html", prediction("Leber, Milz.", mention(0, "Leber", (3, 4, 20, 24))))
    (svg,) = seen.all("svg")
    assert svg["viewbox"] == "0 0 60 80"  # 40 rows of 2 mm are as high as 80 columns of 1 mm
    (rect,) = [each for each in seen.all("rect") if each["class"] == "box c0"]
    assert [float(rect[name] or "") for name in ("x", "y", "width", "height")] == [3, 8, 17, 40]


def test_every_phrase_has_its_boxes_and_every_box_its_phrase(tmp_path: Path) -> None:
    first = prediction("Leber und Milz. Leber.", mention(0, "Leber", (1, 1, 5, 5), (6, 6, 9, 9)), mention(1, "Milz"))
    second = prediction("Niere", mention(0, "Niere", (2, 2, 4, 4)), mention(1, "", (3, 3, 6, 6)), id="b")
    seen = written(tmp_path / "p.html", first, second)
    marks = [each["data-m"] for each in seen.all("mark")]
    assert sorted(marks) == sorted({each["data-m"] for each in seen.all("rect")}) == ["0a0", "1a0", "1a1"]
    links = {name for each in seen.all("span") for name in (each.get("data-links") or "").split()}
    assert links == {"0a0", "1a0"}  # the phrase without a place belongs to no sentence
    assert all(each["tabindex"] == "0" and each["aria-label"] for each in seen.all("rect"))


def test_text_can_not_become_markup(tmp_path: Path) -> None:
    bad = prediction(
        f"Leber {CANARY} ende\x00\x1b\u202e.",
        mention(0, CANARY, (1, 1, 5, 5)),
        question=CANARY,
        task=CANARY,
        flags=(CANARY,),
    )
    path = tmp_path / "p.html"
    seen = written(path, bad, title=CANARY, notice={"de": CANARY, "en": CANARY})
    assert len(seen.all("script")) == len(seen.all("style")) == 1
    assert not [name for _, attributes in seen.elements for name in attributes if name.startswith("on")]
    assert not [each for each in seen.all("img") if not (each["src"] or "").startswith("data:")]
    assert seen.text.count("<script>document.title") >= 6  # it is there, as text
    assert not re.search("[\x00\x1b\u202e]", path.read_text(encoding="utf-8"))


def test_nothing_is_loaded_from_outside(tmp_path: Path) -> None:
    path = tmp_path / "p.html"
    seen = written(path, prediction("Leber", mention(0, "Leber", (1, 1, 5, 5))))
    for _, attributes in seen.elements:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("data:image/png;base64,", "#"))
    policy = next(each["content"] or "" for each in seen.all("meta") if "http-equiv" in each)
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for kind, (text,) in seen.inline.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not re.search(r"https?://|@import|url\(", path.read_text(encoding="utf-8"))


def test_both_languages_and_the_notice(tmp_path: Path) -> None:
    notice = {"de": "kein Medizinprodukt", "en": "not a medical device"}
    seen = written(tmp_path / "p.html", prediction("Leber"), notice=notice, lang="de", title="T")
    assert notice["de"] in seen.text
    assert notice["en"] in seen.text
    assert seen.elements[0] == ("html", {"lang": "de", "data-ui": "de", "data-window": "soft"})
    for words in (*WORDS.values(), *KINDS.values(), *FLAGS.values()):
        assert all(word.strip() for word in words)


def test_the_reference_stands_beside_the_answer(tmp_path: Path) -> None:
    asked = Sample(
        id="a", patient="p", study="t", images=(image(),), lang="de", task="grounded-report",
        mentions=(mention(0, "Leber", (10, 10, 20, 20)),),
        turns=(
            Turn(role="user", content=(Part(type="image", ref="i0"), Part(type="text", text="Was?"))),
            Turn(role="assistant", content=(Part(type="text", text="Die {m0} ist normal."),), loss=True),
        ),
    )  # fmt: skip
    seen = written(tmp_path / "p.html", prediction("Leber", mention(0, "Leber", (1, 1, 5, 5))), references={"a": asked})
    assert "Die Leber ist normal." in seen.text
    assert [each["data-m"] for each in seen.all("rect")] == ["0a0", "0r0"]


def test_slices_are_in_the_order_of_the_volume(tmp_path: Path) -> None:
    refs = ("series/abc#7", "series/abc#1", "series/abc#3")
    seen = written(tmp_path / "p.html", *(prediction("x", ref=ref) for ref in refs))
    assert re.findall(r"Schicht\s*slice\s*(\d)/9", seen.text) == ["2", "4", "8"] * 2


def test_a_page_that_is_too_large_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refs = [f"series/abc#{n}" for n in range(6)]
    whole = written(tmp_path / "a.html", *(prediction("x", ref=ref) for ref in refs))
    assert len(whole.all("section")) == 6
    monkeypatch.setattr(page_module, "MAX_PAGE_BYTES", (tmp_path / "a.html").stat().st_size // 8)
    part = written(tmp_path / "b.html", *(prediction("x", ref=ref) for ref in refs))
    left = 6 - len(part.all("section"))
    assert 0 < left < 6
    assert f"{left} weitere Bilder passten nicht" in part.text


def test_same_input_same_bytes_and_whole_or_absent(tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        written(tmp_path / name, prediction("Leber", mention(0, "Leber", (1, 1, 5, 5))))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    (tmp_path / "file").write_text("")
    with pytest.raises(RrgError, match="E_IO"):
        written(tmp_path / "file" / "p.html", prediction("x"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html", "file"]


def test_parts_join_in_one_order(tmp_path: Path) -> None:
    page = tmp_path / "p.html"
    texts = {"s1": "eins", "s2": "zwei", "s3": "drei"}
    joined = []
    for order in (["s1", "s2", "s3"], ["s3", "s1", "s2"]):
        folder = open_parts(page, resume=False)
        for key in order:
            save_part(folder, key, [page_module.Fragment(texts[key], "e")])
        joined.append([part.section for part in read_parts(folder)])
    assert joined[0] == joined[1]
    assert sorted(joined[0]) == sorted(texts.values())
    assert len(list(read_parts(open_parts(page, resume=True)))) == 3
    assert not list(read_parts(open_parts(page, resume=False)))


# --- in a browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROBE = """
const one = (selector) => document.querySelector(selector);
const say = (name, value) => {
  const probe = document.createElement("meta");
  Object.assign(probe, { name: "probe-" + name, content: String(value) });
  document.head.append(probe);
};
const key = (name) => document.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
const on = () => [...document.querySelectorAll(".current .on")].map((e) => e.localName + e.dataset.m).join(" ");
const shown = (selector) => getComputedStyle(one(selector)).display;
say("start", one("#position").textContent);
key("ArrowRight"); say("right", one("#position").textContent);
key("ArrowRight"); key("ArrowRight"); say("end", one("#position").textContent);
key("Home"); say("home", one("#position").textContent);
say("shown", shown(".current .window.soft") + shown(".current .window.lung"));
key("2"); say("lung", shown(".current .window.soft") + shown(".current .window.lung"));
say("en", shown(".ui > [lang=de]")); key("l"); say("de", shown(".ui > [lang=de]"));
const over = (element) => element.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
over(one(".current mark[data-m='0a1']")); say("phrase", on());
over(one(".current rect[data-m='0a0']")); say("box", on() + " " + document.querySelectorAll(".current .near").length);
over(one(".current .answer .sentence")); say("sentence", on());
const hidden = (name) => shown(`.current g.answer[data-card='${name}']`);
say("other", hidden(1)); over(one(".current .card[data-card='1']")); say("active", hidden(1) + hidden(0));
one(".current rect[data-m='1a0']").focus(); say("focus", on());
"""


def browse(page: Path, profile: Path) -> Seen:
    assert CHROMIUM is not None
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=2000 --dump-dom"
    done = subprocess.run(
        [CHROMIUM, *flags.split(), f"--user-data-dir={profile}", page.as_uri()],
        capture_output=True,
        timeout=90,
        check=True,
    )
    return Seen(done.stdout.decode())


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "p.html"
    told = prediction("Leber und Milz. Niere.", mention(0, "Leber", (1, 1, 9, 9)), mention(1, "Milz", (2, 2, 5, 5)))
    other = prediction(f"Niere {CANARY}", mention(0, "Niere", (3, 3, 6, 6)), id="b")
    further = prediction("Leber", mention(0, "Leber", (1, 1, 9, 9)), ref="series/abc#4", id="c")
    write_page(path, [told, other, further], pictures("series/abc#3", "series/abc#4"), lang="en", title="title")
    return path


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_hover_focus_and_keys_in_a_browser(example: Path, tmp_path: Path) -> None:
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", example.read_text(encoding="utf-8"))
    probed = tmp_path / "probed.html"
    probed.write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    found = {
        (each["name"] or "").removeprefix("probe-"): each["content"]
        for each in browse(probed, tmp_path / "profile").all("meta")
        if (each.get("name") or "").startswith("probe-")
    }
    assert found == {
        "start": "1 / 2", "right": "2 / 2", "end": "2 / 2", "home": "1 / 2",
        "shown": "inlinenone", "lung": "noneinline", "en": "none", "de": "inline",
        "phrase": "rect0a1 text0a1 mark0a1", "box": "rect0a0 text0a0 mark0a0 1",
        "sentence": "rect0a0 text0a0 rect0a1 text0a1 mark0a0 mark0a1",
        "other": "none", "active": "inlinenone", "focus": "rect1a0 text1a0 mark1a0",
    }  # fmt: skip


DRAFT_PROBE = """
const near = () => [...document.querySelectorAll(".draft li.near")].map((e) => e.textContent.slice(0, 5)).join(" ");
const lines = [...document.querySelectorAll(".draft li")];
over(one(".current mark[data-m='0a0']")); say("mark", near());
over(lines[0]); say("line", on());
lines[0].click(); say("click", one("#position").textContent + " " + on());
lines[0].click(); say("again", one("#position").textContent + " " + on());
say("here", lines.map((e) => Number(e.classList.contains("here"))).join(""));
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_draft_report_and_its_boxes_point_at_each_other_in_a_browser(tmp_path: Path) -> None:
    told = [
        prediction("Leberzyste. Milz.", mention(0, "Leberzyste", (1, 1, 9, 9)), mention(1, "Milz", (2, 2, 5, 5))),
        prediction("Milz.", mention(0, "Milz", (3, 3, 6, 6)), ref="series/abc#4", id="b"),
        prediction("Leberzyste.", mention(0, "Leberzyste", (1, 1, 9, 9)), ref="series/abc#5", id="c"),
    ]
    refs = [each.images[0].ref for each in told]
    slices = [dataclasses.replace(axial(int(ref[-1])), id=ref) for ref in refs]
    told = [
        dataclasses.replace(each, images=(dataclasses.replace(each.images[0], slice=each.images[0].ref),))
        for each in told
    ]
    summary = summary_of(told, slices, "de")
    assert summary is not None
    cards = [of_prediction(each) for each in told]
    parts = [draft_fragment(summary, told, cards), *fragments(cards, pictures(*refs))]
    write_document(tmp_path / "d.html", parts, lang="de", title="t", notice={})
    text = (tmp_path / "d.html").read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    helpers = "\n".join(
        line for line in PROBE.splitlines() if line.startswith(("const ", "  ", "};")) and "hidden" not in line
    )
    probed = tmp_path / "probed.html"
    probed.write_text(text.replace("</body>", f"<script>{helpers}{DRAFT_PROBE}</script></body>"), encoding="utf-8")
    found = {
        (each["name"] or "").removeprefix("probe-"): each["content"]
        for each in browse(probed, tmp_path / "profile").all("meta")
        if (each.get("name") or "").startswith("probe-")
    }
    assert found == {
        "mark": "Leber", "line": "rect0a0 text0a0 mark0a0", "click": "3 / 3 rect0a0 text0a0 mark0a0",
        "again": "1 / 3 rect0a0 text0a0 mark0a0", "here": "11",
    }  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_policy_lets_our_script_run_and_no_other(example: Path, tmp_path: Path) -> None:
    foreign = "<script>document.title='owned'</script><img src='data:,x' onerror=\"document.title='owned'\">"
    page = tmp_path / "page.html"
    page.write_text(example.read_text(encoding="utf-8").replace("</body>", f"{foreign}</body>"), encoding="utf-8")
    seen = browse(page, tmp_path / "profile")
    assert "js" in (seen.elements[0][1]["class"] or "").split()
    assert seen.text.strip().startswith("title")
    freed = tmp_path / "freed.html"  # the control: without the policy the foreign script does run
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    freed.write_text(text, encoding="utf-8")
    assert browse(freed, tmp_path / "profile2").text.strip().startswith("owned")
