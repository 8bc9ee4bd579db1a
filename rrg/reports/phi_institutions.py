"""Institutions with a name of their own. "Klinik für Neurochirurgie" alone names none and stays."""

import re
from collections.abc import Iterator

from rrg.reports.phi_places import is_town
from rrg.reports.phi_spans import Spot
from rrg.reports.phi_words import is_given, is_word, seems_word
from rrg.reports.words import fold, word_set

_CAP = r"[A-ZÄÖÜÉ][\w'’ßäöü-]{0,40}"
_HOUSE_WORD = (
    r"(?:Universit(?:ä|ae)ts(?:klinikum|klinik|kliniken|medizin|spital|krankenhaus)|"
    r"Uni(?:versitäts)?-?[Kk]lini(?:k|kum)|"
    r"Univ\.-?\s?Klinik(?:um)?|Klinikum|Kliniken|Klinikverbund|Kreisklinik(?:um)?|Kreiskrankenhaus|Stadtkrankenhaus|"
    r"Bezirkskrankenhaus|Landeskrankenhaus|Bundeswehr(?:zentral)?krankenhaus|Städtisches Klinikum|Krankenhaus|Hospital|"
    r"Spital|Kantonsspital|Fachklinik|Rehaklinik|Reha-Klinik|Rehazentrum|Medizinisches Versorgungszentrum|MVZ|"
    r"Klinik|Praxisklinik|Gemeinschaftspraxis|Praxis|Radiologiezentrum|Diagnostikzentrum|Röntgeninstitut|Institut|"
    r"Seniorenheim|Pflegeheim|Altenheim|Seniorenresidenz|Hospiz|Apotheke|Sanatorium|Ordination|"
    r"Medizinische[nr]? Hochschule|"
    r"(?:[A-ZÄÖÜ][a-zäöüß]{1,40}-){0,3}Universität|University Hospital|Medical Center|Klinikgruppe|AKH|LKH|UK|"
    r"Zentralklinikum|Herzzentrum)"
)
_UPPER_HOUSE = r"(?:UNIVERSITÄTSKLINIKUM|UNIVERSITÄTSKLINIK|UNIVERSITÄTSMEDIZIN|KLINIKUM|KRANKENHAUS|KLINIKEN)"
_WEAK = frozenset(
    ("klinik", "praxis", "institut", "hospital", "spital", "uk", "krankenhaus", "ordination", "universitaet")
)
_LINK = r"(?:der|des|am|an der|in|im|von|vom|zu|zum|zur|den|Bad|St\.|Sankt|&|-|–|„|\"|of|at|the)"
_HOUSE_NAME = re.compile(
    rf"(?<![\w-])(?P<house>{_HOUSE_WORD}|{_UPPER_HOUSE})(?:[ ]{{1,2}}GmbH)?"
    rf"(?P<name>(?:[ ]{{1,2}}{_LINK})*[ ]{{0,2}}(?<=[ „\"-]){_CAP}(?:(?:[ ]{_LINK})*[ ]{_CAP}){{0,3}}[“\"]?)"
)
_COMPOUND = re.compile(
    rf"(?<![\w-])(?P<stem>(?:St\.|Sankt|Sankt-|St\.-)?[ ]?[A-ZÄÖÜ][\wäöüß.-]{{2,40}}?)[- ]?"
    rf"(?P<house>[Kk]linik(?:um|en)?|[Kk]rankenhaus(?:es)?|[Ss]pital|[Hh]ospital|[Hh]ospiz|[Ss]tift|"
    rf"[Kk]linikums)(?![\wäöü])"
    rf"(?P<name>[ ]{_CAP})?"
)
_GENERIC = word_set(
    """universitaets uni lehr kreis stadt bezirks landes bundeswehr fach reha rehabilitations haut augen frauen
    kinder tages poli nerven medizinische medizinischen chirurgische chirurgischen neurologische neurologischen
    unfall akut heimat privat plan beleg tier zahn schmerz praxis nachsorge lungen herz rheuma kurklinik kur
    kantons allgemeine allgemeinen unsere unserer unserem ihre ihrer ihrem die der das dem den im in aus eine
    einer einem regional zentral innere deutsches staedtisches psychiatrische psychiatrischen geriatrische
    geriatrischen universitaetsklinikum strahlen orthopaedische orthopaedischen radiologische radiologischen
    neurologischer universitaetskinder universitaetsfrauen universitaetshaut universitaetsaugen hno onkologische
    onkologischen urologische urologischen pneumologische kardiologische dermatologische andere anderen externe
    externen auswaertige auswaertigen hiesige hiesigen wartezimmer the a this that our your general local
    outside other referring teaching community regional university memory chirurgie radiologie
    kieferorthopaedische gynaekologische feuer pfann blei filz gast bundes rektum ambulanz notaufnahme
    schlaganfall unfallchirurgische neurochirurgische herzchirurgische mund zahnaerztliche"""
)
_BRANDS = re.compile(
    r"(?<!\w)(?:(?:Asklepios|Helios|HELIOS|Sana|Ameos|AMEOS|Vivantes|Alexianer|Mediclin|MediClin|Paracelsus|Agaplesion|"
    rf"Schön|Rhön|Diakonie|Diakonissen|Caritas|Malteser|Johanniter)(?:[ -](?:[Kk]lini(?:k|kum|ken)|[Kk]rankenhaus))"
    rf"(?:[ ]{_CAP}){{0,2}}|Charit[ée](?:[ ](?:Berlin|Campus[ ]{_CAP}(?:[ ]{_CAP})?))?|UKSH|UKE(?=[ ,.;)\n])"
    rf"|[A-Z][\w'’&-]{1, 40}(?:[ ][A-Z][\w'’&-]{1, 40}){{0,3}}[ ](?:University|Memorial|General|Regional|"
    rf"Community|Children['’]s)"
    r"(?:[ ](?:Medical Center|Medical Centre|Hospitals?|Clinic))"
    r"|(?:St\.?|Saint)[ ][A-Z][a-z]{1,40}(?:['’]s)?(?:[ ](?:University|General|Memorial))?[ ](?:Hospital|"
    r"Medical Center|Clinic)"
    r"|(?:[A-Z][\w'’-]{1,40}[ ]){1,3}(?:Medical Cent(?:er|re)|Hospital|Health System|Imaging Cent(?:er|re)|"
    r"Cancer Cent(?:er|re)|"
    r"Infirmary|Clinic)(?!\w)|University[ ]of[ ][A-Z]\w{1,40}(?:[ ](?:Medical Center|Hospitals?|Health))?"
    rf"|(?:Radiologische|Orthopädische|Chirurgische|Internistische|Urologische|Neurologische|Hausärztliche|"
    rf"Kardiologische)"
    rf"[ ](?:Gemeinschaftspraxis|Praxis|Privatpraxis|Klinik|Ambulanz)(?:[ ](?:am|in|im|an der))?[ ](?P<named>{_CAP})"
    r"|LMU(?:[ -]Klinikum)?|MHH(?!\w)|TUM(?=[ ,.;)\n])|MRI TUM)"
)


def institutions_of(text: str) -> Iterator[Spot]:
    """Hospitals, practices, homes and universities by their names."""
    for match in _BRANDS.finditer(text):
        words = re.findall(r"[^\W\d_]+", match["named"] or "x")
        first = fold(re.findall(r"[^\W\d_]+", match.group())[0])
        if match["named"] and (seems_word(words[0]) and not is_town(words[0])):
            continue
        if match["named"] is None and first in _GENERIC and len(match.group().split()) <= 2:
            continue
        yield Spot(*match.span(), "institution.known")
    for match in _HOUSE_NAME.finditer(text):
        if (end := _named_until(match)) > match.end("house"):
            yield Spot(match.start(), end, "institution.named")
    for match in _COMPOUND.finditer(text):
        stem = fold(match["stem"].strip(" -."))
        parts = [part for part in re.split(r"[ .-]+", stem) if part]
        if match["stem"].endswith(".") or not stem:
            continue
        town = bool(match["name"]) and is_town(match["name"].strip())
        if not town and (not parts or all(part in _GENERIC or part in ("st", "sankt") for part in parts)):
            continue
        if "st" not in parts and "sankt" not in parts and not town and _plain(parts[-1]):
            continue
        end = match.end("house")
        if match["name"] and not seems_word(match["name"].strip()):
            end = match.end("name")
        yield Spot(match.start("stem") + len(match["stem"]) - len(match["stem"].lstrip()), end, "institution.compound")


def _plain(stem: str) -> bool:
    """A stem that is a word or a department: "Schmerzklinik", "Rheumaklinik", "Neurologische Klinik"."""
    bare = stem[:-1] if stem.endswith("s") else stem
    if is_given(bare) or is_given(stem):
        return False
    return any(part in _GENERIC or seems_word(part) for part in (stem, bare)) or stem.endswith(("ische", "ischen"))


def _named_until(match: re.Match[str]) -> int:
    """End of the name behind the house, or of the house itself when what follows is no name."""
    house = fold(match["house"])
    end = match.end("house")
    base = match.start("name")
    for word in re.finditer(r"[^\W\d_][\w'’-]*\.?", match["name"]):
        first = re.split(r"[-'’]", word.group())[0]
        if not first[:1].isupper() or first in ("St.", "Sankt", "Bad"):
            continue
        ordinary = is_word(first) if house not in _WEAK else seems_word(first)
        if ordinary and not is_town(word.group()) and not is_given(first):
            linked = base + word.start() > end + 1 and house not in _WEAK and not _department(first)
            if not linked or end > match.end("house"):
                break
        end = base + word.end()
    return end


def _department(word: str) -> bool:
    return bool(re.search(r"(?:ie|ik|medizin|kunde|schmerz\w*|ung|heilkunde|hilfe)\Z", fold(word)))
