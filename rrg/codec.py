"""JSON line <-> record. The only place that knows the validator."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from rrg import records
from rrg.errors import RecordError
from rrg.records import KINDS, Record

R = TypeVar("R", bound=Record)


def _alias(name: str) -> str:
    return name.rstrip("_")


for _cls in vars(records).values():
    if isinstance(_cls, type) and dataclasses.is_dataclass(_cls):
        config = ConfigDict(strict=True, extra="forbid", alias_generator=_alias, allow_inf_nan=False)
        setattr(_cls, "__pydantic_config__", config)  # noqa: B010 - not an attribute mypy knows


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def encode(record: Record) -> bytes:
    """One JSON line, UTF-8, without the line end. Fields that are None are left out."""
    return _adapter(type(record)).serializer.to_json(record, by_alias=True, exclude_none=True)


def content_id(line: bytes) -> str:
    """The id of a record that is known by its content: 20 hex digits of the SHA-256 of its line without id and run."""
    return hashlib.sha256(line).hexdigest()[:20]


def decode(line: bytes, kind: type[R]) -> R:
    """Validate one JSON line as a record of `kind`. Raises RecordError(E_RECORD) naming the first bad field."""
    try:
        return cast(R, _adapter(kind).validator.validate_json(line))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        # an unknown field says more than the required one that it was meant to be
        first = min(faults, key=lambda fault: fault["type"] != "unexpected_keyword_argument")
        where = ".".join(str(part) for part in first["loc"]) or "record"
        name = _id(line)
        schema = next(name for name, cls in KINDS.items() if cls is kind)
        raise RecordError("E_RECORD", f"{schema}{name}: {where}: {first['msg']}") from None


def _id(line: bytes) -> str:
    """`` <id>`` of a line that is JSON, to tell where an error is."""
    try:
        found = json.loads(line)["id"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f" {found}" if isinstance(found, str) else ""


def schema_of(value: object) -> str | None:
    """The schema name of a decoded JSON value, if it is one of ours or anybody's."""
    if isinstance(value, dict):
        name = cast("dict[str, Any]", value).get("schema")
        return name if isinstance(name, str) else None
    return None


@functools.lru_cache(64)
def word_of(schema: str) -> str:
    """The word of a schema: ``slice`` of ``rrg.slice/1``."""
    return schema.removeprefix("rrg.").partition("/")[0]


def json_schema(name: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of a kind, e.g. ``rrg.slice/1``."""
    schema = _adapter(KINDS[name]).json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        **{key: value for key, value in schema.items() if key != "title"},
    }


def schema_files() -> Iterator[tuple[str, str]]:
    """(file name, text) of every published schema."""
    for name in KINDS:
        yield f"{name.replace('/', '-')}.json", json.dumps(json_schema(name), indent=1, sort_keys=True) + "\n"
