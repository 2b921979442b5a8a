"""What a printed figure can stand for."""

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimbench.bench.core.rounding import Printed, relative, scaled, show, show_relative


def matches(text, value):
    return Printed.parse(text).is_rounded(Decimal(str(value)))


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("33", 33.467040, True),
        ("33", 32.5, True),  # half up
        ("32", 32.5, True),  # half even
        ("33", 33.5, False),
        ("34", 33.5, True),
        ("33.0", 33.46, False),
        ("33.0", 33.04, True),
        ("84.20", 84.204, True),
        ("84.20", 84.21, False),
        ("84.2", 84.21, True),
        ("3e4", 34_999, True),
        ("3e4", 35_001, False),
        ("-1.5", -1.54, True),
        ("0", 0.4, True),
        ("0.0", 0.04, True),
        ("16", 16.45, True),
    ],
)
def test_a_value_matches_what_it_rounds_to(text, value, expected):
    assert matches(text, value) is expected


@pytest.mark.parametrize("text", ["", "n/a", "nan", "inf", "-Infinity", "1e999", "1,000", "33 M"])
def test_text_that_is_no_finite_number_is_no_figure(text):
    assert Printed.parse(text) is None


@pytest.mark.parametrize(
    ("text", "is_figure"), [("1e100", True), ("1e101", False), ("1e-100", True), ("1e-101", False)]
)
def test_a_figure_beyond_a_hundred_digits_is_none(text, is_figure):
    assert (Printed.parse(text) is not None) is is_figure


@pytest.mark.parametrize(
    ("text", "step", "low", "high"),
    [
        ("33", "1", "32.5", "33.5"),
        (" 84.20\n", "0.01", "84.195", "84.205"),
        ("3e4", "1e4", "25000", "35000"),
        ("-1.5", "0.1", "-1.55", "-1.45"),
    ],
)
def test_a_figure_stands_for_half_a_unit_of_its_last_digit_to_either_side(text, step, low, high):
    printed = Printed.parse(text)
    assert printed.text == text.strip()
    assert printed.step == Decimal(step)
    assert printed.bounds() == (Decimal(low), Decimal(high))


def test_a_value_of_very_many_digits_is_judged_and_not_rounded_on_the_way():
    value = 10**60 + 1
    assert scaled(value, Decimal(1)) == value
    assert scaled(0.1, Decimal(1)) == Decimal.from_float(0.1), "the float's exact value"
    assert not Printed.parse("84.20").is_rounded(Decimal(value))
    assert Printed.parse(f"{value}.00").is_rounded(Decimal(value))


def test_cutting_off_digits_is_told_from_rounding():
    printed = Printed.parse("14.13")
    assert printed.is_cut_off(Decimal("14.139579"))
    assert not printed.is_rounded(Decimal("14.139579"))


values = st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, places=6)


@given(values, st.integers(0, 4), st.sampled_from([ROUND_HALF_EVEN, ROUND_HALF_UP]))
def test_every_value_matches_its_own_rounding(value, places, way):
    printed = Printed.parse(f"{value.quantize(Decimal(1).scaleb(-places), rounding=way):f}")
    assert printed.decimals == places
    assert printed.is_rounded(value)
    low, high = printed.bounds()
    assert low <= value <= high


@given(values, values, st.integers(0, 4))
def test_what_matches_is_within_half_a_unit_and_what_is_nearer_matches(value, other, places):
    printed = Printed.parse(f"{value:.{places}f}")
    distance = abs(other - printed.value)
    if printed.is_rounded(other):
        assert distance <= printed.step / 2
    if distance < printed.step / 2:
        assert printed.is_rounded(other)


@given(st.integers(-(10**18), 10**18))
def test_integers_are_scaled_without_loss(value):
    assert scaled(value, Decimal(10**6)) * 10**6 == value
    assert scaled(value, Decimal(2**20)) * 2**20 == value


def test_relative_differences_are_signed_and_need_a_reference():
    assert relative(Decimal(102), Decimal(100)) == pytest.approx(0.02)
    assert relative(Decimal(-102), Decimal(-100)) == pytest.approx(-0.02)
    assert relative(Decimal(1), Decimal(0)) is None


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.021, "+2.1 %"),
        (-0.0004, "-0.04 %"),
        (3.4, "+340.0 %"),
        (0.0, "+0.00 %"),
        (3e-6, "+0.0003 %"),
        (-3e-6, "-0.0003 %"),
        (7e-5, "+0.007 %"),
        (0.01, "+1.0 %"),
        (0.0099, "+0.99 %"),
        (0.015, "+1.5 %"),
        (-0.05, "-5.0 %"),
    ],
)
def test_differences_are_shown_with_their_sign(fraction, text):
    assert show_relative(fraction) == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (Decimal("33.46704"), 0, "33.47"),
        (Decimal("33.46704"), 3, "33.467"),
        (Decimal(14139579), 0, "14139579"),
        (Decimal("1234.5678"), 0, "1235"),
        (Decimal("3e-13"), 0, "3.00e-13"),
        (Decimal(0), 0, "0"),
        (Decimal(0), 2, "0"),
        (Decimal(1), 0, "1"),
        (Decimal(-1), 0, "-1"),
        (Decimal("56"), 1, "56.00"),
        (Decimal("56"), 0, "56"),
        (Decimal("12345.6"), -2, "12346"),
        (Decimal("1e-4"), 0, "0.0001000"),
        (Decimal("9.876e-5"), 0, "9.88e-5"),
        (Decimal("9.876e-5"), 3, "9.88e-5"),
        (Decimal("9.876e-5"), 4, "0.00009876"),
    ],
)
def test_values_are_shown_with_four_digits_or_more(value, decimals, text):
    assert show(value, decimals) == text


def test_a_whole_number_is_shown_without_decimals_unless_some_are_asked_for():
    assert show(Decimal(56)) == "56"
    assert show(2.0, 2, 3) == "2.00"
