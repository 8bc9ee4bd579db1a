"""The patterns of slice references that have a word for the series or the image."""

import re

from rrg.reports.references_words import (
    CLEAR_IMAGE,
    IMAGE,
    LIST,
    LISTED,
    NAMED_LIST,
    NO,
    NUM,
    ORDINAL_AHEAD,
    PLANE,
    PLANE_BEHIND,
    QUALIFIED,
    SEP,
    SERIES,
    TO,
    WHEN,
)

SERIES_IMAGE = re.compile(
    rf"(?<![\w.])(?P<series_word>{SERIES}){NO}(?P<series>\d{{1,6}})(?!\d)(?![.,]\d)(?P<when>{WHEN})"
    rf"\s*(?:[,;:/(\-–|]|:\s*)?\s*(?:(?:at|on|auf|an)\s+)?{PLANE}(?P<image_word>{IMAGE}){NO}(?P<images>{LISTED}){ORDINAL_AHEAD}",
    re.IGNORECASE,
)
IMAGE_SERIES = re.compile(
    rf"(?<![\w.])(?P<image_word>{IMAGE}){NO}(?P<images>{NAMED_LIST})(?:\s+(?:von|of)\s+\d{{2,4}}(?![\d.]))?"
    rf"{PLANE_BEHIND}\s*[,;:/(\-–]?\s*"
    rf"(?:(?:of|in|der|in der|von|aus|aus der|on|auf|from|auf der)\s+(?:(?:the|der)\s+)?{QUALIFIED})?{PLANE}"
    rf"(?:(?:[a-z][\w-]*\s+){{0,3}}(?:series|sequence|images?|reconstructions?|reformats?|scan|phase|stack|acquisition|window)"
    rf"\s*[,(]\s*)?"
    rf"(?P<series_word>{SERIES}){NO}(?P<series>\d{{1,6}})(?!\d)(?![.,]\d)(?P<onwards>\s+(?:and\s+)?(?:on|up)wards?\b)?",
    re.IGNORECASE,
)
COMPACT = re.compile(
    r"(?:(?<![\w.])S|(?<=[(\[])s)\.?\s?:?\s?(?P<series>\d{1,4})\s?[/,;:-]?\s?[BIbi]\.?\s?:?\s?"
    r"(?P<images>\d{1,4}(?:\s?[-–]\s?\d{1,4})?)(?!\w|[.,]\d)"
)
""" "S4 B123", "s3, i45"; small letters right behind a bracket only."""
COMPACT_BACK = re.compile(
    r"(?<![\w.])[BI]\.?\s?:?\s?(?P<images>\d{1,4}(?:\s?[-–]\s?\d{1,4})?)\s?[/,;-]?\s?S\.?\s?:?\s?(?P<series>\d{1,4})"
    r"(?!\w|[.,]\d)"
)
NUMBER_IMAGE = re.compile(
    rf"(?<=[(\[])\s*(?P<series>\d{{1,4}})\s*[,;:/]?\s*(?P<image_word>{IMAGE}){NO}(?P<images>{LIST})(?=\s*[)\],;])",
    re.IGNORECASE,
)
""" "(3, im 45)"."""
SERIES_LETTER = re.compile(
    rf"(?<=[(\[])\s*S\.?\s?(?P<series>\d{{1,4}})\s?[/:]\s?(?P<images>(?=\d\d){LIST})(?=\s*[)\],;])"
)
""" "(S3/45)"; "(S1/2)" is a level of the sacrum."""
SEEN_ON = re.compile(
    r"\b(?:seen|shown|marked|annotated|demonstrated|visuali[sz]ed|appreciated|see|siehe|vgl\.)\s+(?:best\s+)?(?:on\s+|auf\s+)?"
    rf"(?P<whole>(?P<series>\d{{1,3}})(?P<sep>[:/])(?P<images>\d{{1,4}}(?:{TO}\d{{1,4}})?))(?![\w/:]|[.,]\d|\s*(?:[ap]\.?m\b|Uhr))",
    re.IGNORECASE,
)
""" "best seen on 3:45": numbers alone need a word that points."""
FURTHER_IMAGE = re.compile(
    rf"\s*(?:,?\s*(?:and|und|sowie|&|u\.)|[,;])\s*(?:(?:on|auf|in)\s+)?(?P<images>{NUM}(?:{SEP}{NUM}|{TO}{NUM})*)\s*\("
    rf"\s*(?P<series_word>{SERIES}){NO}(?P<series>\d{{1,6}})\s*\)",
    re.IGNORECASE,
)
""" "images 45 (series 3) and 12 (series 4)": what the first image word is said for, too."""
FURTHER_SERIES = re.compile(
    rf"\s*\)?\s*(?:,?\s*(?:and|und|sowie|&|u\.)|[,;])\s*(?:(?:on|auf|in)\s+)?(?P<series>\d{{1,6}})\s*\("
    rf"\s*(?P<image_word>{IMAGE}){NO}(?P<images>{LIST})\s*\)",
    re.IGNORECASE,
)
""" "series 3 (image 45) and 4 (image 12)"."""
SERIES_LIST = re.compile(
    rf"(?<![\w.])(?P<series_word>Serie|Ser\.?|Se\.?|series)(?:{NO}(?P<series>\d{{1,4}}){PLANE_BEHIND}\s*:\s*"
    rf"(?P<images>{LIST})(?=\s*(?:[)\];]|[.,](?!\d)|\Z))|{NO}(?P<series2>\d{{1,4}})\s?/\s?(?P<images2>{NUM})"
    rf"(?=\s*(?:[)\];]|[.,](?!\d)|\Z))|{NO}(?P<series3>\d{{1,4}}){PLANE_BEHIND}\s*[,/]?\s*(?:#|(?:Nr|No)\.?)\s*(?P<images3>{LIST}))",
    re.IGNORECASE,
)
""" "series 4: 12, 15, 18", "series 3/45": the second number is of images."""
BOTH_NAMED = re.compile(
    rf"(?<![\w.])(?:(?:series|ser\.?|se\.?|Serie)\s?[/:,-]\s?)?(?P<image_word>images?|imgs?\.?|im\.?|Bild|slices?)"
    rf"(?:\s*[:=]\s*|\s+)(?P<series>\d{{1,4}})(?P<colon>\s?:\s?|\s?/\s?)(?P<images>{LIST})",
    re.IGNORECASE,
)
""" "image 3:45", "series/image 3/45"."""
IM = re.compile(
    rf"(?:(?<=\bon )|(?<=\bauf )|(?<=\bsee )|(?<=\bat )|(?<=\bof )|(?<=, ))(?P<image_word>im)\.?\s?(?P<images>{LIST})"
    r"(?=\s*(?:[)\],;:]|\.\s*\Z|\.\s+[A-Z]|\Z))",
    re.IGNORECASE,
)
""" "on im 71/120"."""
IMAGE_ONLY = re.compile(
    rf"(?<![\w.])(?P<image_word>{CLEAR_IMAGE}){NO}(?P<images>{LISTED}){ORDINAL_AHEAD}", re.IGNORECASE
)
IMAGE_BRACKET = re.compile(
    rf"(?<=[(\[])\s*(?:(?:s\.|siehe|see|vgl\.|cf\.?|z\.\s?B\.|e\.g\.,?|exemplarisch)\s*)?"
    rf"(?P<image_word>{IMAGE}){NO}(?P<images>{LIST})(?=\s*[)\],;])",
    re.IGNORECASE,
)
SERIES_ONLY = re.compile(
    rf"(?<![\w.])(?:Serien?[- ]?(?:nr\.?)?|series|Ser\.?|Se\.?){NO}(?P<series>\d{{1,6}})(?!\d)(?![.,]\d)"
    r"(?!\s*(?:mm|cm|Aufnahmen|Bilder|images))",
    re.IGNORECASE,
)
