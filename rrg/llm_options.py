"""The options of a command line -> the settings of the client, and what of them a run record holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrg.errors import UsageError
from rrg.llm_settings import LlmSettings


@dataclass(frozen=True, kw_only=True)
class LlmOptions:
    """What was said on the command line about the language model."""

    where: str | None = None
    """GGUF file, or addresses with commas."""
    model: str | None = None
    cache: Path | None = None
    cache_only: bool = LlmSettings.cache_only
    seed: int = LlmSettings.seed
    temperature: float = LlmSettings.temperature
    max_tokens: int = LlmSettings.max_tokens
    parallel: int = LlmSettings.parallel
    timeout_s: float = LlmSettings.timeout_s
    tries: int = LlmSettings.tries
    key_env: str | None = LlmSettings.key_env
    proxy: bool = LlmSettings.proxies
    threads: int = LlmSettings.threads
    context: int = LlmSettings.context

    def settings(self, meter: str | None = None) -> LlmSettings:
        """Settings with the identity of the model; its file is hashed, or its servers are asked what they serve.

        Raises UsageError for what can not be meant, RrgError(E_LLM_DOWN, E_MODEL) when the servers do not answer
        or do not serve one model.
        """
        from rrg.llm import identified
        from rrg.llm_wire import check_url

        path: str | None = None
        urls: tuple[str, ...] = ()
        if self.where is None:
            if not self.cache_only:
                raise UsageError("--llm is missing: give FILE.gguf or http://host:port/v1, or --llm-cache-only")
        elif "://" in self.where:
            urls = tuple(dict.fromkeys(check_url(each) for each in self.where.split(",") if each.strip()))
        else:
            path = self.where
        if self.cache_only and self.cache is None:
            raise UsageError("--llm-cache-only needs --llm-cache DIR")
        return identified(
            LlmSettings(
                identity="",
                path=path,
                urls=urls,
                name=self.model or "",
                temperature=self.temperature,
                seed=self.seed,
                max_tokens=self.max_tokens,
                context=self.context,
                threads=self.threads,
                parallel=self.parallel,
                timeout_s=self.timeout_s,
                tries=self.tries,
                key_env=self.key_env,
                proxies=self.proxy,
                cache=None if self.cache is None else str(self.cache),
                cache_only=self.cache_only,
                meter=meter,
            )
        )


def recorded(settings: LlmSettings) -> dict[str, Any]:
    """Options for the run record: those that change answers; no address, no path, no number of requests."""
    return {"llm_seed": settings.seed, "llm_temperature": settings.temperature, "llm_max_tokens": settings.max_tokens}
