"""The schema of lines and plans, made of the classes that hold them in memory: a field and its type are said once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model


class Strict(BaseModel):
    """Plain data with these fields and no others, nothing of which is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def model(of: type[Any], *, without: Collection[str] = (), text: Any = str, **kinds: Any) -> type[Strict]:
    """Return the schema of a dataclass as plain data; every field must be there.

    Args:
        of: the dataclass.
        without: its fields that are stored elsewhere.
        text: the type of its texts.
        kinds: fields that the plain data have besides, and types that differ there.
    """
    hints = {name: text if hint is str else hint for name, hint in get_type_hints(of).items() if name not in without}
    found: dict[str, Any] = {}
    for name, kind in (hints | kinds).items():
        attribute = f"{name}_" if hasattr(BaseModel, name) else name
        found[attribute] = Annotated[kind, Field(alias=name)]
    return create_model(of.__name__, __base__=Strict, **found)
