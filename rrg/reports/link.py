"""References -> slices of the study, by series number and instance (or frame) number. Never the nearest slice."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Protocol

from rrg.records import Reference


class Numbered(Protocol):
    """A slice, or its header: what a reader sees of it."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def series(self) -> str: ...  # noqa: D102
    @property
    def series_number(self) -> int | None: ...  # noqa: D102
    @property
    def instance_number(self) -> int | None: ...  # noqa: D102
    @property
    def frame(self) -> int | None: ...  # noqa: D102
    @property
    def plane(self) -> str | None: ...  # noqa: D102
    @property
    def role(self) -> str: ...  # noqa: D102


class Slices:
    """The slices of one study, by the numbers that a reader sees."""

    def __init__(self, slices: Iterable[Numbered]) -> None:
        self._by_number: dict[tuple[int, int], list[str]] = {}
        self._by_series: dict[tuple[str, int], list[str]] = {}
        self._series: dict[str, Numbered] = {}
        for each in slices:
            image = each.frame if each.frame is not None else each.instance_number
            self._series.setdefault(each.series, each)
            if image is None:
                continue
            self._by_series.setdefault((each.series, image), []).append(each.id)
            if each.series_number is not None:
                self._by_number.setdefault((each.series_number, image), []).append(each.id)

    def _found(self, series_number: int | None, image: int) -> list[str] | None:
        """Ids of the slices with these numbers; None when the series is open."""
        if series_number is not None:
            return self._by_number.get((series_number, image), [])
        only = self._only_series()
        return None if only is None else self._by_series.get((only, image), [])

    def _only_series(self) -> str | None:
        """The series that a reference without any series number means: the only axial one, else the only one."""
        axial = [name for name, one in self._series.items() if one.plane == "axial" and one.role == "primary"]
        if len(axial) == 1:
            return axial[0]
        return next(iter(self._series)) if len(self._series) == 1 else None

    def resolve(self, reference: Reference) -> Reference:
        """The reference with its status and slices.

        ``resolved``: at least one of the images is there and none of them twice; ``slices`` holds those that are there.
        ``ambiguous``: an image stands for several slices, or the series is open. ``missing``: no image is there.
        """
        if reference.prior:
            return dataclasses.replace(reference, status="prior", slices=())
        ids: list[str] = []
        for image in reference.image_numbers:
            found = self._found(reference.series_number, image)
            if found is None or len(found) > 1:
                return dataclasses.replace(reference, status="ambiguous", slices=())
            ids.extend(found)
        return dataclasses.replace(reference, status="resolved" if ids else "missing", slices=tuple(dict.fromkeys(ids)))


def resolve_all(references: Sequence[Reference], slices: Iterable[Numbered]) -> tuple[Reference, ...]:
    """All references of a report against the slices of its study."""
    table = Slices(slices)
    return tuple(table.resolve(reference) for reference in references)
