"""What the commands of a recipe take: their own options, as `rrg.recipes` checks them."""

import enum
import importlib
import inspect
import types
import typing
from collections.abc import Iterable
from typing import Any

from rrg.recipes import Option


def options_of(names: Iterable[str]) -> dict[str, dict[str, Option]]:
    """Command -> option without dashes -> what it takes. Only commands that are named are loaded."""
    from rrg.cli import COMMANDS

    wanted = set(names)
    return {name: _options(name) if name in wanted else {} for name in COMMANDS if name != "pipeline"}


def _options(name: str) -> dict[str, Option]:
    """Words from the parser that Typer made, types from the signature that it was made of."""
    from rrg.cli import load

    module: Any = importlib.import_module(f"rrg.commands.{name.replace('-', '_')}")
    signature = inspect.signature(module.command)
    return {
        word.lstrip("-"): _option(parameter, signature.parameters[parameter.name].annotation)
        for parameter in load(name).params
        for word in parameter.opts
        if word.startswith("--") and parameter.name in signature.parameters
    }


def _option(parameter: Any, annotation: Any) -> Option:
    if getattr(parameter, "is_flag", False):
        return Option("flag", off=next(iter(parameter.secondary_opts), None))
    info: Any = None
    if typing.get_origin(annotation) is typing.Annotated:
        annotation, info, *_ = typing.get_args(annotation)
    multiple = bool(getattr(parameter, "multiple", False))
    kind = _bare(annotation)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return Option("choice", choices=tuple(str(each.value) for each in kind), multiple=multiple)
    if typing.get_origin(kind) is typing.Literal:
        return Option("choice", choices=tuple(map(str, typing.get_args(kind))), multiple=multiple)
    if kind not in (int, float):
        return Option(multiple=multiple)
    low, high = getattr(info, "min", None), getattr(info, "max", None)
    return Option("whole" if kind is int else "number", low=low, high=high, multiple=multiple)


def _bare(annotation: Any) -> Any:
    """``list[X] | None`` -> X."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(each for each in typing.get_args(annotation) if each is not type(None))
    if typing.get_origin(annotation) is list:
        return _bare(typing.get_args(annotation)[0])
    return annotation
