"""Values of flags."""

from argparse import ArgumentTypeError

TRUE, FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


def str2bool(text: str) -> bool:
    """True or false from the words people type, in any letter case. Raises ArgumentTypeError."""
    word = text.lower()
    if word not in TRUE + FALSE:
        raise ArgumentTypeError(f"{text!r} is neither true nor false")
    return word in TRUE
