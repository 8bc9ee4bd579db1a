"""A schematic human trunk as smooth bodies in patient space, and its exact sampling on any grid of slices.

Nothing here is a picture of a person. Coordinates are LPS in mm (x to the patient's left, y to the back, z to the head)
with the origin in the middle of the trunk. A body is painted back to front: what is painted later covers what is
already there, so no two structures overlap, and the tissue number of a voxel gives both its value and its class.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.anatomy import LABELS

Array = NDArray[np.float64]


class Tissue(NamedTuple):
    """What a tissue looks like. HU are rounded textbook values; MR signals are relative to bright fluid = 1000."""

    name: str
    native: float
    """HU without contrast agent."""
    venous: float
    """HU in the portal venous phase."""
    t2: float
    """Signal, T2-weighted with fat suppression."""
    t1: float
    """Signal, T1-weighted."""


TISSUES = (
    Tissue("air", -1000, -1000, 8, 8),
    Tissue("fat", -108, -106, 190, 760),
    Tissue("muscle", 54, 62, 170, 270),
    Tissue("rib", 420, 420, 90, 130),
    Tissue("cavity", -92, -90, 120, 640),
    Tissue("bowel", 22, 38, 360, 210),
    Tissue("effusion", 12, 13, 900, 130),
    Tissue("lung_upper_left", -872, -868, 26, 20),
    Tissue("lung_lower_left", -800, -795, 44, 34),
    Tissue("lung_upper_right", -875, -870, 26, 20),
    Tissue("lung_middle_right", -845, -840, 32, 26),
    Tissue("lung_lower_right", -800, -795, 44, 34),
    Tissue("heart_wall", 46, 105, 260, 300),
    Tissue("heart_blood", 38, 155, 130, 190),
    Tissue("stomach_wall", 44, 88, 300, 290),
    Tissue("stomach_content", 16, 16, 800, 170),
    Tissue("stomach_gas", -950, -950, 12, 12),
    Tissue("liver", 57, 112, 255, 450),
    Tissue("spleen", 49, 124, 540, 260),
    Tissue("pancreas", 41, 97, 350, 540),
    Tissue("kidney_cortex_left", 37, 182, 470, 340),
    Tissue("kidney_medulla_left", 32, 150, 590, 270),
    Tissue("kidney_cortex_right", 37, 182, 470, 340),
    Tissue("kidney_medulla_right", 32, 150, 590, 270),
    Tissue("gallbladder", 9, 10, 980, 150),
    Tissue("bladder_wall", 40, 60, 260, 290),
    Tissue("bladder", 4, 6, 1000, 120),
    Tissue("hip", 340, 345, 170, 330),
    Tissue("sacrum", 260, 265, 210, 380),
    Tissue("vertebra_cortex", 430, 435, 70, 110),
    Tissue("vertebra", 190, 200, 230, 400),
    Tissue("vertebra_l1_cortex", 430, 435, 70, 110),
    Tissue("vertebra_l1", 190, 200, 230, 400),
    Tissue("disc", 85, 88, 420, 230),
    Tissue("canal", 22, 24, 880, 130),
    Tissue("aorta", 41, 164, 60, 90),
    Tissue("cyst", 6, 7, 1000, 110),
    Tissue("metastasis", 27, 58, 640, 220),
    Tissue("tumour", 78, 92, 300, 200),
    Tissue("nodule", 42, 58, 620, 330),
)
"""Tissue number -> tissue. Up to ``cavity`` (and ``hip`` to ``canal``) nothing soft is painted over."""
NUMBER: Mapping[str, int] = {tissue.name: number for number, tissue in enumerate(TISSUES)}
SOFT = range(NUMBER["cavity"], NUMBER["hip"])
"""Tissues that later organs may cover."""
FIRST_LESION = 100
"""Tissue numbers of single lesions: 100, 101, ..."""
LESION = LABELS["lesion"].class_id

_CLASSES = {
    "heart": ("heart_wall", "heart_blood"),
    "stomach": ("stomach_wall", "stomach_content", "stomach_gas"),
    "liver": ("liver",),
    "spleen": ("spleen",),
    "pancreas": ("pancreas",),
    "kidney_left": ("kidney_cortex_left", "kidney_medulla_left"),
    "kidney_right": ("kidney_cortex_right", "kidney_medulla_right"),
    "gallbladder": ("gallbladder",),
    "urinary_bladder": ("bladder_wall", "bladder"),
    "sacrum": ("sacrum",),
    "aorta": ("aorta",),
}
_CT_CLASSES = _CLASSES | {
    "lung_upper_lobe_left": ("lung_upper_left",),
    "lung_lower_lobe_left": ("lung_lower_left",),
    "lung_upper_lobe_right": ("lung_upper_right",),
    "lung_middle_lobe_right": ("lung_middle_right",),
    "lung_lower_lobe_right": ("lung_lower_right",),
    "vertebrae_L1": ("vertebra_l1_cortex", "vertebra_l1"),
}
_MR_CLASSES = _CLASSES | {
    "lung_left": ("lung_upper_left", "lung_lower_left"),
    "lung_right": ("lung_upper_right", "lung_middle_right", "lung_lower_right"),
    "vertebrae": ("vertebra_cortex", "vertebra", "vertebra_l1_cortex", "vertebra_l1"),
}


def class_table(modality: str) -> dict[str, tuple[str, ...]]:
    """Class name -> its tissues, for ``CT`` (names of TotalSegmentator ``total``) or ``MR`` (``total_mr``)."""
    return dict(_CT_CLASSES if modality == "CT" else _MR_CLASSES)


def class_of_tissue(modality: str, lesions: int = 0) -> NDArray[np.uint8]:
    """(256,) table: tissue number -> class id of `rrg.anatomy`, 0 for tissues without a class."""
    table = np.zeros(256, np.uint8)
    for name, tissues in class_table(modality).items():
        for tissue in tissues:
            table[NUMBER[tissue]] = LABELS[name].class_id
    table[FIRST_LESION : FIRST_LESION + lesions] = LESION
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A superellipsoid of one tissue."""

    tissue: str
    centre: tuple[float, float, float]
    semi: tuple[float, float, float]
    """Semi-axes in mm."""
    lean: tuple[float, float] = (0.0, 0.0)
    """Shift in x and y per mm of z."""
    turn: float = 0.0
    """Shear of y by x, in mm per mm: the part lies aslant in the axial plane."""
    bend: float = 0.0
    """Shift in y, in mm, at the ends of the x axis: a bean or a banana."""
    flat: bool = False
    """Flat ends in z: the power is 8 there, else 2."""
    rim: float = 0.0
    """Width in mm of the fat around it."""
    within: tuple[str, ...] = ()
    """Paint only over these tissues; empty: over all soft tissues."""
    beyond: tuple[float, float, float] | None = None
    """Paint only where a * y + b * z > c, for (a, b, c)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """A ball of known diameter, cut at the border of its organ."""

    name: str
    """``lesion-1``, ... within the patient."""
    tissue: str
    organ: str
    """Class name, of `class_table`."""
    side: str | None
    centre: tuple[float, float, float]
    diameter_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A trunk: its outline and its parts, in painting order."""

    semi: tuple[float, float]
    """Semi-axes of the skin in x and y."""
    parts: tuple[Part, ...]
    lesions: tuple[Lesion, ...] = ()
    missing: tuple[str, ...] = ()
    """Class names that an operation removed (or, for the bladder, that emptied)."""
    phase: float = 0.0
    """Shift of the rib and bowel pattern in mm."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Slices in patient space: `affine` (4, 4) maps (slice, row, column, 1) to LPS mm, at voxel centres."""

    affine: Array
    shape: tuple[int, int, int]

    def axes(self, window: tuple[slice, slice, slice]) -> tuple[Array, Array, Array]:
        """x, y, z of the voxels of a window, each an array that broadcasts to the window's shape, float32."""
        steps = [np.arange(part.start, part.stop, dtype=np.float64) for part in window]
        shaped = [steps[0][:, None, None], steps[1][None, :, None], steps[2][None, None, :]]
        out = []
        for axis in range(3):
            value: Any = np.full((1, 1, 1), self.affine[axis, 3])
            for index in range(3):
                if abs(self.affine[axis, index]) > 1e-12:
                    value = value + self.affine[axis, index] * shaped[index]
            out.append(value.astype(np.float32))
        return out[0], out[1], out[2]

    def whole(self) -> tuple[slice, slice, slice]:
        """The window that is the whole grid."""
        return slice(0, self.shape[0]), slice(0, self.shape[1]), slice(0, self.shape[2])

    def window(self, low: Array, high: Array) -> tuple[slice, slice, slice] | None:
        """Smallest window that holds the LPS box from `low` to `high`; None outside of the grid."""
        corners = np.array([[(low, high)[i >> a & 1][a] for a in range(3)] for i in range(8)])
        voxels = (corners - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T
        first = np.maximum(np.floor(voxels.min(0)).astype(int), 0)
        last = np.minimum(np.ceil(voxels.max(0)).astype(int) + 1, self.shape)
        if (last <= first).any():
            return None
        return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])


def _field(part: Part, x: Array, y: Array, z: Array) -> Array:
    """Below 1 inside of the part. Float32, broadcast of the axes."""
    f = np.float32
    dz = z - f(part.centre[2])
    u = x - f(part.centre[0])
    v = y - f(part.centre[1])
    if part.lean[0]:
        u = u - f(part.lean[0]) * dz
    if part.lean[1]:
        v = v - f(part.lean[1]) * dz
    u = u / f(part.semi[0])
    square = u * u
    if part.turn:
        v = v - f(part.turn * part.semi[0]) * u
    if part.bend:
        v = v - f(part.bend) * square
    v = v / f(part.semi[1])
    w = dz / f(part.semi[2])
    w = w * w
    if part.flat:
        w = w * w
        w = w * w
    return square + (v * v + w)


def _reach(part: Part) -> tuple[Array, Array]:
    """LPS box that holds the part and its rim."""
    centre, semi = np.asarray(part.centre), np.asarray(part.semi) + part.rim + 0.5
    extra = np.array(
        [
            abs(part.lean[0]) * semi[2],
            abs(part.lean[1]) * semi[2] + abs(part.turn) * semi[0] + abs(part.bend) * (semi[0] / part.semi[0]) ** 2,
            0.0,
        ]
    )
    return centre - semi - extra, centre + semi + extra


def _paint_part(tissue: NDArray[np.uint8], part: Part, x: Array, y: Array, z: Array) -> None:
    field = _field(part, x, y, z)
    if part.within:
        free = np.isin(tissue, [NUMBER[name] for name in part.within])
    else:
        free = (tissue >= SOFT.start) & (tissue < SOFT.stop)
    if part.beyond is not None:
        a, b, c = part.beyond
        free = free & (np.float32(a) * y + np.float32(b) * z > np.float32(c))
    inside = (field <= 1) & free
    if part.rim:
        grown = np.float32((1 + part.rim / min(part.semi)) ** 2)
        np.copyto(tissue, np.uint8(NUMBER["cavity"]), where=(field <= grown) & free)
    np.copyto(tissue, np.uint8(NUMBER[part.tissue]), where=inside)


RIB_STEP_MM, RIB_WIDTH_MM = 30.0, 12.0
RIBS_ABOVE_MM = -40.0


def _paint_outline(tissue: NDArray[np.uint8], body: Body, x: Array, y: Array, z: Array) -> None:
    """Skin, fat, muscle wall with ribs, cavity with loops of bowel."""
    f = np.float32
    u, v = (x / f(body.semi[0])) ** 2, (y / f(body.semi[1])) ** 2
    shell = u + v - f(0.3) * (u * v)
    np.copyto(tissue, np.uint8(NUMBER["fat"]), where=shell <= 1)
    np.copyto(tissue, np.uint8(NUMBER["muscle"]), where=shell <= 0.85)
    beat = np.mod(z + f(0.35) * y + f(body.phase), f(RIB_STEP_MM))
    ribs = (shell > 0.755) & (shell < 0.82) & (beat < RIB_WIDTH_MM) & (z > RIBS_ABOVE_MM) & (y < 0.8 * body.semi[1])
    np.copyto(tissue, np.uint8(NUMBER["rib"]), where=ribs)
    cavity = shell <= 0.72
    np.copyto(tissue, np.uint8(NUMBER["cavity"]), where=cavity)
    p = f(body.phase)
    loops = (
        np.sin((x + p) * f(0.115)) * np.sin((y - f(0.6) * p) * f(0.13))
        + np.sin((y + p) * f(0.09)) * np.sin((z + p) * f(0.11))
        + np.sin((z - p) * f(0.10)) * np.sin((x + f(0.5) * p) * f(0.08))
    )
    bowel = cavity & (shell <= 0.62) & (loops > f(0.85)) & (z < 5) & (y < 15)
    np.copyto(tissue, np.uint8(NUMBER["bowel"]), where=bowel)


def _paint_lesion(
    tissue: NDArray[np.uint8], lesion: Lesion, number: int, modality: str, x: Array, y: Array, z: Array
) -> None:
    f, (cx, cy, cz) = np.float32, lesion.centre
    ball = ((x - f(cx)) ** 2 + (y - f(cy)) ** 2) + (z - f(cz)) ** 2 <= f((lesion.diameter_mm / 2) ** 2)
    organ = np.isin(tissue, [NUMBER[name] for name in class_table(modality)[lesion.organ]])
    np.copyto(tissue, np.uint8(FIRST_LESION + number), where=ball & organ)


def paint(body: Body, grid: Grid, modality: str) -> NDArray[np.uint8]:
    """(slices, rows, columns) tissue numbers of `body` on `grid`; lesion k of the body is ``FIRST_LESION + k``."""
    tissue = np.zeros(grid.shape, np.uint8)
    _paint_outline(tissue, body, *grid.axes(grid.whole()))
    for part in body.parts:
        if (window := grid.window(*_reach(part))) is not None:
            _paint_part(tissue[window], part, *grid.axes(window))
    for number, lesion in enumerate(body.lesions):
        centre, radius = np.asarray(lesion.centre), lesion.diameter_mm / 2
        if (window := grid.window(centre - radius, centre + radius)) is not None:
            _paint_lesion(tissue[window], lesion, number, modality, *grid.axes(window))
    return tissue


def organs() -> Iterator[tuple[str, tuple[Part, ...]]]:
    """(name of an organ that moves and varies as one, its parts) of the mean body, in painting order."""

    def part(tissue: str, x: float, y: float, z: float, a: float, b: float, c: float, **more: Any) -> Part:
        return Part(tissue=tissue, centre=(x, y, z), semi=(a, b, c), **more)

    fissure = (1.0, -0.55, -63.0)
    lung_right, lung_left = (-70.0, 5.0, 166.0, 55.0, 76.0, 124.0), (70.0, 5.0, 166.0, 53.0, 75.0, 124.0)
    yield (
        "lung_right",
        (
            part("lung_middle_right", *lung_right),
            part("lung_upper_right", *lung_right, beyond=(0.0, 1.0, 112.0), within=("lung_middle_right",)),
            part("lung_lower_right", *lung_right, beyond=fissure, within=("lung_middle_right", "lung_upper_right")),
        ),
    )
    yield (
        "lung_left",
        (
            part("lung_upper_left", *lung_left),
            part("lung_lower_left", *lung_left, beyond=fissure, within=("lung_upper_left",)),
        ),
    )
    yield (
        "heart",
        (
            part("heart_wall", 16, -34, 158, 48, 37, 84, lean=(-0.1, 0.0)),
            part("heart_blood", 16, -34, 160, 37, 27, 72, lean=(-0.1, 0.0), within=("heart_wall",)),
        ),
    )
    yield (
        "stomach",
        (
            part("stomach_wall", 56, -34, 36, 40, 31, 56, lean=(0.18, 0.0), rim=3),
            part("stomach_content", 56, -34, 36, 36, 27, 52, lean=(0.18, 0.0), within=("stomach_wall",)),
            part(
                "stomach_gas",
                *(56, -34, 36, 36, 27, 52),
                lean=(0.18, 0.0),
                within=("stomach_content",),
                beyond=(-1.0, 0.0, 46.0),
            ),
        ),
    )
    yield "spleen", (part("spleen", 86, 30, 44, 27, 40, 52, turn=-0.25, rim=3),)
    yield (
        "liver",
        (
            part("liver", -58, 2, 46, 62, 66, 74, rim=3),
            part("liver", 4, -38, 66, 52, 28, 40, lean=(0.0, -0.1)),
        ),
    )
    for side, x, z in (("right", -64.0, -40.0), ("left", 64.0, -30.0)):
        sign = 1.0 if x > 0 else -1.0
        lean = (-0.12 * sign, -0.05)
        yield (
            f"kidney_{side}",
            (
                part(f"kidney_cortex_{side}", x, 38, z, 29, 26, 56, lean=lean, rim=4),
                part(
                    f"kidney_medulla_{side}",
                    *(x - 3 * sign, 38, z, 17, 14, 40),
                    lean=lean,
                    within=(f"kidney_cortex_{side}",),
                ),
                part("cavity", x - 29 * sign, 34, z, 18, 9, 15, lean=lean, within=(f"kidney_cortex_{side}",)),
            ),
        )
    yield "pancreas", (part("pancreas", 6, -12, 2, 48, 17, 31, bend=11, turn=-0.1, rim=3),)
    yield "gallbladder", (part("gallbladder", -42, -52, -6, 25, 23, 40, lean=(0.0, 0.2), rim=2.5),)
    yield (
        "urinary_bladder",
        (
            part("bladder_wall", 0, -24, -98, 46, 38, 48, rim=3),
            part("bladder", 0, -24, -98, 42, 34, 44, within=("bladder_wall",)),
        ),
    )
    yield (
        "hips",
        tuple(
            part("hip", 84 * sign, 16, -128, 13, 42, 52, lean=(0.25 * sign, 0.0), turn=0.5 * sign) for sign in (-1, 1)
        ),
    )
    yield "aorta", (part("aorta", 9, 16, 60, 13.5, 13.5, 150, flat=True, rim=2),)
    yield "sacrum", (part("sacrum", 0, 64, -122, 47, 21, 46, lean=(0.0, -0.15), bend=-8),)
    yield "spine", tuple(_spine())


VERTEBRA_STEP_MM = 38.0
L1_CENTRE_MM = 12.0


def _spine() -> Iterator[Part]:
    """Vertebral bodies with arches and spinous processes, discs, canal; L1 has tissues of its own."""
    hard = tuple(tissue.name for tissue in TISSUES[1 : NUMBER["canal"] + 1] if tissue.name not in ("hip", "sacrum"))
    low, high = -80.0, 190.0
    middle, half = (low + high) / 2, (high - low) / 2
    yield Part(tissue="disc", centre=(0, 52, middle), semi=(22, 17, half), flat=True, within=hard)
    for step in range(-2, 6):
        z = L1_CENTRE_MM + step * VERTEBRA_STEP_MM
        name = "vertebra_l1" if step == 0 else "vertebra"
        arch: dict[str, Any] = {"tissue": f"{name}_cortex", "flat": True, "within": hard}
        yield Part(centre=(0, 80, z), semi=(43, 6.5, 11), **arch)  # transverse processes
        yield Part(centre=(0, 80, z), semi=(16, 15, 16), **arch)
        yield Part(centre=(0, 96, z - 4), semi=(5, 11, 15), **arch)  # spinous process
        yield Part(centre=(0, 52, z), semi=(25, 19.5, 18), **arch)
        yield Part(tissue=name, centre=(0, 52, z), semi=(22.5, 17, 16), flat=True, within=(f"{name}_cortex",))
    yield Part(tissue="canal", centre=(0, 80, middle), semi=(9.5, 9, half), flat=True, within=hard)


REMOVABLE = {
    "gallbladder": 0.22,
    "spleen": 0.22,
    "kidney_left": 0.20,
    "kidney_right": 0.20,
    "stomach": 0.20,
    "pancreas": 0.20,
    "urinary_bladder": 0.24,
    "lung_left": 0.10,
    "lung_right": 0.10,
}
"""Organ -> share of the patients without it, so that its presence can not be guessed."""
_ONE_OF = (("kidney_left", "kidney_right"), ("lung_left", "lung_right"))
_RIGID = ("spine", "sacrum", "hips", "aorta")


def draw_body(rng: np.random.Generator) -> Body:
    """A patient's trunk without lesions: sizes, places and missing organs drawn at random."""
    missing = {name for name, share in REMOVABLE.items() if rng.random() < share}
    for first, second in _ONE_OF:
        if {first, second} <= missing:
            missing.discard(str(rng.choice([first, second])))
    wide, deep = rng.uniform(0.92, 1.06), rng.uniform(0.92, 1.08)
    parts: list[Part] = []
    for name, mean in organs():
        rigid = name in _RIGID
        shift = rng.normal(0, (1.5, 1.5, 2.0) if rigid else (4.0, 4.0, 8.0))
        size = rng.uniform(0.94, 1.04) if rigid else rng.uniform(0.86, 1.14) * rng.uniform(0.95, 1.05, 3)
        scale = np.array([wide, deep, 1.0])
        if name in missing and not name.startswith("lung"):
            continue
        anchor = np.asarray(mean[0].centre) if not rigid else np.zeros(3)
        for part in mean:
            offset = np.asarray(part.centre) - anchor
            place = (anchor + offset * (1.0 if rigid else size)) * scale + shift
            semi = np.asarray(part.semi) * scale * size
            beyond = part.beyond
            if beyond is not None:
                a, b, c = beyond
                beyond = (a, b, c + a * float(shift[1]) + b * float(shift[2]))
            tissue = "effusion" if name in missing else part.tissue
            if name in missing and part.within:
                continue
            parts.append(replace(part, tissue=tissue, centre=_triple(place), semi=_triple(semi), beyond=beyond))
    return Body(
        semi=(float(150 * wide), float(114 * deep)),
        parts=tuple(parts),
        missing=tuple(sorted(missing)),
        phase=float(rng.uniform(0, 60)),
    )


def _triple(values: Array) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


_LESIONS = {
    "liver": (("cyst", "metastasis"), (20.0, 48.0)),
    "kidney_left": (("cyst", "tumour"), (16.0, 32.0)),
    "kidney_right": (("cyst", "tumour"), (16.0, 32.0)),
    "lung": (("nodule",), (14.0, 36.0)),
}
"""Where lesions lie: tissue and range of the diameter in mm."""
LESIONS_BETWEEN_MM = (-115.0, 125.0)
"""Range of z that every scan covers."""


def place_lesions(body: Body, modality: str, count: int, rng: np.random.Generator) -> Body:
    """`body` with up to `count` lesions, each wholly inside of its organ and apart from the others."""
    kept: list[Lesion] = []
    for _ in range(count):
        kind = str(rng.choice(list(_LESIONS), p=[0.45, 0.15, 0.15, 0.25]))
        tissues, (low, high) = _LESIONS[kind]
        classes = [c for c in class_table(modality) if c == kind or (kind == "lung" and c.startswith("lung_"))]
        organ, tissue = str(rng.choice(classes)), str(rng.choice(tissues))
        diameter = float(rng.integers(int(low), int(high) + 1))
        boxes = [part for part in body.parts if part.tissue in class_table(modality)[organ]]
        if not boxes:
            continue
        for _attempt in range(60):
            part = boxes[int(rng.integers(len(boxes)))]
            centre = np.round(np.asarray(part.centre) + rng.uniform(-0.9, 0.9, 3) * np.asarray(part.semi), 1)
            if not LESIONS_BETWEEN_MM[0] < centre[2] < LESIONS_BETWEEN_MM[1] or any(
                np.linalg.norm(centre - other.centre) < (diameter + other.diameter_mm) / 2 + 8 for other in kept
            ):
                continue
            if _ball_inside(body, centre, diameter / 2 + 1.5, organ, modality):
                side = LABELS[organ].side
                name = f"lesion-{len(kept) + 1}"
                kept.append(
                    Lesion(
                        name=name,
                        tissue=tissue,
                        organ=organ,
                        side=side,
                        centre=_triple(centre),
                        diameter_mm=diameter,
                    )
                )
                break
    return replace(body, lesions=tuple(kept))


def _ball_inside(body: Body, centre: Array, radius: float, organ: str, modality: str) -> bool:
    """True when a ball lies in one organ, tested on a grid of at most 2 mm."""
    n = int(np.ceil(2 * radius / 2.0)) + 1
    affine = np.diag([2 * radius / (n - 1)] * 3 + [1.0])[:, [2, 1, 0, 3]]  # (slice, row, column) -> (x, y, z)
    affine[:3, 3] = centre - radius
    tissue = paint(replace(body, lesions=()), Grid(affine, (n, n, n)), modality)
    steps = np.linspace(-1, 1, n) ** 2
    ball = steps[:, None, None] + steps[None, :, None] + steps[None, None, :] <= 1
    inside: NDArray[np.bool_] = np.isin(tissue[ball], [NUMBER[name] for name in class_table(modality)[organ]])
    return bool(inside.all())


def tissue_values(
    body: Body, modality: str, weighting: str, contrast: bool, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(256,) table: tissue number -> HU or MR signal, with the patient's own deviations."""
    table = np.zeros(256, np.float32)
    index = (1 if not contrast else 2) if modality == "CT" else (3 if weighting == "T2" else 4)
    values = np.array([tissue[index] for tissue in TISSUES], np.float64)
    deviation = rng.standard_normal(len(TISSUES))
    if modality == "CT":
        enhanced = np.array([tissue.venous - tissue.native for tissue in TISSUES]) if contrast else 0.0
        values = values + np.clip(deviation, -2, 2) * 2.5 + enhanced * rng.uniform(-0.15, 0.15)
        values[NUMBER["air"]] = -1000
    else:
        values = values * (1 + np.clip(deviation, -2, 2) * 0.06) * rng.uniform(0.7, 1.5)
    for same in ("cortex", "medulla"):
        values[NUMBER[f"kidney_{same}_right"]] = values[NUMBER[f"kidney_{same}_left"]]
    for same in ("vertebra", "vertebra_cortex"):
        values[NUMBER[same.replace("vertebra", "vertebra_l1")]] = values[NUMBER[same]]
    table[: len(values)] = values
    for number, lesion in enumerate(body.lesions):
        table[FIRST_LESION + number] = values[NUMBER[lesion.tissue]]
    return table


def image(
    tissue: NDArray[np.uint8], values: NDArray[np.float32], noise: float, modality: str, rng: np.random.Generator
) -> NDArray[np.int16]:
    """(slices, rows, columns) HU or MR signal: tissue values, a little blur in the plane, noise, MR shading."""
    picture = values[tissue]
    if modality == "MR":
        slope = rng.uniform(-0.18, 0.18, 3).astype(np.float32)
        for axis, length in enumerate(picture.shape):
            shape = [1, 1, 1]
            shape[axis] = length
            picture *= 1 + slope[axis] * np.linspace(-1, 1, length, dtype=np.float32).reshape(shape)
    if noise:
        # blur below halves the spread of white noise: 3/8 of it is left by (1 2 1)/4 in both directions
        picture += rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(noise * 8 / 3)
    for axis in (1, 2):
        _blur(picture, axis)
    if modality == "MR":
        np.abs(picture, out=picture)
        return np.asarray(np.clip(np.rint(picture), 0, 4095), np.int16)
    return np.asarray(np.clip(np.rint(picture), -1024, 3071), np.int16)


def _blur(volume: NDArray[np.float32], axis: int) -> None:
    """(1 2 1) / 4 along one axis, in place; the border pixels stay."""
    turned = np.moveaxis(volume, axis, 0)
    if turned.shape[0] < 3:
        return
    inner = turned[1:-1] * np.float32(0.5)
    inner += (turned[:-2] + turned[2:]) * np.float32(0.25)
    turned[1:-1] = inner
