# ruff: noqa: E501 - alternatives are easier to compare when they are not broken up
"""Words that only an earlier examination gives a meaning, as patterns, and how sentences are mended without them."""

import re
from typing import NamedTuple

_FLAGS = re.IGNORECASE
DATE = r"(?:\[DATE\]|\d{1,2}\.\s?\d{1,2}\.(?:\s?\d{2,4})?|\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{2,4}|\d{1,2}/\d{2,4}|(?:19|20)\d{2})"
SIZE = r"\d+(?:[.,]\d+)?(?:\s?(?:mm|cm))?(?:\s?[x×]\s?\d+(?:[.,]\d+)?(?:\s?(?:mm|cm))?){0,2}\s?(?:mm|cm)"
_NUMBER = r"\d+(?:[.,]\d+)?(?:\s?[x×]\s?\d+(?:[.,]\d+)?){0,2}(?:\s?(?:mm|cm))?"


class Language(NamedTuple):
    """Patterns of one language; what each one does is told in `rrg.reports.rewrite_static`."""

    told_before: re.Pattern[str]
    """Attributive: "vorbeschriebene", "previously seen"."""
    compared: re.Pattern[str]
    """Phrases that name the comparison: "im Vergleich zur VU vom 3.4.2020"."""
    prior: re.Pattern[str]
    """Words that put what follows into an earlier examination."""
    current: re.Pattern[str]
    """Words that lead back to the present one, where they stand against it."""
    between: re.Pattern[str]
    """Sizes before and after: the group ``now`` is the present one."""
    amount: re.Pattern[str]
    """How much something grew: "um 3 mm"."""
    denied: re.Pattern[str]
    """A change that is denied, up to the end of what it denies: "ohne Größenzunahme", "no new lesion"."""
    resolved: re.Pattern[str]
    """What is not there any more; groups ``one``, ``many``."""
    attribute: re.Pattern[str]
    """Adjectives of change before a noun, with their adverbs."""
    sized: re.Pattern[str]
    """Adjectives that are of change only beside a comparison: "kleinere"."""
    gone: re.Pattern[str]
    """ "Resolution of the X": group ``np``."""
    past: re.Pattern[str]
    """Verbs that keep a clause in the past."""
    predicate: re.Pattern[str]
    """A whole clause "X ist größenprogredient": groups ``np``, ``size``."""
    nominal: re.Pattern[str]
    """ "Größenzunahme der X auf 12 mm": groups ``article``, ``np``, ``size``."""
    adverb: re.Pattern[str]
    """Adverbs and predicates of change that stand alone."""
    verb_first: re.Pattern[str]
    """What a clause must not begin with, when something before the verb went away."""
    filler: re.Pattern[str]
    """Words that say nothing by themselves."""
    left: re.Pattern[str]
    """Wording of comparison that must not be left."""


def _re(*parts: str) -> re.Pattern[str]:
    return re.compile("|".join(parts), _FLAGS)


_DE_ADV = (
    r"(?:(?:deutlich|leicht|gering(?:gradig|fügig)?|etwas|mäßig(?:gradig)?|minimal|diskret|weiter(?:hin)?|erneut|weitgehend|"
    r"im Wesentlichen|nahezu|annähernd|insgesamt|jeweils|signifikant|klar|partiell|teils|teilweise|noch|nun|jetzt|aktuell|"
    r"zwischenzeitlich|größenmäßig|unter Therapie|in (?:der )?Größe|an Größe|in Größe und Form|nach Zahl und Größe)\s+)*"
)
_DE_END = r"(?:e[rnsm]?)"
_DE_STEM = (
    r"(?:unveränd(?:ert)|unveraendert|größenunverändert|größenprogredient|groessenprogredient|progredient|größenregredient|"
    r"groessenregredient|regredient|größenkonstant|größenstabil|befundkonstant|konstant|stationär|zunehmend|abnehmend|rückläufig|"
    r"größenzunehmend|größenabnehmend|persistierend|fortbestehend|neu aufgetreten|neuaufgetreten|neu entstanden|"
    r"neu hinzugekommen|hinzugekommen|erstmalig|größer geworden|kleiner geworden|stabil|wachsend)"
)
_DE_STUDY = (
    r"(?:(?:der|dem|den|die|einer|letzten|letzter|externen|auswärtigen|vorangegangenen|vorherigen|unmittelbaren|jüngsten|"
    r"CT-?|MRT?-?|MR-?)\s*)*(?:(?:CT|MRT?|MR|PET|Röntgen)-?)?(?:Vor(?:untersuchung(?:en)?|aufnahmen?|befund(?:e|en|es|s)?|kontrolle|"
    r"tag|-?CT|-?MRT?|-?MR|vergleich)|VU|Vergleichs(?:untersuchung|aufnahme|studie)(?:en)?|Untersuchung|Kontrolle|Aufnahme|CT|MRT|MR)"
)
_DE_WHEN = rf"(?:\s*\(?(?:vom|aus|am|von)?\s+{DATE}\)?)?"
_DE_NOUN = (
    r"(?:Größenzunahme|Groessenzunahme|Größenprogredienz|Größenprogress|Größenwachstum|Progredienz|Progress(?:ion)?|"
    r"Größenabnahme|Größenregredienz|Regredienz|Regress(?:ion)?|Rückgang|Zunahme|Abnahme|Wachstum|Größenkonstanz|"
    r"Befundkonstanz|Konstanz|konstante Größe|unveränderte Größe|Größenänderung|Größendynamik|Dynamik|Befundänderung|"
    r"Befunddynamik|Befundwandel|Neuauftreten|Größenreduktion|Verkleinerung)"
)
_DE_DENIAL = r"(?:kein(?:e[nrsm]?)?|ohne|nicht)"
_DE_PRED = (
    rf"(?:{_DE_STEM}|zugenommen|abgenommen|größer|kleiner|gewachsen|geschrumpft|vergrößert zur VU|neu|idem|verkleinert|gleich ?groß|"
    r"größenprogressiv|ausgeprägter|zunehmend groß|nicht (?:größer|kleiner) geworden|nicht (?:wesentlich |signifikant )?verändert)"
)

GERMAN = Language(
    told_before=_re(
        r"(?:die |der |das |den |dem )?(?:(?:sonografisch|sonographisch|CT-morphologisch|klinisch|extern|anamnestisch)\s+)?(?:in der (?:VU|Voruntersuchung) |zuvor |bereits |schon |vor)"
        rf"(?:vor)?(?:beschrieben|bekannt|bestehend|genannt){_DE_END}\s+(?=[\wÄÖÜäöü])",
        rf"(?<![\w-])(?:(?:gut|lange|seit langem|bereits)\s+)?bekannt{_DE_END}\s+(?=[\wÄÖÜäöü])",
    ),
    compared=_re(
        rf"(?:im (?:direkten |zeitlichen )?Vergleich|verglichen|vergleichend|im Verlauf)\s+(?:zu|mit|zur|zum)\s*{_DE_STUDY}{_DE_WHEN}",
        rf"im (?:direkten )?Vergleich (?:zu|mit|zum)\s+(?:[a-zäöü]+\s+)?{DATE}",
        rf"gegenüber\s+(?:{_DE_STUDY}{_DE_WHEN}|(?:dem\s+)?{DATE})",
        rf"(?<![\w-])(?:zur|zum)\s+(?:CT-|MRT?-)?(?:VU|Vor\w+){_DE_WHEN}",
        rf"seit\s+(?:dem\s+)?(?:{DATE}|{_DE_STUDY}{_DE_WHEN})",
        rf"wie (?:bereits |schon )?(?:in {_DE_STUDY}{_DE_WHEN}|vorbeschrieben|vorbekannt|zuvor)",
        r"im (?:zeitlichen |kurzfristigen |weiteren |bisherigen )?(?:Verlauf|Intervall)(?!\s+d(?:er|es)\b)",
        r"im (?:direkten )?Vergleich(?=\s*[,.;)]|\Z)",
    ),
    prior=_re(
        r"(?<![\w-])(?:zuvor|vormals|ehemals|damals|zuletzt|davor|vorher|seinerzeit|noch nicht|bisher|RECIST|"
        r"stabile Erkrankung|Therapieansprechen)(?![\w-])|(?<![\w-])früher\s+(?=\d)",
        r"(?:in|auf) (?:der|den|einer) (?:CT-|MRT?-)?(?:letzten |externen )?(?:VU|Vor\w+)",
        rf"(?<![\w-])VU(?![\w-])|Voruntersuchung|Voraufnahme|(?:am|vom)\s+{DATE}\s+noch",
    ),
    current=_re(
        r"(?<![\w-])(?:aktuell(?:e[rnsm]?)?|jetzt|heute|nun(?:mehr)?|derzeit|gegenwärtig)(?![\w-])",
    ),
    between=re.compile(
        rf"(?:von\s+|vormals\s+|zuvor\s+)?(?:ca\.\s+)?{_NUMBER}\s+auf\s+(?:jetzt\s+|aktuell\s+|nun\s+)?(?:ca\.\s+)?(?P<now>{SIZE})"
        rf"|(?:zuvor|vormals|zuletzt|früher)\s+{SIZE}\s*,?\s*(?:jetzt|aktuell|heute|nun)\s+(?P<now2>{SIZE})",
        _FLAGS,
    ),
    amount=_re(
        rf"um\s+(?:ca\.\s+|etwa\s+)?{_NUMBER}(?:\s?%)?\s+(?={_DE_ADV}(?:{_DE_STEM}|zugenommen|abgenommen|größer|kleiner|gewachsen|"
        r"geschrumpft|verkleinert|vergrößert))",
    ),
    denied=_re(
        rf"(?<![\w-])ohne\s+(?:[a-zäöüß]+\s+){{0,2}}?{_DE_NOUN}(?![\w-])",
        rf"(?<![\w-]){_DE_DENIAL}\s+(?:(?:wesentlich|relevant|signifikant|neu|sicher|sonstig|weiter|erkennbar)e[nr]?\s+)?(?:Verä|Ä)nderung(?:en)?"
        r"\s*(?=[,.;)]|gegenüber|zu[rm]?\s|seit|\Z)",
        rf"(?<![\w-]){_DE_DENIAL}\s+(?:(?:Nachweis|Hinweis|Anhalt|Zeichen)\s+(?:ein\w*\s+|auf\s+(?:ein\w*\s+)?|für\s+(?:ein\w*\s+)?|von\s+)?)?"
        rf"(?:[a-zäöüß]+\s+){{0,3}}?(?:neu(?:e[nrsm]?|\s+\w+e[nrsm]?)(?![\w-])|{_DE_NOUN}(?![\w-])|"
        rf"{_DE_STEM}{_DE_END}(?![\w-]))(?:(?!\s(?:und|sowie)\s(?:kein|ohne))[^,;()])*",
        r"(?<![\w-])neue\w*\s+[^,;]*\bnicht (?:abgrenzbar|nachweisbar|erkennbar|sichtbar)",
    ),
    resolved=re.compile(
        r"(?P<one>ist|hat sich)\s+(?:vollständig|komplett|ganz|weitestgehend|inzwischen|\s)*(?:zurückgebildet|rückgebildet|aufgelöst|"
        r"verschwunden|resorbiert|regredient|abgeheilt)|(?P<many>sind|haben sich)\s+(?:vollständig|komplett|ganz|inzwischen|\s)*"
        r"(?:zurückgebildet|rückgebildet|aufgelöst|verschwunden|resorbiert|regredient|abgeheilt)|(?P<word>nicht mehr)",
        _FLAGS,
    ),
    attribute=_re(
        rf"(?<![\w-]){_DE_ADV}(?:{_DE_STEM}(?:\s+geblieben)?{_DE_END}|neue[rnsm]?)(?:\s*(?:und|sowie|bzw\.|,)\s+(?:{_DE_ADV}{_DE_STEM}{_DE_END}))*(?:,)?\s+"
        r"(?=[\wÄÖÜäöü\d])(?!\S*(?:fraktur|wirbel|implantat|osteosynthese|erkrankung))",
        rf"(?<![\w-])(?:neu|erstmals|erstmalig|neuerdings)\s+(?=(?:abgrenzbar|nachweisbar|erkennbar|sichtbar|diagnostiziert){_DE_END}\s)",
    ),
    predicate=re.compile(
        rf"(?P<np>[^,;:]+?)\s+(?:ist|sind|bleibt|bleiben|erscheint|erscheinen|imponiert|imponieren|hat sich|haben sich|hat|haben|"
        rf"zeigt sich|zeigen sich|stellt sich|stellen sich|zeigt|zeigen|war|waren)\s+(?:{_DE_ADV})?(?:(?:mit|auf|bei)\s+(?:jetzt\s+|aktuell\s+)?(?P<size>(?:ca\.\s+)?{SIZE})\s+)?"
        rf"{_DE_ADV}(?:{_DE_PRED})(?:\s+(?:geworden|geblieben|dar|aufgetreten|abgrenzbar|nachweisbar))?(?:\s+auf\s+(?P<size2>{SIZE}))?"
        r"(?=\s*(?:[,;:.(]|\Z))",
        _FLAGS,
    ),
    nominal=re.compile(
        rf"(?:(?:Es\s+)?(?:zeigt sich|besteht|findet sich|zeigen sich)\s+)?(?:eine?\s+)?{_DE_ADV}(?:\w+e[rs]?\s+)?{_DE_NOUN}\s+"
        rf"(?P<article>der|des|beider|eines|einer)\s+(?P<np>[^,;:]+?)(?:\s+(?:auf|mit)\s+(?:jetzt\s+)?(?P<size>{SIZE}))?"
        r"(?=\s*(?:[,;:.(]|\Z))",
        _FLAGS,
    ),
    adverb=_re(
        r"(?<![\w-])(?:aktuell|jetzt|heute|nun(?:mehr)?|derzeit|zwischenzeitlich|mittlerweile|inzwischen|erneut|weiterhin|"
        r"nach wie vor|unverändert|unveraendert|neuerdings|erstmals|größenkonstant|größenstabil|befundkonstant|idem|"
        r"(?:nach Zahl und Größe |in der Größe |größenmäßig )?(?:deutlich |leicht |etwas )?(?:größenprogredient|größenregredient|progredient|regredient|rückläufig|zunehmend|abnehmend)|"
        r"somit (?:unverändert|größenkonstant)|konstant|stationär|vorbekannt|bekannt|neu)(?![\w-])",
    ),
    sized=_re(rf"(?<![\w-]){_DE_ADV}(?:größer|kleiner|ausgeprägter){_DE_END}\s+(?=[\wÄÖÜäöü\d])"),
    gone=re.compile(r"(?!)(?P<np>)"),
    past=_re(
        r"(?<![\w-])(?:war|waren|bestand|bestanden|zeigten?|maß|maßen|fand|fanden|stellten?|wies|wiesen)(?![\w-])"
    ),
    verb_first=_re(
        r"(?:zeig(?:t|en)|find(?:et|en)|besteh(?:t|en)|ergib(?:t)|ergeben|läss(?:t)|lassen|stell(?:t|en)) sich\b|besteh(?:t|en)\b"
    ),
    filler=_re(
        r"[\W\d_]+|der|die|das|des|dem|den|ein\w*|in|im|am|an|und|mit|von|vom|auf|bei|zu|zur|zum|ist|sind|es|zeigt|zeigen|sich|war|"
        r"befunde?\w*|darstellung|nachweis|bild|aspekt|lage|größe|form|situation|status|links|rechts|linke\w*|rechte\w*|beid\w*|bds|"
        r"re|li|cm|mm|ca|bis|auch|dabei|hier|sonst|übrige\w*|ansonsten|insgesamt|untersuchung\w*|aufnahme\w*|kontrolle|verlauf\w*|"
        r"vergleich\w*|kein\w*|möglich|liegt|liegen|vor|da",
    ),
    left=_re(
        rf"(?<![\w-])(?:{_DE_STEM}(?:{_DE_END})?|(?:größer|kleiner)(?=\s*(?:[,;.)]|\Z|als\b|geworden|\())|zugenommen|abgenommen|gewachsen|zuvor|vormals|VU|Vor(?:untersuchung|aufnahme)\w*|"
        r"im Vergleich|im Verlauf|gegenüber der|neue?[rnsm]?|nicht mehr|noch nicht|erneut|weiterhin|zuletzt|"
        r"damals|vorbeschrieben\w*|vorbekannt\w*|Zunahme|Abnahme|Größenzunahme|Größenabnahme|Progredienz|Regredienz|Progress|"
        r"hinzugekommen\w*|verkleinert|früher\w*|"
        r"ehemal\w*|so ausgeprägt\w*|Remission|Rückbildung|vor(?:be)?stehend\w*)(?![\w-])",
    ),
)

_EN_ADV = (
    r"(?:(?:slightly|mildly|markedly|significantly|substantially|minimally|moderately|grossly|essentially|overall|otherwise|largely|"
    r"relatively|probably|again|now|also|still|clearly|further|interval|interval development of|in the interval|not|not significantly)\s+)*"
)
_EN_STUDY = (
    r"(?:(?:the|a|any|most|recent|outside|immediate)\s+)*(?:(?:prior|previous|last|earlier|old|comparison|preceding|baseline)\b"
    r"(?:\s+(?:CT|MRI?|PET|PET/CT|chest|abdomen|abdominal|radiographs?|x-ray|outside))*"
    r"(?:\s+(?:stud(?:y|ies)|exam(?:ination)?s?|scans?|CT|MRI?|imaging|images?|radiographs?))?|yesterday|"
    rf"(?:CT|MRI?|study|exam(?:ination)?|scan|imaging)\s+(?:of|from|dated|on)\s+{DATE})"
)
_EN_WHEN = rf"(?:\s*\(?(?:of|from|dated|on|performed on|performed)?\s+{DATE}\)?)?"
_EN_ATTRIBUTE = (
    r"(?:unchanged|stable|new(?:ly (?:developed|appeared|seen|visible|diagnosed|detected|identified))?|enlarging|growing|"
    r"(?:increasing|decreasing|worsening|improving|persistent|persisting|progressive|progressing|regressing|resolving|residual stable)"
    r"(?:\s+(?:and|but)\s+(?:increasing|decreasing|worsening|improving|enlarging))?|recurrent stable|"
    r"known|pre-?existing|previously (?:seen|noted|described|known|identified|reported|demonstrated)|formerly seen|redemonstrated)"
)
_EN_BE = (
    r"(?:unchanged|stable|larger|smaller|bigger|new|worse|better|less conspicuous|more conspicuous|redemonstrated|"
    r"(?:increased|decreased)(?= in size)|similar(?= in size|\s*(?:[,;.]|\Z)))"
)
_EN_HAVE = (
    r"(?:been (?:unchanged|stable)|increased|decreased|grown|enlarged|progressed|regressed|worsened|improved|changed|doubled|"
    r"become (?:larger|smaller))"
)
_EN_PRED = rf"(?:is|are|remains?|appears?|was|were)\s+{_EN_ADV}{_EN_BE}(?:\s+and\s+{_EN_BE})?|(?:has|have)\s+{_EN_ADV}{_EN_HAVE}"
_EN_NOUN = (
    r"(?:increase|decrease|growth|enlargement|progression|regression|reduction|improvement|worsening|development|change|"
    r"changes|shrinkage|stability)"
)

ENGLISH = Language(
    told_before=_re(
        r"(?<![\w-])(?:previously|formerly)\s+(?:seen|noted|described|known|identified|reported|demonstrated|visualized)\s+(?=\w)",
        r"(?<![\w-])(?:well[- ])?known\s+(?=\w)|(?<![\w-])pre-?existing\s+(?=\w)",
        r"\s+(?:seen|noted|described)\s+previously(?=\s)|\A(?:partial|complete) response:\s*",
    ),
    compared=_re(
        rf"(?:when |as )?(?:compared|in comparison|relative)\s+(?:to|with)\s+(?:{_EN_STUDY}{_EN_WHEN}|{DATE})",
        rf"(?:since|from|to|than)\s+(?:{_EN_STUDY}{_EN_WHEN}|{DATE})(?!\s*(?:mm|cm|x\b))",
        r"(?:in|over|during) the (?:short )?(?:interval|interim)|than before|as before",
    ),
    prior=_re(
        r"(?<![\w-])(?:previously|formerly|baseline|at that time|in retrospect|stable disease|decreased from|increased from|down from|"
        r"up from)(?![\w-])",
        r"(?<![\w-])(?:prior|previous|earlier|last)\s+(?=(?:CT|MRI?|PET|x-ray|radiograph|stud|exam|scan|imag|series|chest|abdom|\d))",
        rf"(?:study|exam(?:ination)?|CT|MRI?)\s+(?:of|from|dated)\s+{DATE}",
    ),
    current=_re(r"(?<![\w-])(?:now|currently|today|at present|presently|present)(?![\w-])"),
    between=re.compile(
        rf"from\s+{_NUMBER}\s+to\s+(?:now\s+)?(?P<now>{SIZE})|previously\s+{SIZE}\s*,?\s*(?:now|currently)\s+(?P<now2>{SIZE})",
        _FLAGS,
    ),
    amount=_re(
        r"(?:(?<=increased)|(?<=decreased)|(?<=enlarged)|(?<=regressed)|(?<=grown)|(?<=in size))\s+by\s+(?:about\s+|approximately\s+)?"
        rf"{_NUMBER}(?:\s?%)?(?=\s|,|\)|\Z)",
    ),
    denied=_re(
        rf"(?<![\w-])(?:no|without|not)\s+(?:evidence of\s+|any\s+)?(?:(?:new|newly \w+)(?![\w-])|(?:{_EN_ADV})(?:significant\s+|substantial\s+|"
        rf"appreciable\s+|relevant\s+)?(?:interval\s+)?(?:{_EN_NOUN}|changed|grown|larger)(?![\w-])|(?:enlarging|growing|"
        r"progressive|increasing)\s)(?:(?!\sand\s(?:no|without))[^,;()])*",
    ),
    resolved=re.compile(
        r"(?:(?P<one>has)|(?P<many>have))\s+(?:now\s+|completely\s+|fully\s+|entirely\s+|largely\s+)*(?:resolved|cleared|disappeared)"
        r"|(?P<any>no longer any)|(?P<word>no longer)",
        _FLAGS,
    ),
    attribute=_re(
        rf"(?<![\w-])(?:interval\s+|slightly\s+|mildly\s+|markedly\s+)*{_EN_ATTRIBUTE},?\s+(?=[\w\d])(?!(?:by|from|to|in|at|on|and|or|since|as|with|compared|than|multifocal|fracture|massive|hardware)\b)"
    ),
    predicate=re.compile(
        rf"(?P<np>[^,;:]+?)\s+(?:{_EN_PRED})"
        rf"(?:\s+in (?:size|extent|appearance|number|size and appearance))?(?:\s+(?:to|at|and measures|and measuring|measuring)\s+(?P<size>{SIZE}))?"
        r"(?=\s*(?:[,;:.(]|\Z|and (?:now )?measur))",
        _FLAGS,
    ),
    nominal=re.compile(
        rf"(?:(?:there (?:is|has been)|shows?)\s+)?(?:an?\s+)?{_EN_ADV}(?:mild\s+|slight\s+|marked\s+|significant\s+)?{_EN_NOUN}\s+"
        rf"(?:in (?:the )?(?:size|number|extent|amount)\s+)?(?P<article>of|in)\s+(?:the\s+|a\s+|an\s+)?(?P<np>[^,;:]+?)(?:\s+to\s+(?P<size>{SIZE}))?"
        r"(?=\s*(?:[,;:.(]|\Z))",
        _FLAGS,
    ),
    adverb=_re(
        r"(?<![\w-])(?:now|currently|today|at present|presently|again|(?:grossly |essentially |slightly |otherwise |overall )?(?:unchanged|"
        r"stable)|unchanged in size|stable in size|with interval (?:growth|increase|decrease|change)|interval|new|redemonstrated|"
        r"(?:slightly |markedly |mildly )?(?:increased|decreased|progressed|improved|worsened)(?: in size)?(?=\s*(?:[,;.)]|\Z)))(?![\w-])",
    ),
    sized=_re(r"(?<![\w-])(?:slightly\s+|markedly\s+)?(?:larger|smaller)\s+(?=\w)(?!than)"),
    gone=re.compile(
        r"(?:there (?:is|has been)\s+)?(?:interval |complete |near-complete )*resolution of (?:the |a )?(?P<np>[^,;:]+)",
        _FLAGS,
    ),
    past=_re(r"(?<![\w-])(?:measured|was|were|showed|demonstrated|had)(?![\w-])"),
    verb_first=_re(r"(?:is|are|has|have|there)\b(?!\s+(?:is|are))"),
    filler=_re(
        r"[\W\d_]+|the|an?|of|in|on|at|to|is|are|was|has|have|been|there|and|with|for|by|it|this|these|findings?|appearance|size|left|"
        r"right|bilateral|both|mm|cm|also|seen|noted|again|otherwise|study|examination|exam|scan|images?|comparison|disease|extent",
    ),
    left=_re(
        r"(?<![\w-])(?:unchanged|stable|new|newly|larger|smaller|previously|prior|previous|interval|again|no longer|compared|formerly|"
        r"has (?:increased|decreased|grown|enlarged|progressed|worsened|improved|changed)|have (?:increased|decreased|grown|enlarged|"
        r"progressed|worsened|improved|changed)|since|increasing|decreasing|enlarging|worsening|improving|progressive|"
        r"(?:increased|decreased) in size|than before|as before|redemonstrated|persistent|baseline|resolution|response|has passed)(?![\w-])",
    ),
)
WORDS: dict[str, Language] = {"de": GERMAN, "en": ENGLISH}
