"""What files of the reference find when they import from `data`: its names, which lead to our parts."""

from argparse import Namespace
from typing import Any


def create_dataset(opt: Namespace) -> Any:
    """The loader of the data set that the options name."""
    from data import create_loader  # here, because `data` imports this room
    return create_loader(opt)
