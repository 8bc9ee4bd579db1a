"""Which version of a report counts: corrected before final before preliminary, then the latest; addenda go with it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rrg.records import Lang
from rrg.reports.named import Standing


class Version(NamedTuple):
    """What is compared of a report."""

    at: int
    """Its position among all reports."""
    group: str | None
    """Versions of one report share it; None: it stands alone."""
    replaces: tuple[str, ...] = ()
    lang: Lang | None = None
    standing: Standing | None = None
    order: int | None = None


class Kept(NamedTuple):
    """What the versions come to."""

    superseded: frozenset[int]
    """Positions of reports that another one stands for."""
    addenda: dict[int, tuple[int, ...]]
    """Report -> its addenda, oldest first. They are no reports of their own."""
    withdrawn: frozenset[int]
    """The last word of its source is that it does not hold: nothing is left of its group."""
    members: dict[int, tuple[int, ...]]
    """Report -> the other members of its group; what names one of them names it."""


_TIERS: dict[Standing | None, int] = {"preliminary": 0, "final": 1, None: 1, "corrected": 2}
"""Where some members of a group have no status they count as final."""


def choose(versions: Iterable[Version]) -> Kept:
    """Versions are compared within a group and language, and only where one of them has a status or an order."""
    superseded: set[int] = set()
    withdrawn: set[int] = set()
    addenda: dict[int, tuple[int, ...]] = {}
    members: dict[int, tuple[int, ...]] = {}
    for group in _groups(list(versions)):
        if len(group) == 1 and group[0].standing != "withdrawn":
            continue
        if all(each.standing is None and each.order is None and not each.replaces for each in group):
            continue
        by_age = sorted(group, key=lambda each: (each.order if each.order is not None else -1, each.at))
        last = max((n for n, each in enumerate(by_age) if each.standing == "withdrawn"), default=None)
        if last is not None:
            is_end = last == len(by_age) - 1
            superseded |= {each.at for each in by_age[: last + (not is_end)]}
            withdrawn |= {by_age[last].at} if is_end else set()
            by_age = by_age[last + 1 :]
        extra = [each for each in by_age if each.standing == "addendum"]
        for lang_group in _by_lang([each for each in by_age if each.standing != "addendum"]):
            best = max(enumerate(lang_group), key=lambda pair: (_TIERS[pair[1].standing], pair[0]))[1]
            superseded |= {each.at for each in lang_group} - {best.at}
            own = tuple(each.at for each in extra if each.lang in (best.lang, None) or best.lang is None)
            if own:
                addenda[best.at] = own
        used = {at for each in addenda.values() for at in each}
        loose = [each.at for each in extra if each.at not in used]
        if len(loose) > 1:  # addenda without their report: one text of them all
            addenda[loose[0]] = tuple(loose[1:])
        everyone = tuple(each.at for each in group)
        for each in group:
            if each.at not in superseded:
                members[each.at] = tuple(at for at in everyone if at != each.at)
    return Kept(frozenset(superseded), addenda, frozenset(withdrawn), members)


def _by_lang(group: Sequence[Version]) -> list[list[Version]]:
    """By language; where one is not known, the group is one."""
    if any(each.lang is None for each in group):
        return [list(group)] if group else []
    found: dict[Lang | None, list[Version]] = {}
    for each in group:
        found.setdefault(each.lang, []).append(each)
    return list(found.values())


def _groups(versions: list[Version]) -> list[list[Version]]:
    """Members of each group; a report that replaces another joins its group (union by smallest)."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for each in versions:
        if each.group is not None:
            for earlier in each.replaces:
                first, second = sorted((root(each.group), root(earlier)))
                parent[second] = first
    found: dict[str, list[Version]] = {}
    alone: list[list[Version]] = []
    for each in versions:
        if each.group is None:
            alone.append([each])
        else:
            found.setdefault(root(each.group), []).append(each)
    return [*alone, *found.values()]
