"""Data sets, found by --dataset_mode, and the loader that makes minibatches of them."""

from argparse import Namespace

from data.base_dataset import BaseDataset
from data.loader import Loader
from util.plugins import find_class


def find_dataset(name: str) -> type[BaseDataset]:
    """The class in data/<name>_dataset.py. Raises UsageError naming those that exist."""
    return find_class("data", "dataset", name, "--dataset_mode")


def create_loader(opt: Namespace) -> Loader:
    """The data set that the options name, with its loader. Raises UsageError for one that cannot work."""
    return Loader(find_dataset(opt.dataset_mode)(opt), opt)
