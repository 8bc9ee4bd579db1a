"""What `rrg parse-reports` was told to do, beyond the texts themselves."""

from dataclasses import dataclass

from rrg.llm_settings import LlmSettings
from rrg.reports.clinic import Clinic
from rrg.reports.link import Decision
from rrg.reports.phi import Phi
from rrg.reports.rewrite import Rewriting
from rrg.reports.sources import Where


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Handed to every worker: plain values only. A part that is off is None."""

    where: Where
    """The reports, and the key of the pseudonyms."""
    phi: Phi | None = None
    """What becomes of names and dates in the text; None: they stay."""
    rules: Clinic | None = None
    """A clinic's own words and patterns."""
    llm: LlmSettings | None = None
    """The language model that reads every sentence again."""
    coverage: str | None = None
    """File in which `rrg.reports.coverage` gathers what the rules do not know."""
    rewriting: Rewriting | None = None
    """Other wordings of sentences."""
    plan: str | None = None
    """File of `rrg.reports.linking.save`: what was found out of all studies before."""
    image_number: str = "auto"
    """How image numbers are read: ``auto``, ``instance``, ``frame`` or ``index``."""
    decisions: tuple[Decision, ...] | None = None
    """What a first pass over an index decided on ``auto``; None: each study by itself."""
