"""Which slices of a study samples are made on."""

from collections.abc import Iterable, Sequence

from rrg.errors import UsageError
from rrg.records import Slice


def check_choice(spec: str) -> str:
    """Refuse a ``--slices`` that `choose` does not know."""
    every, _, number = spec.partition(":")
    if spec in ("all", "referenced") or (every == "every" and number.isdigit() and int(number) > 0):
        return spec
    if spec.isdigit() and int(spec) > 0:
        return spec
    raise UsageError(f"--slices {spec}: expected all, referenced, every:K, or a number per series")


def choose(usable: Sequence[Slice], spec: str, referenced: Iterable[str]) -> list[Slice]:
    """Slices to work on: ``all``; ``referenced`` by a report; ``every:K``-th index; or N per series, evenly spaced.

    Referenced slices are always among them. `usable` is sorted by series and index.
    """
    wanted = set(referenced)
    if spec == "all":
        return list(usable)
    if spec.startswith("every:"):
        step = int(spec.removeprefix("every:"))
        return [slice_ for slice_ in usable if slice_.id in wanted or slice_.index % step == 0]
    if spec != "referenced":
        series: dict[str, list[Slice]] = {}
        for slice_ in usable:
            series.setdefault(slice_.series, []).append(slice_)
        for members in series.values():
            n = min(int(spec), len(members))
            wanted |= {members[(2 * i + 1) * len(members) // (2 * n)].id for i in range(n)}
    return [slice_ for slice_ in usable if slice_.id in wanted]
