"""Data sets, found by --dataset_mode, and the loader that makes minibatches of them."""

from argparse import Namespace

from data.base_dataset import BaseDataset
from data.loader import Loader
from data.reference_api.adapter import adapted
from util.plugins import find_class


def find_dataset(name: str) -> type[BaseDataset]:
    """The class in data/<name>_dataset.py. Raises UsageError naming those that exist.

    A class that is written against the reference's BaseDataset comes within an adapter.
    """
    found = find_class("data", "dataset", name, "--dataset_mode")
    return found if issubclass(found, BaseDataset) else adapted(found)


def create_loader(opt: Namespace) -> Loader:
    """The data set that the options name, with its loader. Raises UsageError for one that cannot work."""
    return Loader(find_dataset(opt.dataset_mode)(opt), opt)


create_dataset = create_loader      # the reference's name
