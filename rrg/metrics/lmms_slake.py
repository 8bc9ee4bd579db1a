"""Answers as lmms-eval scores SLAKE: EvolvingLMMs-Lab/lmms-eval 75571cf, tasks/slake/utils.py. No German."""

import re
import string

from rrg.formats.items import Item
from rrg.metrics.answers import answer_type
from rrg.metrics.table import Scored

CJK_MARKS = "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～、，。；：《》？【】（）"
_BLANKS = str.maketrans(dict.fromkeys(string.punctuation + CJK_MARKS, " "))
_BRACKETS = re.compile(r"\([^)]*\)|（[^）]*）")
YES = frozenset({"yes", "yeah", "yep", "true", "是", "是的", "有", "包含", "可以", "能", "会", "正常"})
NO = frozenset(
    {"no", "nope", "false", "否", "不是", "没有", "无", "不包含", "不能", "不会", "不可以", "不正常", "异常"}
)
NO_GERMAN = "German yes and no are not known: 'ja' is not 'yes'"
BRACKETS = "text in brackets is dropped on both sides: '(left) lung' equals 'lung'"


def normalise(text: str) -> str:
    """The form that is compared; a whole answer that means yes, no or x-ray becomes one word."""
    bare = " ".join(_BRACKETS.sub(" ", text.strip().lower()).translate(_BLANKS).split())
    if bare in ("x ray", "xray"):
        return "xray"
    return "yes" if bare in YES else "no" if bare in NO else bare


def score(item: Item) -> Scored:
    """Equality, open and closed alike."""
    kind = answer_type(item)
    prediction, reference = normalise(item.text), normalise(item.reference.value)
    hit = float(prediction == reference and not item.missing)
    return Scored(
        answer_type=kind,
        unparsed=not item.missing and not prediction,
        scores={f"{kind}.accuracy": hit, "all.accuracy": hit},
        prediction_norm=None if item.missing else prediction,
        reference_norm=reference,
    )
