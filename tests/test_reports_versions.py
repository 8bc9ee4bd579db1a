"""Which version of a report counts, and which addenda go with it; several reports in one text."""

import random
import time

import pytest

from rrg.reports.named import Standing
from rrg.reports.several import reports_in
from rrg.reports.versions import Version, choose


def versions(*given: tuple[Standing | None, int | None]) -> list[Version]:
    return [Version(at, "g", standing=standing, order=order) for at, (standing, order) in enumerate(given)]


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ([("preliminary", 1)], [0]),
        ([("preliminary", 3), ("final", 1)], [1]),
        ([("final", 1), ("final", 2)], [1]),
        ([("final", 2), ("final", 1)], [0]),
        ([("final", 9), ("corrected", 1)], [1]),
        ([("corrected", 2), ("corrected", 1), ("final", 5), ("preliminary", 7)], [0]),
        ([("final", None), ("final", None)], [1]),
        ([(None, 1), (None, 2)], [1]),
        ([(None, None), (None, None)], [0, 1]),
        ([(None, 1), ("preliminary", 2)], [0]),
        ([("final", 1), ("withdrawn", 2), ("final", 3)], [2]),
    ],
)
def test_corrected_before_final_before_preliminary_then_the_latest(
    given: list[tuple[Standing, int]], left: list[int]
) -> None:
    kept = choose(versions(*given))
    assert [at for at in range(len(given)) if at not in kept.superseded] == left
    assert not kept.withdrawn


def test_a_report_that_was_withdrawn_last_is_gone() -> None:
    kept = choose(versions(("final", 1), ("corrected", 2), ("withdrawn", 3)))
    assert (kept.superseded, kept.withdrawn) == ({0, 1}, {2})
    assert choose(versions(("withdrawn", 1))).withdrawn == {0}


def test_addenda_go_to_the_version_that_counts_oldest_first() -> None:
    kept = choose(versions(("addendum", 8), ("final", 1), ("addendum", 5), ("corrected", 2)))
    assert kept.addenda == {3: (2, 0)}
    assert kept.superseded == {1}
    assert choose(versions(("addendum", 2), ("addendum", 1))).addenda == {1: (0,)}


def test_languages_are_versions_of_their_own() -> None:
    given = [
        Version(at, "g", lang=lang, standing="final", order=at) for at, lang in enumerate(("de", "en", "de", "en"))
    ]
    assert choose(given).superseded == {0, 1}


def test_a_document_that_replaces_another_joins_its_group() -> None:
    given = [
        Version(0, "c", ("b",), standing="corrected", order=3),
        Version(1, "a", standing="final", order=1),
        Version(2, "b", ("a",), standing="corrected", order=2),
        Version(3, "other", standing="final", order=9),
    ]
    kept = choose(given)
    assert kept.superseded == {1, 2}
    assert set(kept.members[0]) == {1, 2}


def test_the_choice_does_not_depend_on_the_order_of_the_sources() -> None:
    rng = random.Random(3)
    kinds: list[Standing] = ["preliminary", "final", "corrected", "addendum"]
    for _ in range(200):
        given = [(rng.choice(kinds), order) for order in rng.sample(range(100), rng.randint(1, 6))]
        mixed = rng.sample(given, len(given))
        left = [
            {own[at] for at in range(len(own)) if at not in choose(versions(*own)).superseded} for own in (given, mixed)
        ]
        assert left[0] == left[1]


def test_many_versions_take_linear_time() -> None:
    chain: list[Version] = [Version(at, f"{at}", (f"{at - 1}",), standing="final", order=at) for at in range(50_000)]
    start = time.process_time()
    assert len(choose(chain).superseded) == 49_999
    assert time.process_time() - start < 5


# --- several reports in one text

CHEST = "CT Thorax vom Montag\nBefund:\nLunge frei.\nBeurteilung:\nUnauffällig."
BELLY = "CT Abdomen vom Montag\nBefund:\nLeber normal.\nBeurteilung:\nUnauffällig."
HEAD = "Radiologie im Zentrum, Haus 3\n\n"


@pytest.mark.parametrize(
    ("text", "parts", "flag"),
    [
        (CHEST, [CHEST], False),
        (f"{CHEST}\n=====\n{BELLY}", [CHEST, BELLY], False),
        (f"{CHEST}\n\n__________\n\n{BELLY}\n----------", [CHEST, BELLY], False),
        (f"{CHEST}\f{BELLY}", [CHEST, BELLY], False),
        (f"{HEAD}{CHEST}\n\n{HEAD}{BELLY}", [f"{HEAD}{CHEST}", f"{HEAD}{BELLY}"], False),
        (f"{CHEST}\n\n{BELLY}", [f"{CHEST}\n\n{BELLY}"], True),
        (f"{CHEST}\n=====\nMit freundlichen Grüßen", [f"{CHEST}\n=====\nMit freundlichen Grüßen"], False),
        ("Technik:\nCT\n-----\nBefund:\nMilz normal.", ["Technik:\nCT\n-----\nBefund:\nMilz normal."], False),
        (f"{HEAD}Befund:\nLunge frei.\n\n{HEAD}Befund:\nMilz normal.\nBeurteilung:\nGut.", None, False),
    ],
)
def test_two_reports_are_cut_only_where_the_text_says_so(text: str, parts: list[str] | None, flag: bool) -> None:
    assert reports_in(text) == (tuple(parts or [text]), flag)
