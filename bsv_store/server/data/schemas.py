"""JSON schemas of answers, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TABLE: Final[Mapping[str, Any]] = {"$ref": "#/components/schemas/Table"}

WARNINGS: Final[Mapping[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["code", "message", "hint"],
        "properties": {
            "code": {"type": "string"},
            "message": {"type": "string"},
            "hint": {"type": ["string", "null"]},
        },
    },
}


def an_object(**members: Mapping[str, Any]) -> dict[str, Any]:
    """An object with these members; others are possible."""
    return {"type": "object", "required": sorted(members), "properties": dict(members)}


def list_of(kind: str) -> dict[str, Any]:
    """A list of values of one type."""
    return {"type": "array", "items": {"type": kind}}
