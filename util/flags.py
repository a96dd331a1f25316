"""Values of flags."""

TRUE, FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


def str2bool(text: str) -> bool:
    """True or false from the words people type, in any letter case. Raises ValueError for any other."""
    word = text.lower()
    if word not in TRUE + FALSE:
        raise ValueError(f"{text!r} is neither true nor false")
    return word in TRUE
