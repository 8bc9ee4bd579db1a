"""A question about another part of the body than the examination shows: a plain answer in place of a guess.

Both sides must be known: the question must name structures, all of them elsewhere, and the header must name the part.
"""

import functools
import re
from collections.abc import Mapping

from rrg.records import Lang
from rrg.reports.parse import parse

REGIONS: Mapping[str, frozenset[str]] = {
    part: frozenset(regions.split())
    for part, regions in {
        "HEAD": "head", "BRAIN": "head", "SKULL": "head", "NECK": "neck", "HEADNECK": "head neck", "CSPINE": "neck",
        "CHEST": "chest", "LUNG": "chest", "HEART": "chest", "NECKCHEST": "neck chest", "ABDOMEN": "abdomen",
        "LIVER": "abdomen", "KIDNEY": "abdomen", "PELVIS": "pelvis", "PROSTATE": "pelvis", "BLADDER": "pelvis",
        "ABDOMENPELVIS": "abdomen pelvis", "CHESTABDOMEN": "chest abdomen", "CHESTABDPELVIS": "chest abdomen pelvis",
        "KNEE": "leg", "ANKLE": "leg", "FOOT": "leg", "SHOULDER": "arm", "ELBOW": "arm", "WRIST": "arm", "HAND": "arm",
    }.items()
}  # fmt: skip
"""Body Part Examined -> regions that an examination of it may show, neighbours aside."""
NEIGHBOURS: Mapping[str, frozenset[str]] = {
    "head": frozenset({"neck"}), "neck": frozenset({"head", "chest", "arm"}),
    "chest": frozenset({"neck", "abdomen", "arm"}), "abdomen": frozenset({"chest", "pelvis"}),
    "pelvis": frozenset({"abdomen", "leg"}), "leg": frozenset({"pelvis"}), "arm": frozenset({"chest", "neck"}),
}  # fmt: skip
"""What the edge of an examination shows as well."""
_PLACES: tuple[tuple[str, str], ...] = (
    (r"brain|skull|face|eye|sinus|mandible", "head"),
    (r"thyroid|trachea|carotid|larynx|vertebrae_C", "neck"),
    (r"lung|heart|atri|ventricle_heart|pulmonary|brachiocephalic|sternum|costal|rib_|vertebrae_T|esophagus", "chest"),
    (
        r"liver|spleen|kidney|gallbladder|stomach|pancreas|adrenal|duodenum|small_bowel|colon|portal|vertebrae_L",
        "abdomen",
    ),
    (r"bladder|prostate|hip|sacrum|iliac|uterus", "pelvis"),
    (r"femur|tibia|fibula|patella|foot", "leg"),
    (r"humerus|scapula|clavicula|ulna|radius|hand", "arm"),
)
_WORDS: tuple[tuple[str, str], ...] = (
    (r"\b(?:gehirn|hirn|brain|schädel|skull|auge|eye)\w*", "head"),
    (r"\b(?:knie|knee|meniskus|meniscus|sprunggelenk|ankle|fuß|foot)\w*", "leg"),
    (r"\b(?:handgelenk|wrist|ellenbogen|elbow|hand|finger)\w*", "arm"),
)
"""Places that the label table has no structure for."""
SAYS: Mapping[Lang, str] = {
    "de": "Diese Untersuchung zeigt {} (laut DICOM-Kopf); die Frage betrifft eine andere Körperregion.",
    "en": "This examination shows {} (by its DICOM header); the question is about another part of the body.",
}
NAMES: Mapping[str, tuple[str, str]] = {
    "head": ("den Kopf", "the head"), "neck": ("den Hals", "the neck"), "chest": ("den Brustkorb", "the chest"),
    "abdomen": ("den Bauch", "the abdomen"), "pelvis": ("das Becken", "the pelvis"), "leg": ("das Bein", "the leg"),
    "arm": ("den Arm", "the arm"),
}  # fmt: skip
"""Region -> (German, English), as the object of a verb."""


@functools.lru_cache(256)
def out_of_scope(question: str, body_part: str | None, lang: Lang) -> str | None:
    """The plain answer to a question about another part of the body; None where nothing speaks against asking."""
    shown = REGIONS.get(body_part or "")
    asked = regions_of(question, lang)
    if shown is None or not asked:
        return None
    reach = shown | {near for region in shown for near in NEIGHBOURS[region]}
    if asked & reach:
        return None
    told = [NAMES[region][lang == "en"] for region in NAMES if region in shown]
    return SAYS[lang].format((" und " if lang == "de" else " and ").join(told))


def regions_of(question: str, lang: Lang) -> frozenset[str]:
    """Regions of the body that a question speaks of."""
    found = {region for words, region in _WORDS if re.search(words, question, re.IGNORECASE)}
    for each in parse(question, lang).anatomy:
        for label in each.classes:
            found |= {region for words, region in _PLACES if re.search(words, label)}
    return frozenset(found)
