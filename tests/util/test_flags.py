"""Types of flags, in argparse itself: values, bounds, and what is said of others."""

import math
from argparse import ArgumentError, ArgumentParser

import pytest

from util.flags import integer, number


def parse(kind, text):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--x", type=kind)
    return parser.parse_args([f"--x={text}"]).x


@pytest.mark.parametrize("kind, text, value", [
    (number(), "-1e-3", -0.001), (number(above=0), "1e-300", 1e-300), (number(at_least=0, below=1), "0", 0.0),
    (number(at_least=0, below=1), "0.999", 0.999), (integer(), "-7", -7), (integer(at_least=1), "1", 1),
    (integer(below=2**32), "4294967295", 2**32 - 1), (integer(at_least=1, or_inf=True), "inf", math.inf),
    (integer(at_least=1, or_inf=True), "20", 20)])
def test_text_becomes_a_number_of_the_flags_kind(kind, text, value):
    found = parse(kind, text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("kind, text, message", [
    (number(above=0), "0", "is 0; it must be above 0 and finite"),
    (number(above=0), "inf", "is inf; it must be above 0 and finite"),
    (number(), "-inf", "is -inf; it must be finite"),
    (number(), "nan", "is nan; it must be finite"),
    (number(at_least=0, below=1), "1", "is 1; it must be at least 0 and below 1"),
    (number(), "much", "is 'much'; it must be a number"),
    (integer(at_least=1), "0", "is 0; it must be at least 1"),
    (integer(at_least=0), "0.5", "is '0.5'; it must be a whole number"),
    (integer(at_least=0), "inf", "is 'inf'; it must be a whole number"),
    (integer(at_least=1, or_inf=True), "-inf", "is '-inf'; it must be a whole number or inf")])
def test_other_text_is_refused_with_value_and_wish(kind, text, message):
    with pytest.raises(ArgumentError) as error:
        parse(kind, text)
    assert str(error.value) == f"argument --x: {message}"


@pytest.mark.parametrize("value", [True, "3", None, 2.5, math.nan, [3]])
def test_what_json_may_hold_beside_whole_numbers_is_not_one(value):
    assert not integer().allows(value)
    assert number().allows(2.5) and number().allows(3) and not number().allows(True)
