"""The schema of lines and plans, made of the classes that hold them in memory: a field and its type are said once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from claimbench.bench.core.records import Measurement


class Strict(BaseModel):
    """Plain data with these fields and no others, nothing of which is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def model(
    of: type[Any], *, without: Collection[str] = (), text: Any = str, defaults: bool = False, **kinds: Any
) -> type[Strict]:
    """Return the schema of a dataclass as plain data; every field must be there.

    Args:
        of: the dataclass.
        without: its fields that are stored elsewhere.
        text: the type of its texts.
        defaults: whether a field with a default may be absent.
        kinds: fields that the plain data have besides, and types that differ there.
    """
    hints = {name: text if hint is str else hint for name, hint in get_type_hints(of).items() if name not in without}
    optional = {f.name for f in fields(of) if defaults and (f.default, f.default_factory) != (MISSING, MISSING)}
    found: dict[str, Any] = {}
    for name, kind in (hints | kinds).items():
        attribute = f"{name}_" if hasattr(BaseModel, name) else name
        found[attribute] = Annotated[kind, Field(alias=name, default=None) if name in optional else Field(alias=name)]
    return create_model(of.__name__, __base__=Strict, **found)


def first_fault(error: ValidationError) -> str:
    """Return the place and the reason of the first error, one phrase."""
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in fault["loc"])[:120]
    reason = {"extra_forbidden": "unknown field", "missing": "missing"}.get(fault["type"], fault["msg"])
    return f"{place}: {reason}" if place else reason


_ROW = model(Measurement, samples=list[float])
_ROWS: TypeAdapter[Any] = TypeAdapter(list[_ROW])  # type: ignore[valid-type]  # a class that is made when it runs


def read_measurements(rows: Any) -> list[Measurement]:
    """Return the measurements that plain data hold, as a process answers them.

    Raises:
        ValueError: they hold none; one phrase names the field.
    """
    try:
        _ROWS.validate_python(rows)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error
    return [Measurement(**{**row, "samples": tuple(row["samples"])}) for row in rows]
