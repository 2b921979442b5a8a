"""Figures as printed: the values that a text such as "33" or "84.20" can stand for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, InvalidOperation

_EXACT = Context(prec=400)
"""Enough digits that nothing here is ever rounded but on purpose."""


@dataclass(frozen=True)
class Printed:
    """A figure as printed.

    Attributes:
        text: as it stands in the source.
        value: its value.
        step: one unit of its last digit: 1 for "33", 0.01 for "84.20".
    """

    text: str
    value: Decimal
    step: Decimal

    @classmethod
    def parse(cls, text: str) -> Printed | None:
        """Return the figure that ``text`` prints, or None if it is no finite number."""
        try:
            value = Decimal(text)
        except InvalidOperation:
            return None
        if not value.is_finite() or abs(value.adjusted()) > 100:
            return None
        exponent = value.as_tuple().exponent
        assert isinstance(exponent, int)
        return cls(text.strip(), value, Decimal((0, (1,), exponent)))

    @property
    def decimals(self) -> int:
        """The number of digits behind the point; negative for "3e4"."""
        return -int(self.step.adjusted())

    def is_rounded(self, value: Decimal) -> bool:
        """Whether ``value`` rounds to this figure, halves to the even digit or away from zero."""
        return any(self._as_printed(value, way) == self.value for way in (ROUND_HALF_EVEN, ROUND_HALF_UP))

    def is_rounded_twice(self, value: Decimal) -> bool:
        """Whether ``value`` rounds to this figure from a digit more than is printed: 5.5549 to 5.555 to 5.56."""
        return self.is_rounded(value.quantize(self.step / 10, rounding=ROUND_HALF_UP, context=_EXACT))

    def is_cut_off(self, value: Decimal) -> bool:
        """Whether ``value`` gives this figure when its further digits are dropped."""
        return self._as_printed(value, ROUND_DOWN) == self.value

    def bounds(self) -> tuple[Decimal, Decimal]:
        """Return the least and the greatest value that may have been rounded to this figure."""
        half = self.step / 2
        return self.value - half, self.value + half

    def _as_printed(self, value: Decimal, way: str) -> Decimal:
        return value.quantize(self.step, rounding=way, context=_EXACT)


def scaled(value: float | int, scale: Decimal) -> Decimal:
    """Return ``value / scale`` without rounding an integer or a float on the way (scales are powers of 2 and 10)."""
    return _EXACT.divide(Decimal(value), scale)


def relative(value: Decimal, reference: Decimal) -> float | None:
    """Return the distance of ``value`` from ``reference``, as a signed fraction of it; None if that is 0."""
    return float((value - reference) / abs(reference)) if reference else None


def show(value: Decimal | float, decimals: int = 0, digits: int = 4) -> str:
    """Return ``value`` as text with at least ``decimals`` behind the point and, if it has more, ``digits`` in all."""
    number = Decimal(value)
    if number == 0:
        return "0"
    if number.adjusted() < -4 and decimals < 4:
        return f"{number:.2e}"
    places = max(decimals, digits - 1 - number.adjusted(), 0)
    text = f"{number:.{places}f}"
    if number == number.to_integral_value() and decimals <= 0:
        return f"{number:.0f}"
    return text


def show_relative(fraction: float) -> str:
    """Return a signed per cent: ``+2.1 %``."""
    percent = 100 * fraction
    if 0 < abs(percent) < 0.01:
        return f"{percent:+.1g} %"
    return f"{percent:+.1f} %" if abs(percent) >= 1 else f"{percent:+.2f} %"
