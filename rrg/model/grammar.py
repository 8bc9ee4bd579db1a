"""Grammars for llama.cpp (GBNF) that let a model write boxes only in the whole form of its dialect."""

from rrg.boxes import Dialect
from rrg.boxes_grammars import SEGMENTS
from rrg.errors import UsageError


def gbnf(dialect: Dialect) -> str:
    """The grammar of answers in a dialect: any text, in it phrases with whole boxes. UsageError where there is none.

    A ``<`` stands in text only before a blank, as `rrg.prompt.break_tokens` writes it. That corners are in order is
    more than a grammar can say: `rrg.boxes.decode` still flags such a box.
    """
    if dialect.kind == "loc":
        return _rules('phrase ::= "<p>" char+ box+', _numbers(dialect))
    if dialect.kind == "radgrounder":
        classes = " | ".join(f'"<seg{number:03d}>"' for number in range(SEGMENTS))
        phrase = f'phrase ::= "<p bbox=" box (" id=" seg)? ">" char* "</p>"\nseg ::= {classes}'
        return _rules(phrase, _numbers(dialect, 4))
    if dialect.kind == "paligemma":
        return _rules('phrase ::= box+ " " char+ " ;"', _numbers(dialect, 4))
    if dialect.kind == "internvl":
        return _rules(
            'phrase ::= "<ref>" char+ "</ref><box>[" list (", " list)* "]</box>"\n'
            'list ::= "[" number ", " number ", " number ", " number "]"',
            'number ::= "1000" | [0-9] [0-9]? [0-9]?',
        )
    raise UsageError(
        f"--grammar: boxes of the dialect {dialect.kind} are plain text, which may hold any bracket; "
        "it is for loc, radgrounder, paligemma and internvl"
    )


def _rules(phrase: str, numbers: str) -> str:
    return f'root ::= (char | phrase)*\nchar ::= [^<] | "< "\n{phrase}\n{numbers}\n'


def _numbers(dialect: Dialect, width: int | None = None) -> str:
    """``box`` of four location tokens; each number stands there as it is written."""
    width = width or len(str(dialect.bins - 1))
    locs = " | ".join(f'"<loc{number:0{width}d}>"' for number in range(dialect.bins))
    return f"box ::= loc loc loc loc\nloc ::= {locs}"
