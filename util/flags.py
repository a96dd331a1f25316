"""Types of flags: what a flag's text stands for, and which values the flag may have.

A type raises ArgumentTypeError. OptionParser puts the flag's name in front: "--lr is 0; it must be ...".
"""

import math
from argparse import ArgumentTypeError
from dataclasses import dataclass
from typing import Any

TRUE, FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


def str2bool(text: str) -> bool:
    """True or false from the words people type, in any letter case."""
    word = text.lower()
    if word not in TRUE + FALSE:
        raise ArgumentTypeError(f"{text!r} is neither true nor false")
    return word in TRUE


def switch(text: str) -> bool | None:
    """True or false; None for the word auto, which leaves it to the device."""
    try:
        return None if text.lower() == "auto" else str2bool(text)
    except ArgumentTypeError as error:
        raise ArgumentTypeError(f"{error}, nor auto") from None


def number(*, above: float = -math.inf, at_least: float = -math.inf, below: float = math.inf) -> "Number":
    """The type of a flag that holds a finite number: `type=number(above=0)`."""
    return Number(float, above, at_least, below)


def integer(*, at_least: float = -math.inf, below: float = math.inf, or_inf: bool = False) -> "Number":
    """The type of a flag that holds a whole number: `type=integer(at_least=1)`.

    or_inf: the word inf is allowed too, and stands for no limit.
    """
    return Number(int, -math.inf, at_least, below, or_inf)


@dataclass(frozen=True)
class Number:
    """A number's kind (int or float) and its bounds; called with a flag's text, it gives the number."""

    kind: type
    above: float
    at_least: float
    below: float
    or_inf: bool = False

    def __call__(self, text: str) -> float:
        try:
            value = math.inf if self.or_inf and text == "inf" else self.kind(text)
        except ValueError:
            kind = "a number" if self.kind is float else "a whole number"
            raise ArgumentTypeError(f"is {text!r}; it must be {kind}{' or inf' * self.or_inf}") from None
        if not self.allows(value):
            raise ArgumentTypeError(f"is {text}; it must be {self.wish}")
        return value

    def allows(self, value: Any) -> bool:
        """Whether the flag may hold a value, typed or not (a default, or a value from a record)."""
        if value == math.inf:
            return self.or_inf
        # NaN fails every comparison; True is not a number here, though Python counts it as one.
        return (type(value) in (int, self.kind) and self.above < value
                and self.at_least <= value < self.below)

    @property
    def wish(self) -> str:
        """The bounds in words, such as "above 0 and finite"."""
        words = [f"above {self.above}"] if self.above > -math.inf else []
        words += [f"at least {self.at_least}"] if self.at_least > -math.inf else []
        if self.below < math.inf:
            words.append(f"below {self.below}")
        elif self.kind is float:
            words.append("finite")
        return " and ".join(words or ["a whole number"])
