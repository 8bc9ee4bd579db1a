"""The options of ``--rewrite`` -> what workers are told, and what the run record says of it."""

from pathlib import Path

from rrg.errors import UsageError
from rrg.llm_options import LlmOptions
from rrg.llm_settings import LlmSettings
from rrg.provenance import sha256_file
from rrg.reports.rewrite import Rewriting
from rrg.reports.rewrite_given import read_translations
from rrg.reports.rewrite_llm import prompt_version


def by_model(kinds: tuple[str, ...], translations: Path | None, llm: LlmOptions) -> bool:
    """Whether a language model translates. Raises UsageError when nothing could."""
    if "translation" not in kinds:
        if translations is not None:
            raise UsageError("--translations needs --rewrite translation")
        return False
    wanted = llm.where is not None or llm.cache_only
    if translations is None and not wanted:
        raise UsageError("--rewrite translation needs --translations FILE or a language model (--llm)")
    return wanted


def rewriting_of(
    kinds: tuple[str, ...], translations: Path | None, llm: LlmSettings | None
) -> tuple[Rewriting | None, dict[str, str]]:
    """What workers are told (None: nothing is reworded), and side inputs for the run record."""
    if not kinds:
        return None, {}
    inputs: dict[str, str] = {}
    if translations is not None:
        read_translations(str(translations))  # a wrong file stops the run before it begins
        inputs["translations"] = sha256_file(translations)
    if llm is not None:
        inputs["translation_prompt"] = prompt_version()
    given = None if translations is None else str(translations)
    return Rewriting(static="static" in kinds, translations=given, llm=llm), inputs
