"""Rules over stacks: which are taken, and which of several reconstructions of one acquisition. No files, no pixels."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from rrg.dicom import Header
from rrg.geometry import Plane, slice_normal
from rrg.labels import CONTRAST_PHASES, KERNELS, SCANNERS, SEQUENCES, Labels
from rrg.records import Role

UNKNOWN = "unknown"
"""Stands in a rule for what the header does not tell."""
WORDS: Mapping[str, tuple[str, ...] | None] = {
    "role": get_args(Role),
    "plane": get_args(Plane),
    "modality": ("CT", "MR", "PT", "CR", "DX", "OT"),
    "kernel": KERNELS,
    "contrast_phase": CONTRAST_PHASES,
    "sequence": SEQUENCES,
    "scanner": SCANNERS,
    "body_part": None,
    "flag": (
        "no_mm",
        "no_uid",
        "gap_mm",
        "tilt",
        "shear",
        "lossy",
        "burned_in",
        "monochrome1",
        "charset_raw",
        "sform_qform",
    ),
}
"""Conditions on words: name -> what may stand there; `body_part` takes any term of the standard (upper case)."""
RANGES = ("thickness_mm", "slice_spacing_mm", "field_strength_t")
"""Conditions on numbers: ``[from, to]``, both included."""
TRUTHS = ("contrast", "fat_suppressed")
OF_LABELS = (
    "kernel", "contrast_phase", "sequence", "scanner", "thickness_mm", "field_strength_t", "fat_suppressed",
)  # fmt: skip
SIZES = ("min_slices", "max_slices")
CONDITIONS = (*WORDS, *RANGES, *TRUTHS, *SIZES)
ORDERED = ("role", "plane", "kernel", "contrast_phase", "sequence")
"""What ``[prefer]`` can put in an order."""
NEAREST = ("thickness_mm", "slice_spacing_mm")
OVERLAP = 0.5
"""Twins share at least this part of the shorter one's reach from feet to head."""

Per = Literal["study", "acquisition"]
Value = tuple[str, ...] | tuple[float, float] | bool | int


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFacts:
    """What rules may know of one stack of a study: closed words and numbers. Ids and frames are only compared."""

    id: str
    """Any stable name of the stack."""
    role: Role
    modality: str
    plane: str | None = None
    body_part: str | None = None
    contrast: bool | None = None
    slices: int
    slice_spacing_mm: float | None = None
    labels: Labels
    frame_of_reference: str | None = None
    acquisition: float | None = None
    """Acquisition Number; None where slices differ in it."""
    series_number: int | None = None
    reach_mm: tuple[float, float] | None = None
    """Lowest and highest z of the imaged volume, in mm, LPS (`reach_of`)."""
    flags: tuple[str, ...] = ()


class Decision(NamedTuple):
    """Whether a stack is taken, and by which rule."""

    taken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One ``[[take]]`` or ``[[drop]]``."""

    takes: bool
    name: str
    conditions: tuple[tuple[str, Value], ...]

    def holds(self, facts: StackFacts) -> bool:
        """All conditions hold. A number that is not known is in no range."""
        return all(_holds(name, wanted, facts) for name, wanted in self.conditions)


@dataclass(frozen=True, slots=True)
class Prefer:
    """``[prefer]``: how many of a group of twins are kept, and what is better, most important first."""

    per: Per
    keep: int
    by: tuple[tuple[str, tuple[str, ...] | float | str], ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """A file of rules."""

    rules: tuple[Rule, ...] = ()
    otherwise: bool = True
    prefer: Prefer | None = None


def digest(rules: Rules) -> str:
    """SHA-256 of what the rules say: comments, line breaks and the order of keys do not count."""
    said = [[rule.takes, rule.name, sorted(rule.conditions)] for rule in rules.rules]
    prefer = rules.prefer and [rules.prefer.per, rules.prefer.keep, rules.prefer.by]
    return hashlib.sha256(json.dumps([said, rules.otherwise, prefer]).encode()).hexdigest()


def acquisition_of(headers: Sequence[Header]) -> float | None:
    """Acquisition Number of a stack; None where its slices differ in it."""
    numbers = {header.phase[0] for header in headers}
    return numbers.pop() if len(numbers) == 1 else None


def reach_of(headers: Sequence[Header]) -> tuple[float, float] | None:
    """Lowest and highest z of the corners of a stack, and half a slice beyond, in mm, LPS; None without geometry."""
    ends: list[float] = []
    for header in (headers[0], headers[-1]):
        if header.position is None or header.orientation is None or header.spacing is None:
            return None
        down = header.orientation[5] * header.spacing[0] * (header.rows - 1)
        along = header.orientation[2] * header.spacing[1] * (header.columns - 1)
        half = abs(float(slice_normal(header.orientation)[2])) * (header.labels.thickness_mm or 1.0) / 2
        corners = [header.position[2] + a + b for a in (0.0, down) for b in (0.0, along)]
        ends += [min(corners) - half, max(corners) + half]
    return min(ends), max(ends)


# --- decisions


def choose(stacks: Sequence[StackFacts], rules: Rules | None = None) -> list[Decision]:
    """A decision for each stack of a study. Does not depend on the order of the stacks."""
    if rules is None:
        return [Decision(True, "no rules")] * len(stacks)
    decisions = [_by_rules(facts, rules) for facts in stacks]
    if rules.prefer is not None:
        for group in _twins(stacks, [i for i, each in enumerate(decisions) if each.taken], rules.prefer.per):
            _keep_best(stacks, group, rules.prefer, decisions)
    return decisions


def _by_rules(facts: StackFacts, rules: Rules) -> Decision:
    for rule in rules.rules:
        if rule.holds(facts):
            return Decision(rule.takes, rule.name)
    return Decision(rules.otherwise, "otherwise")


def _holds(name: str, wanted: Value, facts: StackFacts) -> bool:
    if name == "min_slices":
        return facts.slices >= wanted  # type: ignore[operator]
    if name == "max_slices":
        return facts.slices <= wanted  # type: ignore[operator]
    if name == "flag":
        return not set(facts.flags).isdisjoint(wanted)  # type: ignore[arg-type]
    seen = _seen(facts, name)
    if name in TRUTHS:
        return seen is wanted
    if name in RANGES:
        low, high = wanted  # type: ignore[misc]
        return seen is not None and low <= seen <= high
    return (UNKNOWN if seen is None else seen) in wanted  # type: ignore[operator]


def _seen(facts: StackFacts, name: str) -> Any:
    return getattr(facts.labels if name in OF_LABELS else facts, name)


def _twins(stacks: Sequence[StackFacts], taken: Sequence[int], per: Per) -> list[list[int]]:
    """Groups of the taken stacks, of which each keeps its best."""
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i in taken:
        groups[() if per == "study" else _acquisition(stacks[i])].append(i)
    if per == "study":
        return list(groups.values())
    return [group for members in groups.values() for group in _overlapping(stacks, members)]


def _acquisition(facts: StackFacts) -> tuple[Any, ...]:
    """Equal for reconstructions of one acquisition. In MR a series is a sequence of its own: its words must agree too.

    Only volumes (primary, reformat) with a frame of reference have twins, and in MR only where the sequence is known.
    """
    labels, computed = facts.labels, facts.modality == "CT"
    if facts.role not in ("primary", "reformat") or not facts.frame_of_reference or not (computed or labels.sequence):
        return (facts.id,)
    scan = (facts.frame_of_reference, facts.modality, facts.acquisition, facts.contrast, labels.contrast_phase)
    sequence = () if computed else (labels.sequence, labels.fat_suppressed, labels.b_value, facts.plane)
    return scan + sequence


def _overlapping(stacks: Sequence[StackFacts], members: Sequence[int]) -> list[list[int]]:
    """Members that cover the same part of the body, from feet to head: each with the first that it overlaps enough."""
    groups: list[list[int]] = []
    for i in sorted(members, key=lambda i: (-_length(stacks[i]), stacks[i].id)):
        home = next((g for g in groups if _overlap(stacks[g[0]].reach_mm, stacks[i].reach_mm) >= OVERLAP), None)
        if home is None:
            groups.append([i])
        else:
            home.append(i)
    return groups


def _length(facts: StackFacts) -> float:
    return facts.reach_mm[1] - facts.reach_mm[0] if facts.reach_mm else 0.0


def _overlap(a: tuple[float, float] | None, b: tuple[float, float] | None) -> float:
    """Shared part of the shorter one; 1 where one of them is not known."""
    if a is None or b is None:
        return 1.0
    shorter = min(a[1] - a[0], b[1] - b[0])
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return shared / shorter if shorter > 0 else float(shared >= 0)


def _keep_best(stacks: Sequence[StackFacts], group: Sequence[int], prefer: Prefer, decisions: list[Decision]) -> None:
    """Drop all of a group but the best; the reason is what it lost by to the last one kept."""
    order = sorted(group, key=lambda i: _rank(stacks[i], prefer))
    kept, rest = order[: prefer.keep], order[prefer.keep :]
    names = [name for name, _ in prefer.by]
    for i in rest:
        best, own = _rank(stacks[kept[-1]], prefer), _rank(stacks[i], prefer)
        lost = next((name for name, a, b in zip(names, best, own, strict=False) if a != b), "series number")
        decisions[i] = Decision(False, f"prefer {lost}")


def _rank(facts: StackFacts, prefer: Prefer) -> tuple[Any, ...]:
    """Smaller is better. What is not named, or not known, comes after what is."""
    rank: list[Any] = []
    for name, wanted in prefer.by:
        if name == "slices":
            rank.append(-facts.slices if wanted == "most" else facts.slices)
            continue
        seen = _seen(facts, name)
        if isinstance(wanted, tuple):
            word = UNKNOWN if seen is None else seen
            rank.append(wanted.index(word) if word in wanted else len(wanted))
        else:
            assert isinstance(wanted, float)
            rank.append(float("inf") if seen is None else round(abs(seen - wanted), 3))
    number = facts.series_number
    return (*rank, 2**31 if number is None else number, facts.id)
