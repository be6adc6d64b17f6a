"""Make dataclasses of JSON and check the types: what was written by hand, or by another program, may be anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Made = TypeVar("Made")


def typed(kind: type[Made], values: Mapping[str, Any]) -> Made:
    """Return a dataclass made of JSON values; raise TypeError that names a field that is missing or of another type."""
    hints = _hints(kind)  # type: ignore[arg-type]  # a class is hashable
    wanted = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # it is a dataclass
    if unknown := values.keys() - wanted.keys():
        raise TypeError(f"{', '.join(sorted(unknown))}: not known in a {kind.__name__}")
    made: dict[str, Any] = {}
    for name, field in wanted.items():
        if name in values:
            made[name] = as_tuples(values[name])
            if not fits(made[name], hints[name]):
                raise TypeError(f"{name} of a {kind.__name__} can't be {values[name]!r}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise TypeError(f"{name} of a {kind.__name__} is missing")
    return kind(**made)


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Return what a class says its fields are: once a class, for it takes longer than reading the values."""
    return get_type_hints(kind)


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of the type that a hint names: a class, a union, or a tuple of any length."""
    origin = get_origin(hint)
    if origin in {Union, UnionType}:
        return any(fits(value, one) for one in get_args(hint))
    if origin is tuple:
        item, *rest = get_args(hint)
        if rest != [Ellipsis]:
            raise NotImplementedError(f"{hint}: a tuple of several types")
        return isinstance(value, tuple) and all(fits(one, item) for one in value)
    if hint is NoneType:
        return value is None
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else origin or hint)


def as_tuples(value: Any) -> Any:
    """Return JSON with tuples for its lists, so that it can't change."""
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value
