"""Rows with a graph as RadGraph writes it: ``{"entities": {"1": {tokens, label, relations: [[type, id]]}}}``."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rrg.errors import RrgError
from rrg.formats.read import Row, Source

FIELD = "entities"


class Entity(NamedTuple):
    """One entity and where its relations lead."""

    tokens: str
    label: str
    relations: tuple[tuple[str, str], ...]
    """(type, tokens of the target)."""


Graph = tuple[Entity, ...]


def read(source: Source, names: Sequence[str]) -> list[Graph | None]:
    """The graph of every row; None where it is null. RrgError names file and line."""
    return [_of_row(source, row, names) for row in source.rows]


def _of_row(source: Source, row: Row, names: Sequence[str]) -> Graph | None:
    where = source.where(row.line)
    if FIELD in row.value:
        found: Any = row.value
    else:
        name = next((each for each in names if each in row.value), None)
        if name is None:
            raise RrgError(f"{where}: no graph; looked for {', '.join((FIELD, *names))}")
        found = row.value[name]
    if found is None or (isinstance(found, dict) and found.get(FIELD, {}) is None):
        return None
    if not isinstance(found, dict) or not isinstance(found.get(FIELD), dict):
        raise RrgError(f"{where}: expected a graph {{'entities': {{'1': {{tokens, label, relations}}}}}}")
    return of_entities(where, found[FIELD])


def of_entities(where: str, entities: Mapping[str, Any]) -> Graph:
    """The graph of entities by their numbers. RrgError names `where` they stand."""
    return tuple(_entity(where, key, entities) for key in entities)


def _entity(where: str, key: str, entities: Mapping[str, Any]) -> Entity:
    entity = entities[key]
    good = isinstance(entity, dict) and isinstance(entity.get("tokens"), str) and isinstance(entity.get("label"), str)
    relations = entity.get("relations", []) if isinstance(entity, dict) else None
    if not good or not isinstance(relations, list):
        raise RrgError(f"{where}: entity {key}: expected tokens, label and a list of relations")
    made = []
    for relation in relations:
        target = entities.get(str(relation[1])) if isinstance(relation, list) and len(relation) == 2 else None
        if not isinstance(target, dict) or not isinstance(target.get("tokens"), str):
            raise RrgError(f"{where}: entity {key}: a relation is [type, id of an entity of the same graph]")
        made.append((str(relation[0]), target["tokens"]))
    return Entity(entity["tokens"], entity["label"], tuple(made))
