"""What `rrg parse-reports` was told to do, beyond the texts themselves."""

from dataclasses import dataclass

from rrg.reports.clinic import Clinic
from rrg.reports.sources import Where


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Handed to every worker: plain values only. A part that is off is None."""

    where: Where
    """The reports, and the key of the pseudonyms."""
    rules: Clinic | None = None
    """A clinic's own words and patterns."""
