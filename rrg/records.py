"""Every record that flows through rrg. A field is defined here and nowhere else.

Records are frozen and valid: ``__post_init__`` refuses impossible values. ``None`` means not known; an empty tuple
means looked and found none. ``from_`` is written as ``from``. Spans are ``(start, end)`` in code points of
``Report.text``, half-open. Boxes are half-open pixels of the original slice. Patient coordinates are LPS, in mm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Span = tuple[int, int]
"""[start, end) in code points of the stored report text."""
Json = Any
"""Any JSON value."""
Lang = Literal["de", "en"]
Side = Literal["left", "right", "both"]
"""The patient's side."""


Role = Literal["primary", "reformat", "mip", "vrt", "localizer", "bolus", "dynamic", "derived"]
"""``mip``: maximum (or minimum, average) intensity slabs; ``vrt``: rendered surfaces; ``bolus``: bolus tracking;
``dynamic``: one of several phases at the same places (4-D); ``derived``: computed maps and the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a command was told to do. Written first; its id is stamped on every record that the run makes."""

    schema: Literal["rrg.run/1"] = "rrg.run/1"
    id: str
    """Hash of the fields below: the same work has the same id."""
    command: str
    version: str
    """Version of rrg."""
    options: Mapping[str, Json]
    """Options that change results. No paths, workers or shards."""
    seed: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of side inputs that change results (weights, lexicon, key fingerprint), by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The run is complete. A stream whose runs are not all closed is a truncated stream."""

    schema: Literal["rrg.end/1"] = "rrg.end/1"
    run: str
    counts: Mapping[str, int]
    """The funnel of this stage, e.g. ``{"slice": 40, "error.E_CODEC": 1}``."""
    shard: str | None = None
    """``2/4``: the counts are those of one part; None: of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """One input that did not reach the output."""

    schema: Literal["rrg.error/1"] = "rrg.error/1"
    id: str
    run: str = ""
    code: str
    """Stable code, ``E_...``."""
    command: str
    message: str
    """One line: what was wrong, what was seen, what was expected, what to do. No patient data."""
    source: str
    """Identity of the input: a record id, or ``file/<keyed hash of its path>``."""
    study: str | None = None
    patient: str | None = None

    def __post_init__(self) -> None:
        """Refuse unknown shapes of codes."""
        if not self.code.startswith("E_"):
            raise ValueError(f"error code {self.code!r} does not start with E_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Half-open pixel box of the original slice; the origin is the top-left corner of pixel (0, 0)."""

    x0: float
    """First column."""
    y0: float
    """First row."""
    x1: float
    """One past the last column."""
    y1: float
    """One past the last row."""

    def __post_init__(self) -> None:
        """Refuse empty and non-finite boxes."""
        if not (self.x0 < self.x1 and self.y0 < self.y1 and abs(self.x0) + abs(self.y0) + self.x1 + self.y1 < 1e9):
            raise ValueError(f"box ({self.x0}, {self.y0}, {self.x1}, {self.y1}) is empty or not finite")

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """The four numbers (x0, y0, x1, y1)."""
        return self.x0, self.y0, self.x1, self.y1


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One slice of one volume: where its pixels lie, and where it lies in the patient (its passport)."""

    schema: Literal["rrg.slice/1"] = "rrg.slice/1"
    id: str
    """Keyed hash of Series and SOP Instance UID (and frame number)."""
    run: str = ""
    from_: tuple[str, ...] = ()
    patient: str
    """Keyed hash of Patient ID."""
    study: str
    """Keyed hash of Study Instance UID."""
    series: str
    """Keyed hash of Series Instance UID (and stack, where one series holds several)."""
    accession: str | None = None
    """Keyed hash of Accession Number."""
    site: str | None = None
    """Keyed hash of Institution Name."""
    sop_instance: str | None = None
    """Keyed hash of SOP Instance UID (and frame number): what segmentations and contours name; None without one."""
    index: int
    """Zero-based position along the slice normal in the volume, = index of the array."""
    count: int
    """Number of slices of the volume."""
    series_number: int | None = None
    instance_number: int | None = None
    frame: int | None = None
    """One-based frame number in a multi-frame object."""
    frame_of_reference: str | None = None
    """Keyed hash of Frame of Reference UID: equal where patient coordinates mean the same place."""
    acquisition: int | None = None
    """Acquisition Number; None where slices of the volume differ in it."""
    study_day: int | None = None
    """Study date as a day number with a secret shift per patient: only differences mean something."""
    study_year: int | None = None
    """With ``--dates year``."""
    study_date: str | None = None
    """With ``--dates keep``, YYYY-MM-DD."""
    pixels: str
    """Reference ``series/<id>#<index>`` in the store."""
    sha256: str
    """Of the pixel bytes, little-endian, C order."""
    rows: int
    columns: int
    dtype: Literal["int16", "uint16", "float32", "uint8"]
    unit: Literal["HU", "stored", "rgb"]
    """HU for CT, stored values (after rescale) for all else; ``rgb`` (uint8): a picture that is windowed already, grey
    (rows, columns) or coloured (rows, columns, 3)."""
    modality: str
    """DICOM Modality."""
    body_part: str | None = None
    """Body Part Examined, upper case, from a closed list."""
    contrast: bool | None = None
    """Contrast agent given (Contrast/Bolus Agent present)."""
    plane: Literal["axial", "coronal", "sagittal", "oblique"] | None = None
    role: Role = "primary"
    """What the volume is for (rrg.roles)."""
    time_index: int | None = None
    """Zero-based phase of a ``dynamic`` (4-D) series."""
    thickness_mm: float | None = None
    """Slice Thickness."""
    kernel: Literal["soft", "lung", "bone", "brain"] | None = None
    """Class of the CT convolution kernel."""
    contrast_phase: Literal["native", "arterial", "portal", "delayed"] | None = None
    sequence: Literal["T1", "T2", "PD", "FLAIR", "STIR", "DWI", "ADC", "SWI", "TOF", "PERFUSION"] | None = None
    """Class of the MR sequence."""
    fat_suppressed: bool | None = None
    scanner: str | None = None
    """Manufacturer, from a closed list."""
    field_strength_t: float | None = None
    """Of an MR scanner, in tesla."""
    sex: Literal["F", "M", "O"] | None = None
    age_band: Literal["0-17", "18-29", "30-39", "40-49", "50-59", "60-69", "70-79", "80+"] | None = None
    """Age at the study, in years."""
    spacing_mm: tuple[float, float] | None = None
    """(between rows, between columns), as Pixel Spacing."""
    slice_spacing_mm: float | None = None
    """Distance of neighbouring slices along the normal; None when uneven or unknown."""
    position_mm: tuple[float, float, float] | None = None
    """Image Position (Patient): centre of pixel (0, 0), LPS."""
    orientation: tuple[float, float, float, float, float, float] | None = None
    """Image Orientation (Patient): direction along a row (of growing column), then along a column (of growing row)."""
    gaps_mm: tuple[float, float] | None = None
    """(smallest, largest) distance of neighbouring slices, where they differ (flag ``gap_mm``)."""
    tilt_degrees: float | None = None
    """Angle between the way from slice to slice and the slice normal, where it is not 0 (flag ``shear``)."""
    padding: float | None = None
    """Value of pixels outside of the scanned area (Pixel Padding Value), as stored in the array."""
    window: tuple[float, float] | None = None
    """(center, width) of the first usable window of the header, in units of the array."""
    window_function: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"] | None = None
    lossy_ratio: float | None = None
    """Lossy Image Compression Ratio; 8.0 means 8:1 (flag ``lossy``)."""
    flags: tuple[str, ...] = ()
    """Doubtful but usable: ``no_mm``, ``no_uid``, ``gap_mm``, ``tilt``, ``shear``, ``resampled``, ``lossy``,
    ``burned_in``, ``charset_raw``, ``sform_qform``, ``monochrome1`` (stored values grow darker; not inverted)."""
    extra: Mapping[str, Json] | None = None

    def __post_init__(self) -> None:
        """Refuse an index outside of the volume and impossible sizes."""
        if not 0 <= self.index < self.count:
            raise ValueError(f"slice index {self.index} is outside of 0..{self.count - 1}")
        if self.rows < 1 or self.columns < 1:
            raise ValueError(f"slice of {self.rows} x {self.columns} pixels")
        if self.spacing_mm is not None and not (self.spacing_mm[0] > 0 and self.spacing_mm[1] > 0):
            raise ValueError(f"Pixel Spacing {self.spacing_mm} is not positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A volume that `extract-slices` found in the headers, and whether its slices were taken."""

    schema: Literal["rrg.series/1"] = "rrg.series/1"
    id: str
    """Keyed hash, as ``Slice.series``."""
    run: str = ""
    patient: str
    study: str
    accession: str | None = None
    series_number: int | None = None
    count: int
    """Slices of the volume, by the headers."""
    rows: int
    columns: int
    modality: str
    role: Role
    plane: Literal["axial", "coronal", "sagittal", "oblique"] | None = None
    body_part: str | None = None
    contrast: bool | None = None
    contrast_phase: str | None = None
    kernel: str | None = None
    sequence: str | None = None
    thickness_mm: float | None = None
    slice_spacing_mm: float | None = None
    taken: bool
    """Its slices were (or, without ``--store``, would be) extracted."""
    reason: str
    """Why, or why not: a rule by its name."""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of a report."""

    kind: Literal[
        "clinical",
        "question",
        "technique",
        "comparison",
        "findings",
        "impression",
        "recommendation",
        "addendum",
        "body",
    ]
    span: Span
    """Of the content, without the heading."""
    heading: Span | None = None
    lang: Lang | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence of a report."""

    span: Span
    section: int
    """Index into ``Report.sections``."""
    lang: Lang
    prior: bool = False
    """Speaks of an earlier study only."""
    disputed: tuple[str, ...] = ()
    """Where a language model and the rules disagree on this sentence, by name of the fact: ``negation``, ``side``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """A mention of a structure: a character range and the classes it means."""

    span: Span
    sentence: int
    classes: tuple[str, ...]
    """Names of ``rrg.anatomy``; several for one phrase such as "beide Lungen"."""
    side: Side | None = None
    negated: bool = False
    """In the scope of a negation ("keine Leberläsion")."""
    prior: bool = False
    """In a clause on an earlier study."""
    absent: bool = False
    """Resected, or not on the images."""
    absent_why: Literal["resected", "not_imaged"] | None = None
    """Of an absent structure, where the text tells."""
    levels: tuple[str, ...] = ()
    """Numbered vertebrae and ribs that the phrase names: ``C1``..``C7``, ``T1``..``T12``, ``L1``..``L5``, ``S1``,
    ``R1``..``R12``. "L4/5" (a disc) has both its neighbours, L4 and L5."""
    rule: str = ""
    """Which rule of the lexicon fired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A size in the text."""

    span: Span
    value_mm: tuple[float, ...]
    """One to three dimensions, in mm, in text order."""
    sentence: int | None = None
    """Index into ``Report.sentences``."""
    prior: bool = False
    """Of an earlier study ("zuvor 9 mm")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding that the text states or denies."""

    span: Span
    sentence: int
    name: str
    """Canonical English name, e.g. ``cyst``."""
    state: Literal["present", "absent"]
    certainty: Literal["certain", "uncertain"] = "certain"
    time: Literal["current", "prior", "history"] = "current"
    change: Literal["new", "unchanged", "larger", "smaller", "resolved"] | None = None
    """Against the earlier study, where the text compares."""
    experiencer: Literal["patient", "other"] = "patient"
    """``other``: someone else has or had it ("Mutter mit Mammakarzinom")."""
    count: int | None = None
    """How many, where the text gives a number ("zwei Zysten")."""
    multiple: bool = False
    """More than one, by a number or a word ("multiple", "mehrere", "several")."""
    side: Side | None = None
    anatomy: tuple[int, ...] = ()
    """Indices into ``Report.anatomy``: where the finding is."""
    measurements: tuple[Measurement, ...] = ()
    rules: tuple[str, ...] = ()
    """Which rules fired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A slice reference in the text, "(Serie 3, Bild 45)", resolved or not."""

    span: Span
    sentence: int
    image_numbers: tuple[int, ...]
    series_number: int | None = None
    """As written or carried over; None when the text names none."""
    prior: bool = False
    """Points at an earlier study: never used for pairing."""
    open_end: bool = False
    """"45ff": more images follow."""
    status: Literal["resolved", "ambiguous", "missing", "prior", "unresolved"] = "unresolved"
    """``unresolved``: no slices were there to look in."""
    slices: tuple[str, ...] = ()
    """Slice ids, in text order."""
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """Another wording of a sentence, with the same numbers, units, sides, negations and levels."""

    sentence: int
    """Index into ``Report.sentences``."""
    kind: Literal["static", "translation"]
    """``static``: without what only an earlier study can show; ``translation``: in the other language."""
    lang: Lang
    text: str
    """Empty: the sentence only compares, so that nothing is left of it."""
    anatomy: tuple[Anatomy, ...] = ()
    """Mentions of structures; their spans refer to `text` of this rewrite."""
    rules: tuple[str, ...] = ()
    """What made it: rules by name, ``given`` (a translation from outside), or ``llm:`` and the model."""

    def __post_init__(self) -> None:
        """Refuse spans outside of the text."""
        for mention in self.anatomy:
            if not 0 <= mention.span[0] < mention.span[1] <= len(self.text):
                raise ValueError(f"span {mention.span} is outside of a text of {len(self.text)} characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report: its stored text and what the text says, each fact with its span."""

    schema: Literal["rrg.report/1"] = "rrg.report/1"
    id: str
    """Keyed hash of the report's own key and of its text."""
    run: str = ""
    from_: tuple[str, ...] = ()
    patient: str | None = None
    study: str | None = None
    """None when no study of the stream belongs to it."""
    text: str
    """Decoded, NFC, PHI masked. Spans refer to this text."""
    lang: Lang
    source_sha256: str
    """Of the report as it was given."""
    sections: tuple[Section, ...] = ()
    sentences: tuple[Sentence, ...] = ()
    anatomy: tuple[Anatomy, ...] = ()
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    """Every size in the text; those of findings stand there too."""
    references: tuple[Reference, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    status: Literal["preliminary", "final", "corrected"] | None = None
    """As the source says (HL7 OBR-25, FHIR status); None where it does not."""
    phi: Mapping[str, int] | None = field(default=None, hash=False)
    """What was masked: rule -> number of places. None: masking was off."""
    engine: str = "rules"
    """``rules``, or ``rules+llm:`` and the model."""
    lexicon: str = ""
    """Version and checksum of the rules."""
    flags: tuple[str, ...] = ()
    """Doubtful but usable: ``several_reports`` (the text may hold more than one)."""
    extra: Mapping[str, Json] | None = None

    def __post_init__(self) -> None:
        """Refuse spans outside of the text and links to nothing."""
        facts: tuple[Anatomy | Finding | Reference, ...] = (*self.anatomy, *self.findings, *self.references)
        parts: tuple[Section | Sentence, ...] = (*self.sections, *self.sentences)
        spans = [part.span for part in parts] + [fact.span for fact in (*facts, *self.measurements)]
        for start, end in spans:
            if not 0 <= start <= end <= len(self.text):
                raise ValueError(f"span ({start}, {end}) is outside of a text of {len(self.text)} characters")
        for number in [fact.sentence for fact in facts] + [each.sentence for each in self.rewrites]:
            if not 0 <= number < len(self.sentences):
                raise ValueError(f"sentence {number} of {len(self.sentences)}")
        for sentence in self.sentences:
            if self.sections and not 0 <= sentence.section < len(self.sections):
                raise ValueError(f"section {sentence.section} of {len(self.sections)}")
        for finding in self.findings:
            for index in finding.anatomy:
                if not 0 <= index < len(self.anatomy):
                    raise ValueError(f"{finding.name}: anatomy {index} of {len(self.anatomy)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskLabel:
    """One structure on one slice."""

    label: str
    """Name of ``rrg.anatomy``."""
    class_id: int
    """Value in the mask array, 1..255."""
    layer: int = 0
    area_px: int
    box: Box
    """Union box of all components."""
    components: tuple[Box, ...] = ()
    """Box of each 8-connected component, largest first."""
    score: float | None = None
    """Trust in the structure's segmentation in this volume, 0..1, from the quality gates; None: not judged."""
    flags: tuple[str, ...] = ()
    """Quality gates that the structure tripped in this volume."""

    def __post_init__(self) -> None:
        """Refuse numbers that no mask has."""
        if not 1 <= self.class_id <= 255 or self.layer < 0 or self.area_px < 1:
            raise ValueError(f"{self.label}: class {self.class_id}, layer {self.layer}, {self.area_px} pixels")
        x0, y0, x1, y1 = self.box.xyxy
        if x0 < 0 or y0 < 0 or self.area_px > (x1 - x0) * (y1 - y0):
            raise ValueError(f"{self.label}: {self.area_px} pixels in the box {self.box.xyxy}")
        for part in self.components:
            if part.x0 < x0 or part.y0 < y0 or part.x1 > x1 or part.y1 > y1:
                raise ValueError(f"{self.label}: component {part.xyxy} is not within its box {self.box.xyxy}")
        if self.score is not None and not 0 <= self.score <= 1:
            raise ValueError(f"{self.label}: score {self.score:g} is not within 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """What an engine segmented on one slice, on that slice's own pixel grid."""

    schema: Literal["rrg.mask/1"] = "rrg.mask/1"
    id: str
    run: str = ""
    from_: tuple[str, ...] = ()
    patient: str
    study: str
    series: str
    slice: str
    """Id of the slice."""
    engine: str
    """``masks``, ``threshold``, ``totalsegmentator:total``, ..."""
    array: str
    """Reference ``masks/<id>#<index>`` to a uint8 array (layers, rows, columns); 0 is none, else class ids."""
    labels: tuple[MaskLabel, ...]
    """Structures on this slice, by class id; empty: the engine looked and found none."""
    looked_for: tuple[str, ...] | None = None
    """Labels the engine can find: one of them missing from ``labels`` is absent, any other is not known."""
    label_map: str
    """Version and checksum of the label table."""
    shared_from: str | None = None
    """Series whose mask was sampled onto this slice through the patient (flag ``shared``)."""
    flags: tuple[str, ...] = ()
    extra: Mapping[str, Json] | None = None

    def __post_init__(self) -> None:
        """Refuse a structure that is there twice: a layer holds each class once."""
        places = {(label.class_id, label.layer) for label in self.labels}
        if len(places) < len(self.labels):
            raise ValueError(f"{len(self.labels)} labels, but {len(places)} classes and layers; each is there once")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRef:
    """An image of a sample."""

    id: str
    """Within the sample: ``i0``, ``i1``, ..."""
    ref: str
    """``series/<id>#<index>`` in the store, or the path of a picture inside the data set."""
    role: Literal["current", "prior", "view", "frame"] = "current"
    slice: str | None = None
    rows: int
    columns: int
    modality: str | None = None
    unit: Literal["HU", "stored", "rgb"] = "stored"
    spacing_mm: tuple[float, float] | None = None
    padding: float | None = None
    """Value of pixels outside of the scanned area."""
    inverted: bool | None = None
    """High values are dark (MONOCHROME1)."""
    preset: str | None = None
    """CT window (a name of rrg.windows) that this picture is shown in, whatever the model's own."""
    days_before: int | None = None
    """For priors: days between this image and the current one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a turn: text with mention placeholders, or an image."""

    type: Literal["text", "image"]
    text: str | None = None
    """``{m0}`` stands for mention m0; ``{{`` and ``}}`` are literal braces."""
    ref: str | None = None
    """Id of an image of the sample."""

    def __post_init__(self) -> None:
        """A text part has text, an image part has a ref."""
        if (self.type == "text") != (self.text is not None) or (self.type == "image") != (self.ref is not None):
            raise ValueError("a text part has text only, an image part has ref only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: tuple[Part, ...]
    loss: bool = False
    """Train on this turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What a phrase means on an image."""

    label: str
    class_id: int | None = None
    image: str = "i0"
    boxes: tuple[Box, ...]
    """Usually one union box; empty: asked for and not there."""
    mask: str | None = None
    """Reference into the store."""
    origin: Literal["report+seg", "seg", "manual", "model"]
    score: float | None = None
    """Trust in the region, 0..1: that of the mask behind it, or a model's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSource:
    """Where a phrase comes from."""

    report: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A phrase and the regions it means. ``{id}`` in a text part stands for it."""

    id: str
    """``m0``, ``m1``, ..."""
    phrase: str
    source: TextSource | None = None
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A measured value."""

    name: str
    value: tuple[float, ...]
    unit: str
    mention: str | None = None
    tolerance: float | None = None
    """A measured answer may differ by so much, in `unit`, and is right; None: not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What models learn from and are scored on."""

    schema: Literal["rrg.sample/1"] = "rrg.sample/1"
    id: str
    """A hash of its content, where a command of ours made it: what is the same twice has the same id. Empty until it is
    written (rrg.pipe)."""
    run: str = ""
    from_: tuple[str, ...] = ()
    patient: str
    study: str
    images: tuple[ImageRef, ...]
    turns: tuple[Turn, ...]
    mentions: tuple[Mention, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    """``clinical``, ``question``: text that may stand before the task."""
    findings: Mapping[str, Json] = field(default_factory=dict)
    measurements: tuple[Quantity, ...] = ()
    lang: Lang
    task: str
    """``report``, ``grounded-report``, ``vqa``, ``detect``, ``phrase-to-box``, ``box-to-phrase``; in dialogues
    ``findings-list``, ``is-there``, ``correction``, ``summary``, ``plain-language``, ``impression``, ``region``,
    ``view``."""
    question_type: Literal["open", "closed", "single", "multi"] | None = None
    choices: tuple[str, ...] = ()
    answer: str | None = None
    """The right answer as plain text (no boxes), for scoring."""
    needs_image: bool | None = None
    """The question can not be answered from the text alone."""
    blind: float | None = None
    """How well the question is answered without the image, 0..1 (rrg.synth.blind)."""
    split: Literal["train", "val", "test"] | None = None
    """Set by pack."""
    weight: float = 1.0
    """How often training draws the sample, relative to the others of its images."""
    facets: Mapping[str, str] = field(default_factory=dict)
    """Strata for scores: modality, anatomy, question, ..."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """generator, template, ..."""
    extra: Mapping[str, Json] | None = None

    def __post_init__(self) -> None:
        """Refuse links to images that the sample does not have, and weights that are not positive."""
        if not self.weight > 0:
            raise ValueError(f"weight {self.weight} is not positive")
        images = {image.id for image in self.images}
        for turn in self.turns:
            for part in turn.content:
                if part.ref is not None and part.ref not in images:
                    raise ValueError(f"turn points at image {part.ref!r}, the sample has {sorted(images)}")
        for mention in self.mentions:
            for region in mention.regions:
                if region.image not in images:
                    raise ValueError(f"region points at image {region.image!r}, the sample has {sorted(images)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A model's answer to a sample."""

    schema: Literal["rrg.prediction/1"] = "rrg.prediction/1"
    id: str
    """Id of the sample that was answered."""
    run: str = ""
    from_: tuple[str, ...] = ()
    patient: str | None = None
    study: str | None = None
    images: tuple[ImageRef, ...] = ()
    task: str
    lang: Lang
    question: str
    """The prompt as the user put it."""
    raw: str
    """What the model wrote, box tokens included."""
    text: str
    """``raw`` without box tokens."""
    mentions: tuple[Mention, ...] = ()
    """Phrases with boxes in pixels of the original slice; a malformed box is not here but in ``flags``."""
    flags: tuple[str, ...] = ()
    """``malformed_box``, ``cut`` (token limit reached), ``other_modality`` (none that the model learnt),
    ``other_body_part`` (asked of a slice that does not show it), ``rules`` (said by rules, not by the model),
    ``contradictions`` (of a draft report), ``no_image``, ``shuffled_image`` (controls)."""
    confidence: float | None = None
    """Geometric mean of the probabilities of the tokens, 0..1; None where the back end does not tell."""
    model: str
    """Hash of the weights."""
    backend: Literal["torch", "gguf", "server"]
    notice: str | None = None
    """What must be shown with the text, in its language."""
    extra: Mapping[str, Json] | None = None


Record = Run | End | Error | Series | Slice | Report | Mask | Sample | Prediction

KINDS: dict[str, type[Record]] = {
    "rrg.run/1": Run,
    "rrg.end/1": End,
    "rrg.error/1": Error,
    "rrg.series/1": Series,
    "rrg.slice/1": Slice,
    "rrg.report/1": Report,
    "rrg.mask/1": Mask,
    "rrg.sample/1": Sample,
    "rrg.prediction/1": Prediction,
}
"""Schema name -> record type."""
