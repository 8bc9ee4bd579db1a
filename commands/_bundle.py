"""Options that belong together: a command gets them from one table, and they reach it as one argument."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

Command = Callable[..., None]


def bundled(
    name: str, options: Mapping[str, Any], made: Callable[[dict[str, Any]], Any]
) -> Callable[[Command], Command]:
    """A decorator: the command knows `options` (name -> annotated type, None when not given), and has in its argument
    `name` what `made` makes of them."""

    def decorate(command: Command) -> Command:
        own = inspect.signature(command)

        @functools.wraps(command)
        def wrapper(**given: Any) -> None:
            taken = {option: given.pop(option) for option in options}
            command(**given, **{name: made(taken)})

        added = [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for option, annotation in options.items()
        ]
        kept = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own.parameters.values() if each.name != name
        ]
        wrapper.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
        wrapper.__annotations__ = {each.name: each.annotation for each in (*kept, *added)}
        return wrapper

    return decorate
