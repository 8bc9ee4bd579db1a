"""rrg where: what stands behind an id."""

from typing import Annotated

import typer

from . import _options as opt


def command(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of studies, series, slices or error sources.")],
    store: opt.Store,
) -> None:
    """What stands behind an id: UIDs and file names, one JSON line each, from the store's private folder.

    A reference such as series/<id>#17 is taken as its series. Exit code 1 when an id is not known.

    Example:  rrg where "$(grep -om1 'series/[0-9a-f]*' slices.jsonl)" --store store
    """
    import json

    from rrg.errors import RrgError
    from rrg.private import find

    for id_ in ids:
        plain = id_.removeprefix("series/").partition("#")[0]
        found = list(find(store, plain))
        if not found:
            raise RrgError(f"{id_}: the store's private folder does not know it; give the --store it was made with")
        for each in found:
            print(json.dumps({"id": id_} | each, sort_keys=True, ensure_ascii=False))
