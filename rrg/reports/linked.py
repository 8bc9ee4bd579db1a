"""What became of the reports of an input: counted and told at its end."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from rrg.codec import schema_of
from rrg.errors import RecordError
from rrg.pipe import Count, Io, Made, error_record, talk
from rrg.reports.linking import COMMAND, forget, load, names_of, reports_of
from rrg.reports.settings import Settings
from rrg.reports.sources import Where, index
from rrg.reports.sources_keys import PATIENT_DATE
from rrg.stream import Line

NO_STUDY = (
    "no study of the stream belongs to this report; name it by accession number or Study Instance UID, use the key "
    "file of extract-slices, or pass --unmatched keep"
)
Unmatched = Literal["error", "keep", "ignore"]
ParseAlone = Callable[[Iterable[int], Settings, int], Iterator[Made]]


class Reports:
    """Remembers which reports belong to a study of the input; what is left comes at the end, and is counted."""

    def __init__(self, settings: Settings, io: Io, unmatched: Unmatched, parse_alone: ParseAlone) -> None:
        """`parse_alone` makes the records of reports without study, with ``keep``."""
        self._settings = settings
        self._io = io
        self._unmatched = unmatched
        self._alone = parse_alone
        self._times: Counter[int] = Counter()
        self._own: set[int] = set()
        """Reports of studies of this shard. The others' studies may be in the input too, or be in other inputs."""

    def seen(self, lines: Sequence[Line]) -> None:
        """Take the lines of one study."""
        slices = [line.value for line in lines if schema_of(line.head) == "rrg.slice/1"]
        if slices:
            names = names_of(slices, self._settings.where)
            found = reports_of(str(slices[0].get("study")), names, self._settings)
            self.take(found, own=self._io.has(str(slices[0].get("patient"))))

    def take(self, found: Iterable[int], *, own: bool) -> None:
        """These reports belong to a study; `own`: to one of this shard."""
        found = tuple(found)
        self._times.update(found)
        if own:
            self._own.update(found)

    def tail(self) -> Iterator[Made]:
        """Error records, or reports without a study, of this shard; then the counts."""
        table, plan = index(self._settings.where), load(self._settings.plan)
        added = {at for each in table.addenda.values() for at in each}
        counts: Counter[str] = Counter()
        left: list[int] = []
        for at, entry in enumerate(table.entries):
            here = self._io.has(entry.id)
            if at in table.superseded:
                counts["superseded"] += here
            elif at in added:
                counts["addendum"] += here
            elif at in self._own:
                counts["matched"] += 1
                counts["shared"] += self._times[at] > 1
            elif self._times[at] or not here:
                continue
            elif at in plan.ambiguous:
                counts["ambiguous"] += 1
                yield self._error(at, _ambiguous(plan.ambiguous[at], self._settings.where))
            elif self._unmatched != "ignore" or entry.problem is not None:
                counts["unmatched" if entry.problem is None else "unreadable"] += 1
                left.append(at)
        if self._unmatched == "keep":
            yield from self._alone(left, self._settings, self._io.workers)
        elif self._unmatched == "error":
            for at in left:
                yield self._error(at, table.entries[at].problem or NO_STUDY)
        for name, n in sorted(counts.items()):
            if n:
                yield Count(f"report.{name}", n)
        words = [f"{counts[name]} {name}" for name in ("matched", "ambiguous", "unmatched", "superseded")]
        more = {"addendum": "appended as addenda", "shared": "of several studies", "unreadable": "unreadable"}
        words += [f"{counts[name]} {text}" for name, text in more.items() if counts[name]]
        talk(COMMAND, "reports: " + ", ".join(words))
        forget(self._settings.plan)

    def _error(self, at: int, message: str) -> Made:
        entry = index(self._settings.where).entries[at]
        return error_record(RecordError("E_REPORT", message), COMMAND, f"report/{entry.id}")


def _ambiguous(n: int, where: Where) -> str:
    what = "the patient has {} studies on the day" if where.link == PATIENT_DATE else "{} studies fit the number"
    return (
        f"ambiguous: {what.format(n)} of this report; say which one by --link study-uid or a table (--link TABLE.csv)"
    )
