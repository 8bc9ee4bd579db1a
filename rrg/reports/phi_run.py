"""Masking as `rrg parse-reports` runs it: what the options mean, the run record, the line on stderr at the end."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from rrg.errors import UsageError
from rrg.keys import default_key_file
from rrg.pipe import Made, talk
from rrg.records import Report, Slice
from rrg.reports import phi_known
from rrg.reports.phi import RESIDUAL, WARNING, Phi, version
from rrg.reports.phi_map import folder_of
from rrg.reports.sources import Where, index

COMMAND = "parse-reports"
Tail = Callable[[], Iterable[Made]]
_LEDGER = re.compile(rb'^\{"schema":"rrg\.report/1"[^\n]*?"phi":\{([^{}]*)\}', re.MULTILINE)
_LEFT = re.compile(rb'"residual":(\d+)')


def phi_of(mode: str, known: Path | None, key_file: Path | None, key: bytes, *, maps: bool) -> Phi | None:
    """What ``--phi``, ``--phi-known`` and ``--phi-map`` ask for; None when masking is off."""
    if mode == "off":
        if known is not None:
            raise UsageError("--phi-known masks names: it can not go with --phi off")
        return None
    if mode not in ("mask", "fail"):
        raise UsageError(f"--phi {mode}: expected mask, fail or off")
    seen = "" if known is None else phi_known.digest(str(known), key)
    if known is not None:
        phi_known.load(str(known), key, seen)
    folder = str(folder_of(key_file or default_key_file())) if maps and mode == "mask" else None
    return Phi(
        mode="fail" if mode == "fail" else "mask",
        known=None if known is None else str(known),
        known_digest=seen,
        maps=folder,
    )


def recorded(phi: Phi | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Options and inputs of the run record: other rules or another table make other text."""
    if phi is None:
        return {"phi": "off"}, {}
    inputs = {"phi": version()} | ({"phi_known": phi.known_digest} if phi.known else {})
    return {"phi": phi.mode}, inputs


def names_for(phi: Phi, where: Where, at: int, slices: Sequence[Any]) -> tuple[str, ...]:
    """Keyed hashes that a row of the table may be limited to: the report's studies, accession numbers, patient."""
    if phi.known is None:
        return ()
    found = set(_own_names(where).get(at, ()))
    if slices:
        first = slices[0]
        found |= {first.patient, first.study}
        found |= {each.accession for each in slices if isinstance(each, Slice) and each.accession}
    return tuple(sorted(found))


@lru_cache(1)
def _own_names(where: Where) -> dict[int, tuple[str, ...]]:
    """Report -> the keyed hashes that find it."""
    found: dict[int, tuple[str, ...]] = {}
    for name, places in index(where).by_name.items():
        for at in places:
            found[at] = (*found.get(at, ()), name)
    return found


class Watch:
    """Adds up what the second look found, and says it once."""

    def __init__(self, phi: Phi | None) -> None:
        self._phi = phi
        self._reports = 0
        self._left = 0
        self._touched = 0

    def made(self, body: bytes) -> None:
        """Take the lines that a study got."""
        for match in _LEDGER.finditer(body):
            found = _LEFT.search(match[1])
            self._add(int(found[1]) if found else 0)

    def _add(self, left: int) -> None:
        self._reports += 1
        self._left += left
        self._touched += left > 0

    def closing(self, tail: Tail | None) -> Tail | None:
        """`tail`, and then the line on stderr."""
        if self._phi is None:
            return tail

        def last() -> Iterable[Made]:
            for made in tail() if tail is not None else ():
                if isinstance(made, Report) and made.phi is not None:
                    self._add(made.phi.get(RESIDUAL, 0))
                yield made
            rate = f"{self._left / self._reports:.2f}" if self._reports else "0"
            talk(
                COMMAND,
                f"masking: {self._reports} reports; a second look doubts {self._left} places in {self._touched} of "
                f"them ({rate} a report). {WARNING[0].upper()}{WARNING[1:]}",
            )

        return last
