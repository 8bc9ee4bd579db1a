"""Options of the language model, for every command that asks one; they reach it as one ``llm: LlmOptions``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rrg.llm_options import LlmOptions

from ._bundle import bundled

_OPTIONS: dict[str, Any] = {
    "llm": Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Language model: FILE.gguf, or http://host:port/v1 of an OpenAI-compatible server (several with "
            "commas).",
        ),
    ],
    "llm_model": Annotated[str | None, typer.Option(help="Name of the model on the servers. Default: the only one.")],
    "llm_cache": Annotated[
        Path | None, typer.Option(help="Folder that keeps all answers; with it a run can be repeated.")
    ],
    "llm_cache_only": Annotated[
        bool, typer.Option("--llm-cache-only", help="Take every answer from --llm-cache, ask no model.")
    ],
    "llm_seed": Annotated[int, typer.Option(min=0, help="Seed of the model's choices.")],
    "llm_temperature": Annotated[float, typer.Option(min=0, max=2, help="0: always the likeliest token.")],
    "llm_max_tokens": Annotated[int, typer.Option(min=16, help="Longest answer in tokens, reasoning included.")],
    "llm_parallel": Annotated[int, typer.Option(min=1, help="Requests in flight, of each process.")],
    "llm_timeout_s": Annotated[float, typer.Option(min=1, help="Longest wait for an answer of a server.")],
    "llm_tries": Annotated[int, typer.Option(min=1, help="Failures of a request before the servers are down.")],
    "llm_key_env": Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the key of the servers.")
    ],
    "llm_proxy": Annotated[bool, typer.Option("--llm-proxy", help="Use the proxies of the environment.")],
    "llm_threads": Annotated[int, typer.Option(min=0, help="Threads for a GGUF file; 0: half of the cores.")],
    "llm_context": Annotated[int, typer.Option(min=512, help="Tokens of prompt and answer of a GGUF file.")],
}
"""Option -> its type and help; the defaults are those of `LlmOptions`."""


def _field(option: str) -> str:
    return "where" if option == "llm" else option.removeprefix("llm_")


def _made(given: dict[str, Any]) -> LlmOptions:
    return LlmOptions(**{_field(option): value for option, value in given.items()})


with_llm = bundled("llm", _OPTIONS, _made, {option: getattr(LlmOptions, _field(option)) for option in _OPTIONS})
"""Gives a command the options of the language model."""
