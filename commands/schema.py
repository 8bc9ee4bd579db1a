"""rrg schema: print the JSON Schema of a record kind."""

from typing import Annotated

import typer

from rrg.errors import UsageError
from rrg.records import KINDS


def command(
    kind: Annotated[str | None, typer.Argument(help="Kind, e.g. slice or rrg.slice/1; none lists them.")] = None,
) -> None:
    """Print the JSON Schema of a record kind.

    Example:  rrg schema rrg.slice/1 | head -20
    """
    import json

    from rrg.codec import json_schema

    if kind is not None and kind not in KINDS:
        kind = next((name for name in KINDS if name == f"rrg.{kind}/1"), kind)
    if kind is None:
        print("\n".join(KINDS))
    elif kind in KINDS:
        print(json.dumps(json_schema(kind), indent=1, sort_keys=True))
    else:
        raise UsageError(f"no kind {kind!r}; one of {', '.join(KINDS)}")
