"""Numbers of people and cases, telephones, e-mail, web addresses: by their label, or by their shape."""

import re
from collections.abc import Iterator

from rrg.reports.phi_spans import Spot

_NUMBER_OF = (
    r"(?:Fall|Patient(?:en|in)?|Pat\.?|Aufnahme|Auftrags?|Untersuchungs?|Anforderungs?|Versicherten|Versicherungs?|"
    r"Mitglieds?|Kranken(?:versicherten|versicherungs|kassen|akten)|Akten|Beleg|Befund|Journal|Histologie|Histo|"
    r"Protokoll|Rechnungs?|Eingangs|Proben|Barcode|Zimmer|Vorgangs?|Ausweis|Personal|Arzt|Betriebsstätten|Konto|Steuer|"
    r"Sozialversicherungs|SV|KV|RV|Accession|Acc\.?|Medical[ ][Rr]ecord|Case|Visit|Encounter|Order|Exam|Study|"
    r"Insurance|Policy|Member|Account|Social[ ]Security|NHS|Hospital|Chart|Requisition|Room|Specimen|Patient)"
)
_LABEL = (
    rf"(?:{_NUMBER_OF}\s?-?\s?(?:Nr\.?|Nrn\.?|Nummer|nummer|nr\.?|NR\.?|No\.?|no\.?|Number|number|ID|Id|#|"
    rf"Kennung|Kürzel)"
    r"|Fall-?ID|Patient(?:en)?-?ID|Pat\.?-?ID|PatID|PID|PIZ|MRN|MPI|SSN|IK|LANR|BSNR|KVNR|KV-Nr\.?|ISSN|IBAN|AHV|"
    r"Accession|Acc\.?\s?(?:\#|No\.?|Nr\.?)|Aktenzeichen|Az\.|FallNr\.?|Unser Zeichen|Ihr Zeichen|UID)"
)
_VALUE = r"(?P<value>(?:[A-Za-z]{1,6}[-/ ]?)?\d[\dA-Za-z]*(?:[-/._ ](?=[\dA-Z]*\d)[\dA-Z]+){0,6})"
_LABELLED = re.compile(rf"(?<!\w){_LABEL}\s{{0,3}}[:=.#]?\s{{0,3}}{_VALUE}")
_ID_WORD = re.compile(
    r"(?<![\w-])(?:ID|Id|Nr\.|"
    r"Kennung)\s?[:=#]\s{0,3}(?P<value>[A-Za-z]{0,6}[-/]?\d[\dA-Za-z]*(?:[-/._][\dA-Za-z]+){0,6})"
)
_SHAPES = re.compile(
    r"(?<![\w.,])[0-2](?:\.\d{1,30}){5,14}(?![\w])"  # DICOM UID
    r"|(?<![\w-])[A-Z]\d{9}(?!\w)"  # German health insurance number
    r"|(?<![\w-])(?:DE|AT|CH)\d{2}(?:[ ]?\d{4}){3,5}(?:[ ]?\d{1,2})?(?!\w)"  # IBAN
    r"|(?<![\w.,/-])\d{2}[ ]?\d{6}[ ]?[A-Z][ ]?\d{3}(?!\w)"  # German pension insurance number
    r"|(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w-])"  # US social security number
    r"|(?<![\w.,-])[A-Z]{1,3}[ -]?\d{4,8}[/-]\d{2,4}(?![\w])"  # histology and journal numbers
    r"|(?<![\w.,-])[A-Z]{1,4}-?\d{6,14}(?!\w)"
    r"|(?<![\w.,/-])\d{7,20}(?![\w]|[.,]\d)(?!\s?(?:mm|ml|/|µ|Zellen|cells))"
)
_DIGITS = r"\+?\(?\d[\d\s()/–-]{1,24}\d"
_PHONE_LABEL = re.compile(
    r"(?<![\w-])(?:Tele?fon|Telefax|Tel|TEL|Fax|FAX|Fon|Mobiltelefon|Mobil|Handy|Phone|phone|Telephone|Cell|"
    r"Durchwahl|Pager|"
    r"Piepser|Beeper|Bleep|Rufnummer|Ruf|Hotline|Info|Sekretariat|Ambulanz|Anmeldung|Zentrale|Call back|Rückruf)"
    r"(?:-?\s?(?:Nr\.?|Nummer|number|No\.?))?\s{0,2}[.:]{0,2}\s{0,4}"
    rf"(?P<value>{_DIGITS}(?:\s{{0,2}}(?:o\.|oder|or|u\.|und|,|/|-|ext\.?|DW)\s{{0,2}}\d[\d\s/-]{{1,14}}\d){{0,4}})"
)
_WEAK_PHONE = frozenset(("Info", "Sekretariat", "Ambulanz", "Anmeldung", "Zentrale", "Ruf", "Cell"))
_PHONE = re.compile(
    r"(?<![\w.,/+-])(?:(?:\+|00)\d{2}[ /-]?\(?\d[\d ()/–-]{5,18}\d|\(0\d{1,5}\)[ /-]{0,3}\d[\d /–-]{2,14}\d"
    r"|0\d{2,5}[ ]?[/-][ ]?\d[\d –-]{2,14}\d|0\d{2,4}[ ]\d{3,}(?:[ –-]\d{1,6}){0,4}|01[5-7]\d[ ]?\d{6,9}"
    r"|\(\d{3}\)[ ]?\d{3}[-. ]\d{4}|\d{3}[-. ]\d{3}[-. ]\d{4})(?![\w]|[.,]\d)"
)
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+(?:\s?\((?:at|AT)\)\s?|\s?\[at\]\s?|@)[\w-]+(?:\.[\w-]+)+")
_WEB = re.compile(
    r"(?:https?://|ftp://|www\.)[^\s<>()\[\]\"]+[^\s<>()\[\]\".,;:!?]"
    r"|(?<![\w.@/-])[a-z0-9][a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:de|com|org|net|eu|at|ch)(?![\w-]|"
    r"\.\w)(?:/[^\s<>()\[\]\",;]*)?"
)


def numbers_of(text: str) -> Iterator[Spot]:
    """Numbers of patients, cases, insurances and documents; with e-mail, web and telephone."""
    for match in _MAIL.finditer(text):
        yield Spot(*match.span(), "email.address")
    for match in _WEB.finditer(text):
        yield Spot(*match.span(), "url.address")
    for match in _LABELLED.finditer(text):
        yield Spot(*match.span("value"), "id.labelled")
    for match in _ID_WORD.finditer(text):
        if sum(letter.isdigit() for letter in match["value"]) > 3:
            yield Spot(*match.span("value"), "id.labelled")
    for match in _SHAPES.finditer(text):
        yield Spot(*match.span(), "id.shape")
    for match in _PHONE_LABEL.finditer(text):
        digits = sum(letter.isdigit() for letter in match["value"])
        weak = match.group().split(":")[0].split(" ")[0].rstrip(".") in _WEAK_PHONE
        if digits >= (6 if weak else 3):
            yield Spot(*_one_line(text, *match.span("value")), "phone.labelled")
    for match in _PHONE.finditer(text):
        yield Spot(*match.span(), "phone.shape")


def _one_line(text: str, start: int, end: int) -> tuple[int, int]:
    """A number does not go on in the next line."""
    cut = text.find("\n", start, end)
    return start, (end if cut < 0 else start + len(text[start:cut].rstrip()))
