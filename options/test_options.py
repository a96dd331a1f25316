"""The flags of test.py."""

from argparse import Namespace
from pathlib import Path

import torch

from models.exported_model import load_generator, recorded_flags
from options.base_options import BaseOptions, recorded_folder
from options.parser import OptionParser
from util.checkpoints.run_record import FILE, read_options
from util.errors import UsageError
from util.flags import integer


class TestOptions(BaseOptions):
    """Translate a folder of images with a trained model.

    The flags of the networks and the model are read from the run's opt.json; flags that are typed win.
    """

    __test__ = False    # pytest: a class of options, not of tests
    is_train = False

    def settle(self, opt: Namespace) -> None:
        """Nothing is left to the folder: without a run there is nothing to translate with."""

    def add_flags(self, parser: OptionParser) -> None:
        add = parser.add_argument
        parser.section("translation")
        add("--phase", default="test", help="which folders to read: <phase>A and <phase>B")
        add("--results_dir", default="./results/", help="where the results go")
        add("--num_test", type=integer(at_least=1, or_inf=True), default=float("inf"),
            help="translate at most this many images")
        add("--eval", action="store_true", help="batch norm by its running statistics, no dropout")
        add("--use_ema", action="store_true",
            help="translate with the averages of the generators' weights that a run with --ema keeps")
        add("--keep_alpha", action="store_true",
            help="put the transparency of an image file back on its translation; with --value_range it is so")
        add("--exported", default=None, per_run=True,
            help="translate with the generator in this file of scripts/export.py; no run's folder is needed")
        parser.set_defaults(load_size=parser.get_default("crop_size"))

    def restore(self, parser: OptionParser) -> None:
        """Take the flags that translation needs from the run's opt.json, where there is one, or from the file
        of --exported.
        """
        if parser.peek("exported") is not None:
            stand_in_exported(parser, Path(parser.peek("exported")))
            return
        folder = recorded_folder(parser)
        if folder is None:
            return
        found = {name: value for name, value in read_options(folder).items()
                 if name in parser.for_translation}
        if parser.get_default("load_size") == parser.get_default("crop_size") and "crop_size" in found:
            found["load_size"] = found["crop_size"]     # as in training: what G saw were crops of that size
        parser.stand_in(found, folder / FILE)


def stand_in_exported(parser: OptionParser, path: Path) -> None:
    """Let what an exported file tells take the place of defaults. UsageError for a flag that it decides."""
    if parser.get_default("model") == "exported":       # it was read when the first flags were known
        return
    decided = sorted(parser.typed() & {"model", "netG", "epoch", "use_ema", "eval", "precision", "compile",
                                       "channels_last"})
    if decided:
        raise UsageError(f"--exported {path} and --{decided[0]} do not go together: the file holds one "
                         "network as it was exported; leave one of them out")
    found = recorded_flags(load_generator(path, torch.device("cpu")).metadata)
    parser.set_defaults(model="exported", name=path.stem, precision="fp32", load_size=found["crop_size"])
    parser.stand_in(found, path)
