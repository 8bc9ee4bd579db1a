"""Names of people, where a title, a label, a birth date, a greeting or a given name tells that one stands there.

A surname alone in a sentence is found only when the same text names it in one of these places too, or when it stands in
the list of ``--phi-known``.
"""

import re
from collections.abc import Iterator

from rrg.reports.phi_spans import Spot, Tokens
from rrg.reports.phi_walker import DOUBTFUL, PARTICLES, TITLES, Walker
from rrg.reports.phi_words import is_given, is_word, lists, seems_word
from rrg.reports.words import fold, word_set

_LABELS = (
    r"(?:Familienname|Nachname|Vorname|Geburtsname|Patientenname|Pat\.?-?\s?Name|"
    r"Name(?:,?\s?Vorname)?(?:\sdes\sPatienten)?|"
    r"Untersucher(?:in)?|Assistenz|Befunder(?:in)?|Befundet von|Befundende[rs]? (?:Arzt|Ärztin)|Zuweiser(?:in)?|"
    r"Überweiser(?:in)?|"
    r"Zuweisende[r]? (?:Arzt|Ärztin)|Überweisende[r]? (?:Arzt|Ärztin)|Einsender(?:in)?|Anfordernde[r]? (?:Arzt|"
    r"Ärztin)|Anforderer|"
    r"Hausarzt|Hausärztin|Radiologe|Radiologin|Vidiert(?: von| durch)?|Diktiert(?: von| durch)?|Diktat|"
    r"Freigegeben(?: von| durch)?|"
    r"Freigabe(?: durch)?|Signiert(?: von| durch)?|Geschrieben(?: von)?|Schreibkraft|Unterschrift|"
    r"Validiert(?: von| durch)?|"
    r"Erstellt(?: von| durch)|Elektronisch (?:signiert|freigegeben|unterschrieben)(?: von| durch)?|"
    r"Betreuer(?:in)?|Angehörige[r]?|"
    r"Ansprechpartner(?:in)?|Durchgeführt (?:von|durch)|Operateur(?:in)?|Anästhesist(?:in)?|"
    r"z\.\s?Hd\.?(?: von)?|Nachrichtlich|"
    r"Versicherte[rs]?|Referrer|Referring (?:physician|provider|doctor|clinician|MD)|Ordering (?:physician|provider)|"
    r"Attending(?: physician| radiologist)?|Requesting (?:physician|provider)|Requested by|Ordered by|Referred by|"
    r"(?:Interpreting|Reading|Reporting) (?:physician|radiologist)|Dictated(?: and \w+)? by|"
    r"(?:Electronically )?[Ss]igned(?: and \w+)? by|Signed|Reported by|Read by|Transcribed by|Approved by|Verified by|"
    r"Finalized by|Reviewed by|Performed by|Technologist|Sonographer|Transcriptionist|Resident|Fellow|Surgeon|"
    r"Patient(?:'s)? name|First name|Last name|Surname|Given name|Family name|Next of kin|Attn|CC|cc)"
)
_LABEL = re.compile(
    rf"(?<![\w-]){_LABELS}\s?(?::|=|(?<= by) |(?<= von) |(?<= durch) |(?<=[a-z])\t)\s{{0,4}}", re.IGNORECASE
)
_WEAK_LABEL = re.compile(
    r"(?<![\w-])(?:Patient(?:in|en)?|Pat\.?|Ärztlicher Direktor|Ärztliche Leitung|(?:Klinik)?[Dd]irektor(?:in)?|"
    r"Chefarzt|"
    r"Chefärztin|Leitung|Vorstand|Leiter(?:in)?|Oberarzt|Oberärztin|Arzt|Ärztin|Physician|Radiologist|Doctor|An|"
    r"To|From)"
    r"\s?:\s{0,4}"
)
_PATIENT = re.compile(
    r"(?<![\w-])(?:Patient(?:in|en)?|Pat\.?)(?:,)?[ ]{1,3}(?=[A-ZÄÖÜ])|"
    r"\b(?:the |this )?patient,[ ](?=[A-Z])",
)
_BIRTH = re.compile(r"[ ,;(\t]{0,4}(?:\n)?(?:\*|geb\b|geboren|Geb\b|GEB\b|born\b|DOB\b|d\.o\.b|Geburtsdatum)")
_BORN = re.compile(r"(?<!\w)(?:(?<!\*)\*(?!\*)|geb\b|geboren|Geb\b|GEB\b|born\b|DOB\b|D\.O\.B|Geburtsdatum)")
_CLOSING = re.compile(
    r"(?:Gr(?:ü|ue)(?:ß|ss)(?:en|e)?\b|\bGru(?:ß|ss)\b|\bMfG\b|Hochachtungsvoll|Sincerely|[Rr]egards|"
    r"Yours (?:truly|faithfully)|"
    r"Respectfully)[^\n]{0,40}"
)
_BLOCK = 700
"""Characters behind a closing in which people sign."""
_SIGNED = re.compile(
    r"(?<!\w)(?:gez\.|Gez\.|gezeichnet|i\.\s?A\.|I\.\s?A\.|i\.\s?V\.(?=\s*(?:Dr|Prof|[A-ZÄÖÜ]\.\s?[A-ZÄÖÜ]))|"
    r"ppa\.|/s/|e-signed|"
    r"eSigned|Unterzeichnet)[ \t]{0,3}:?\s{0,3}"
)
_GREETING = re.compile(r"(?<!\w)(?:Sehr [Gg]eehrte[rs]?|[Ll]iebe[rs]?|Dear|Hallo|Guten Tag)[ ]{1,2}(?=[A-ZÄÖÜ])")
_LIST_SIGN = frozenset(("/", ";", "&", "und", "and", ",", "sowie"))


def names_of(text: str, tokens: Tokens) -> Iterator[Spot]:
    """All names that the rules find, the repeated ones last."""
    walker = Walker(text, tokens)
    found: list[Spot] = []
    for rule in (_titled, _labelled, _patients, _born, _signed, _greeted, _given):
        found.extend(rule(walker))
    yield from found
    yield from _again(walker, found)


def _titled(walker: Walker) -> Iterator[Spot]:
    words = walker.tokens.words
    i = 0
    while i < len(words):
        if words[i] not in TITLES and words[i] not in DOUBTFUL:
            i += 1
            continue
        begin = i
        i = max(walker.titles(i), i + 1)
        own = [word for word in words[begin:i] if word in TITLES or word in DOUBTFUL]
        apart = i < len(words) and "\n" in walker.gap(i)
        strict = apart or all(word in DOUBTFUL for word in own)
        if apart and ("\n\n" in walker.gap(i) or all(word in DOUBTFUL for word in own)):
            continue
        end, count = walker.name(i, strict=strict)
        if count:
            yield walker.spot(i, end, "name.title")
            i = end
        elif own[-1] in ("Herr", "Herrn", "Frau", "Hr", "Fr", "Mr", "Ms", "Mrs") and _initial(walker, i):
            yield walker.spot(i, i + 1, "name.title")


def _initial(walker: Walker, i: int) -> bool:
    words = walker.tokens.words
    return i + 1 < len(words) and len(words[i]) == 1 and words[i].isupper() and words[i + 1] == "." and walker.joined(i)


def _listed(walker: Walker, i: int, rule: str, *, strict: bool) -> Iterator[Spot]:
    """The names of a list: "OA Dr. A / Ass. Dr. B"."""
    words = walker.tokens.words
    while i < len(words):
        i = walker.titles(i)
        end, count = walker.name(i, strict=strict)
        if not count:
            return
        yield walker.spot(i, end, rule)
        if end >= len(words) or words[end] not in _LIST_SIGN or not walker.joined(end):
            return
        i, strict = end + 1, True


def _labelled(walker: Walker) -> Iterator[Spot]:
    for match in _LABEL.finditer(walker.text):
        if match.group()[0].isupper() or match.group().lower().startswith(("cc", "z", "signed")):
            i = walker.index(match.end())
            loose = i < len(walker.tokens.words) and not is_word(walker.tokens.words[i])
            yield from _listed(walker, i, "name.label", strict=not loose and "ame" not in match.group())
    for match in _WEAK_LABEL.finditer(walker.text):
        i = walker.index(match.end())
        end, count = walker.name(i, strict=False)
        parts = [word for word in walker.tokens.words[i:end] if word != ","]
        pair = count > 1 and len(parts) == end - i - 1 and not any(map(is_word, parts))  # "Patient: Moos, Kim"
        yield from _listed(walker, i, "name.label", strict=not pair)


def _patients(walker: Walker) -> Iterator[Spot]:
    text = walker.text
    for match in _PATIENT.finditer(text):
        i = walker.index(match.end())
        end, count = walker.name(i, strict=True)
        if count:
            born = _BIRTH.match(text, walker.tokens.ends[end - 1])
            many = count > 1 or "," in walker.tokens.words[i:end]
            if born or many or is_given(walker.tokens.words[i]) or match.group().startswith("Pat."):
                yield walker.spot(i, end, "name.patient")
            continue
        end, count = walker.name(i, strict=False)
        if count and ("," in walker.tokens.words[i:end] or _BIRTH.match(text, walker.tokens.ends[end - 1])):
            yield walker.spot(i, end, "name.patient")


def _born(walker: Walker) -> Iterator[Spot]:
    """The words before a birth date."""
    words = walker.tokens.words
    for match in _BORN.finditer(walker.text):
        last = walker.index(match.start()) - 1
        while last >= 0 and words[last] in ",;(:" and walker.joined(last + 1):
            last -= 1
        first, commas, count = last + 1, 0, 0
        for i in range(last, max(-1, last - 8), -1):
            word = words[i]
            if i < last and not walker.joined(i + 1):
                break
            if word == "," and not commas and i < last and words[i - 1][:1].isupper():
                commas += 1
            elif i < last and (fold(word) in PARTICLES or word in "-.'’"):
                continue
            elif word[:1].isupper() and fold(word) not in lists().roles:
                surname = i < last and words[i + 1] == ","  # "Herz, Hans, geb. ..."
                if is_word(word) and not surname:
                    break
                first, count = i, count + (len(word) > 1)
                if surname:
                    break
            else:
                break
        if count and words[first] != ",":
            yield walker.spot(first, last + 1, "name.birth")


def _signed(walker: Walker) -> Iterator[Spot]:
    text = walker.text
    for match in _SIGNED.finditer(text):
        i = walker.titles(walker.index(match.end()))
        end, count = walker.name(i, strict=False)
        if count:
            yield walker.spot(i, end, "name.signature")
    done = 0
    for match in _CLOSING.finditer(text):
        at = max(match.end(), done)
        stop = min(len(text), at + _BLOCK)
        while at < stop:
            end_of_line = text.find("\n", at, len(text))
            end_of_line = len(text) if end_of_line < 0 else end_of_line
            yield from _signature_line(walker, at, min(end_of_line, at + 200))
            at = end_of_line + 1
        done = max(done, at)


def _signature_line(walker: Walker, start: int, end: int) -> Iterator[Spot]:
    """Names in a line of a signature: alone, in columns, or before an office."""
    words, starts, _ = walker.tokens
    i = walker.index(start)
    while i < len(words) and starts[i] < end:
        i = walker.titles(i)
        if i >= len(words) or starts[i] >= end:
            return
        last, count = walker.name(i, strict=True)
        after = words[last] if last < len(words) and starts[last] < end else ""
        if count and not after[:1].islower() and (count > 1 or not after or after in ",/;-" or _office(after)):
            yield walker.spot(i, last, "name.signature")
        elif not count and words[i][:1].islower():
            return
        i = max(last, i + 1)


def _office(word: str) -> bool:
    return fold(word) in lists().roles


def _greeted(walker: Walker) -> Iterator[Spot]:
    for match in _GREETING.finditer(walker.text):
        i = walker.titles(walker.index(match.end()))
        end, count = walker.name(i, strict=True, comma=False)
        if count:
            yield walker.spot(i, end, "name.greeting")


def _given(walker: Walker) -> Iterator[Spot]:
    """A given name beside an unknown word: "Hans Müller", "Müller, Hans"."""
    words = walker.tokens.words
    i = 0
    while i < len(words):
        if not words[i][:1].isupper() or len(words[i]) < 2 or not is_given(words[i]):
            i += 1
            continue
        end, count = walker.name(i, strict=True, comma=False)
        if count > 1:
            yield walker.spot(i, end, "name.given")
        elif i > 1 and words[i - 1] == "," and walker.joined(i) and walker.joined(i - 1) and _surname(words[i - 2]):
            yield walker.spot(i - 2, i + 1, "name.given")
        elif count and i > 0 and walker.joined(i) and _surname(words[i - 1]) and _closes(words, i + 1):
            yield walker.spot(i - 1, i + 1, "name.given")
        i = max(end, i + 1)


def _surname(word: str) -> bool:
    return word[:1].isupper() and len(word) > 2 and not seems_word(word)


def _closes(words: list[str], i: int) -> bool:
    return i >= len(words) or words[i] in ",;()/*" or words[i] == "geb"


_SHORTEST_AGAIN = 4


def _again(walker: Walker, found: list[Spot]) -> Iterator[Spot]:
    """Other places of the same names."""
    names: set[str] = set()
    for spot in found:
        for word in re.findall(r"[^\W\d_]+", walker.text[spot.start : spot.end]):
            if len(word) >= _SHORTEST_AGAIN and word[0].isupper() and not is_word(word):
                names.add(fold(word))
    if not names:
        return
    for i, word in enumerate(walker.tokens.words):
        folded = fold(word)
        same = folded in names or (folded[-1:] == "s" and folded[:-1] in names)
        if same and word[:1].isupper() and not _eponym(walker, i):
            yield walker.spot(i, i + 1, "name.again")


_EPONYM_NOUN = re.compile(
    r"[ -]?(?:['’]?s[ -]|['’]?sche\w*[ ])?(?:fraktur|luxation|delle|gang|gaenge|gänge|typ|type|klassifikation|"
    r"score|zeichen|"
    r"syndrom|krankheit|tumor|test|manöver|zyste|knoten|linie|winkel|disease|fracture|lesion|defect|sign|syndrome|cyst|"
    r"classification|duct|tube|tubus|sonde|katheter|catheter|drainage|operation|op\b|plastik|hernie|hernia|dreieck|"
    r"raum|band|ligament|kapsel|faszie|stadium|stage|grade|grad|index|sachs|[A-C](?:\d|\b)|I{1,3}\b|IV\b)",
    re.IGNORECASE,
)
_EPONYM_AHEAD = word_set("morbus m typ type stadium grad klassifikation zeichen stage syndrom klasse of")


def eponym_use(text: str, tokens: Tokens, i: int) -> bool:
    """True where token `i` names a sign, a fracture or a class: "Weber B", "Smith-Fraktur", "Morbus Paget"."""
    if _EPONYM_NOUN.match(text, tokens.ends[i]):
        return True
    before = i - 1
    while before >= 0 and tokens.words[before] in ".-":
        before -= 1
    return before >= 0 and fold(tokens.words[before]) in _EPONYM_AHEAD and fold(tokens.words[before]) != "of"


def _eponym(walker: Walker, i: int) -> bool:
    return fold(walker.tokens.words[i]) in lists().shared and eponym_use(walker.text, walker.tokens, i)
