"""The schema of a class: its fields as plain data, with what differs there."""

from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from claimbench.bench.store.schema import model


@dataclass(frozen=True)
class Sample:
    name: str
    count: int | None
    sizes: tuple[int, ...]
    schema: int = 1
    kept_elsewhere: float = 0.0


GOOD = {"name": "a", "count": None, "sizes": [1, 2], "schema": 1}
SCHEMA = model(Sample, without=["kept_elsewhere"], sizes=list[int])


def test_every_field_of_a_class_is_one_of_its_schema():
    SCHEMA.model_validate(GOOD)
    for name in GOOD:
        with pytest.raises(ValidationError, match="Field required"):
            SCHEMA.model_validate({other: value for other, value in GOOD.items() if other != name})
    for more in ("kept_elsewhere", "schema_", "other"):
        with pytest.raises(ValidationError, match="not permitted"):
            SCHEMA.model_validate({**GOOD, more: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [("name", 1), ("count", "1"), ("count", True), ("sizes", (1, 2)), ("sizes", [1.0]), ("schema", 1.0)],
)
def test_nothing_is_converted(name, value):
    with pytest.raises(ValidationError):
        SCHEMA.model_validate({**GOOD, name: value})


def test_a_field_with_a_default_may_be_absent_where_that_is_said():
    found = model(Sample, sizes=list[int], defaults=True)
    found.model_validate({name: value for name, value in GOOD.items() if name != "schema"})
    with pytest.raises(ValidationError, match="Field required"):
        found.model_validate({name: value for name, value in GOOD.items() if name != "count"})


def test_texts_and_further_fields_have_the_types_that_are_given():
    found = model(Sample, without=["kept_elsewhere"], text=int, sizes=list[int], more=str)
    found.model_validate({**GOOD, "name": 7, "more": "b"})
    with pytest.raises(ValidationError):
        found.model_validate({**GOOD, "more": "b"})
