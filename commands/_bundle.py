"""Options that belong together: a command gets them from one table, and they reach it as one argument."""

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

Command = Callable[..., None]


def bundled(
    name: str,
    options: Mapping[str, Any],
    made: Callable[[dict[str, Any]], Any],
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> Callable[[Command], Command]:
    """A decorator: the command knows `options` (name -> annotated type) in the place of its argument `name`, and has in
    that argument what `made` makes of them. One that is not given is what `defaults` says, else None."""

    def decorate(command: Command) -> Command:
        own = inspect.signature(command)

        @functools.wraps(command)
        def wrapper(**given: Any) -> None:
            taken = {option: given.pop(option) for option in options}
            command(**given, **{name: made(taken)})

        added = [
            inspect.Parameter(
                option, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(option), annotation=annotation
            )
            for option, annotation in options.items()
        ]
        shown = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for each in own.parameters.values()
            for parameter in (added if each.name == name else [each])
        ]
        wrapper.__signature__ = own.replace(parameters=shown)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {each.name: each.annotation for each in shown}
        return wrapper

    return decorate
