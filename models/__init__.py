"""Models by name: `--model x` is XModel in models/x_model.py."""

from argparse import Namespace

from models.base_model import BaseModel
from util.errors import UsageError
from util.plugins import find_class
from util.runtime.memory import keep_freed_memory


def find_model(name: str) -> type[BaseModel]:
    """The model class of that name; UsageError lists those that exist."""
    return find_class("models", "model", name, "--model")


def create_model(opt: Namespace) -> BaseModel:
    """Build the model that the options ask for, on opt.device.

    A network's ValueError about a size or a layer number speaks of a flag, so it becomes a UsageError.
    """
    if opt.device.type == "cpu":
        keep_freed_memory()
    try:
        model = find_model(opt.model)(opt)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if opt.compile:
        model.compile()
    return model
