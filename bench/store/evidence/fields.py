"""The types that evidence is made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

Count = Annotated[int, Field(ge=0)]
Some = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Stop = Literal["interval", "budget"]
Share = Annotated[float, Field(ge=0, le=100)]


class RowEvidence(BaseModel):
    """The content of a detail; unknown keys are kept unchanged."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    def to_detail(self) -> dict[str, Any]:
        """Return the detail, JSON-ready, without the fields that hold their default."""
        return self.model_dump()

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in dump(self).items()
            if name not in fields or fields[name].is_required() or getattr(self, name) != fields[name].default
        }
