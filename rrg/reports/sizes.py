"""Which size belongs to which finding."""

import bisect
from collections.abc import Sequence

from rrg.records import Measurement
from rrg.reports.findings import Stated
from rrg.reports.mentions import Mention
from rrg.reports.words import Words, word_set

_SIZED = word_set(
    """gross grosse grosser grosses grossen grossem messend messende messender messendes messenden haltend
    haltende haltender durchmessend durchmessende durchmessender durchmessendes durchmessenden grosses grosse gr
    breite breiter breites lange langer dicke dicker"""
)
_NO_ADJECTIVE = word_set(
    """in im an am der des dem den von vom of the within on at with and und oder or mit ohne without zeigt shows
    ist is sind are eine ein a no kein keine"""
)


def sizes(
    words: Words, stated: Sequence[Stated], measurements: Sequence[Measurement], mentions: Sequence[Mention]
) -> list[list[Measurement]]:
    """The measurements of each finding: a size goes to the finding it stands with; earlier sizes go to none."""
    owned: list[list[Measurement]] = [[] for _ in stated]
    for measurement in measurements:
        start, end = measurement.span
        if measurement.prior or not stated or _distance(words, start, end):
            continue
        following = next((i for i, one in enumerate(stated) if one.span[0] >= end), None)
        preceding = next((i for i in range(len(stated) - 1, -1, -1) if stated[i].span[1] <= start), None)
        if following is not None and (preceding is None or _leads(words, end, stated[following])):
            if (
                preceding is None
                and not _leads(words, end, stated[following])
                and _of_structure(words, start, mentions)
            ):
                continue
            if preceding is None and not _near_enough(words, end, stated[following]):
                continue
            owned[following].append(measurement)
        elif preceding is not None and not (
            _another(words, stated[preceding].span[1], start) or _moved(words, start, stated[preceding])
        ):
            owned[preceding].append(measurement)
    return owned


_FROM = word_set(
    """above below from oberhalb unterhalb kaudal kranial distal proximal entfernt superior inferior deep to von vom
    cranial caudal beyond away lateral medial"""
)


def set_apart(words: Words, size: tuple[int, int], finding: tuple[int, int]) -> bool:
    """ "Milz nicht vergrößert, 10 cm", "DHC mit 9 mm weit, kein Konkrement": a comma or a denial stands between a size
    and a denied finding, so that it is the size of something else.
    """
    between = _words_between(words, min(size[1], finding[1]), max(size[0], finding[0]))
    return any(words.raw[i] in ",;" or words.keys[i] in _DENIALS for i in between)


_DENIALS = word_set("kein keine keinen keiner ohne no without not nicht")


def _distance(words: Words, start: int, end: int) -> bool:
    """ "3 cm above the carina": how far away, not how large."""
    after = bisect.bisect_left(words.starts, end)
    if words.keys[after : after + 1] == ["deep"]:
        return False
    return any(key in _FROM for key in words.keys[after : after + 1]) and words.keys[after : after + 2][-1:] != ["of"]


def _of_structure(words: Words, start: int, mentions: Sequence[Mention]) -> bool:
    """ "Aorta 19 mm, kein Aneurysma": the size of the structure itself."""
    before = bisect.bisect_left(words.starts, start)
    return any(mention.last == before for mention in mentions) or words.keys[max(0, before - 1) : before] in (
        ["linke"],
        ["rechte"],
        ["links"],
        ["rechts"],
        ["left"],
        ["right"],
    )


def _moved(words: Words, start: int, stated: Stated) -> bool:
    """ "Spondylolisthesis um 6 mm": how far it moved."""
    before = bisect.bisect_left(words.starts, start) - 1
    return words.keys[before : before + 1] == ["um"] and stated.name not in ("midline shift", "shift")


_ANOTHER = word_set(
    """weiterer weitere weiteres weiteren another further zweiter zweite zweites second third dritter dritte"""
)


def _another(words: Words, start: int, end: int) -> bool:
    """ "... sowie ein weiterer von 5 mm": the size of one that is not named again."""
    return any(words.keys[i] in _ANOTHER for i in _words_between(words, start, end))


def _words_between(words: Words, start: int, end: int) -> range:
    return range(bisect.bisect_left(words.starts, start), bisect.bisect_left(words.starts, end))


def _leads(words: Words, end: int, stated: Stated) -> bool:
    """ "12 mm große Zyste", "5-mm nodule": only describing words stand between."""
    between = _words_between(words, end, stated.span[0])
    if words.keys[between.start : between.start + 1] == ["of"]:
        return len(between) <= 3  # "7 mm of midline shift"
    if any(words.keys[i] in _SIZED for i in between[:2]):
        return not any(words.raw[i] in ",;" and words.keys[i + 1 : i + 2] == ["und"] for i in between)
    return len(between) <= 4 and all(
        (words.raw[i][0].isalpha() or words.raw[i] == "-") and words.keys[i] not in _NO_ADJECTIVE for i in between
    )


def _near_enough(words: Words, end: int, stated: Stated) -> bool:
    return not any(words.raw[i] == ";" for i in _words_between(words, end, stated.span[0]))
