"""Options of `rrg parse-reports` around its rules: scoring them, adding to them, finding what they do not know."""

import enum
from pathlib import Path
from typing import Annotated

import typer


class Engine(enum.StrEnum):
    """Who reads the text."""

    RULES = "rules"
    LLM = "llm"


class EvaluationFormat(enum.StrEnum):
    """How scores are printed."""

    TABLE = "table"
    JSON = "json"


class RewriteKind(enum.StrEnum):
    """Another wording of a sentence."""

    STATIC = "static"
    TRANSLATION = "translation"


Rewrite = Annotated[
    list[RewriteKind] | None,
    typer.Option(
        help="static: without what only an earlier examination shows; translation: by --translations, else --llm; both "
        "may be given."
    ),
]
Translations = Annotated[
    Path | None,
    typer.Option(help="Translations of sentences: .jsonl or .csv with text, translation and perhaps report (an id)."),
]
Rules = Annotated[
    Path | None,
    typer.Option(help="TOML file of the clinic's own headings, abbreviations, words and reference patterns."),
]
Coverage = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Table of frequent headings, abbreviations, references and words not known; - is stderr."
    ),
]
EngineOption = Annotated[
    Engine, typer.Option(help="llm: a language model (--llm) reads each sentence too, may doubt and add, never change.")
]
Evaluate = Annotated[
    list[Path] | None,
    typer.Option(metavar="GOLD", help="Score the rules on gold files (docs/gold.md) instead; more may follow as FILE."),
]
AtLeast = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FACT=VALUE", help="With --evaluate: exit 1 when a score is lower; or a TOML file of them. [f1]"
    ),
]
Errors = Annotated[bool, typer.Option("--errors", help="With --evaluate: list every false positive and negative.")]
Format = Annotated[EvaluationFormat, typer.Option(help="With --evaluate: what stdout gets; --out gets JSON.")]
