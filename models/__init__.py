"""Models by name: `--model x` is XModel in models/x_model.py."""

from argparse import Namespace

from models.base_model import BaseModel
from models.ema import EMA
from models.execution.cast_weights import cast_together
from models.execution.micro_batches import MicroBatches, check_accumulate
from models.networks.base import NetworkError
from models.precision import AUTOCAST
from models.reference_api import base_model as reference
from models.reference_api.adapter import adapted
from util.errors import UsageError
from util.plugins import find_class
from util.runtime.memory import keep_freed_memory


def find_model(name: str) -> type[BaseModel]:
    """The class of that name. Raises UsageError, listing those that exist, for another.

    A class that is written against the reference's BaseModel comes within an adapter.
    """
    found = find_class("models", "model", name, "--model")
    return adapted(found) if issubclass(found, reference.BaseModel) else found


def check_tiles(model: BaseModel) -> None:
    """Raises UsageError or NetworkError where a model cannot translate in tiles as --tile says."""
    if model.tiling and model.tiling.tile:
        if not model.tiles:
            raise UsageError(f"--tile {model.opt.tile} does not work with --model {model.opt.model}, which "
                             "translates whole images alone; leave it out")
        model.tiling.check(model.translator())


def create_model(opt: Namespace) -> BaseModel:
    """Build the model that the options ask for, on opt.device.

    Raises UsageError where a network cannot be built as the flags say. Any other error of the model's
    constructor is a fault in its code and keeps its traceback.
    """
    if opt.device.type == "cpu":
        keep_freed_memory()
    try:
        model = find_model(opt.model)(opt)
        check_tiles(model)
    except NetworkError as error:
        raise UsageError(str(error)) from error
    if opt.isTrain and opt.ema:
        generators = {name: net for name, net in model.networks.items() if name.startswith("G")}
        model.ema = EMA(generators, half_life=opt.ema)
    if opt.isTrain and opt.accumulate > 1:
        check_accumulate(opt, model)
        model.micro_batches = MicroBatches(model, opt.accumulate)
    if opt.compile:
        model.compile()
    elif model.precision.name in AUTOCAST:
        for net in model.networks.values():
            cast_together(net)
    if opt.isTrain and opt.cuda_graph:
        model.use_cuda_graph()
    return model
