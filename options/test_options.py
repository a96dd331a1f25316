"""The flags of test.py."""

from argparse import Namespace
from pathlib import Path

import torch

from data.result_files import FORMAT_DEPTHS, SAME
from models.exported_model import load_generator, recorded_flags
from models.tiling import STATISTICS
from options.base_options import BaseOptions, recorded_folder
from options.parser import OptionParser
from util.checkpoints.run_record import FILE, read_options
from util.errors import UsageError
from util.flags import integer, number
from util.images import QUALITY

DAY = 86400.0   # in seconds; a rank that dies is known within seconds anyway


class TestOptions(BaseOptions):
    """Translate images with a trained model: a folder, a file, a pattern or a list of them.

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
        add("--skip_existing", action="store_true",
            help="go on with a translation: leave out the images that are done, if the same weights and "
                 "options made them of the files as they are now")
        add("--output_only", action="store_true",
            help="write the translations alone: no copies of the inputs, no page")
        add("--format", choices=["", *FORMAT_DEPTHS, SAME], default="",
            help="of the translations' files: png, jpg, webp, tiff, or same, as the input's; default: png, "
                 "and with --value_range images of more than 8 bits in their own")
        add("--quality", type=integer(at_least=1, below=101), default=None,
            help=f"of jpg and webp, 1 to 100; default: {QUALITY}")
        add("--tile", type=integer(at_least=0), default=None,
            help="translate large images in parts of about this many pixels a side, so that memory does not "
                 "grow with them; 0: never; default: only an image that does not fit into free memory")
        add("--tile_statistics", choices=list(STATISTICS), default="exact",
            help="where the norms' mean and variance come from: exact, the whole image, layer by layer, with "
                 "maps in temporary files; quick, a small copy of the image; tile, each tile by itself")
        add("--tile_overlap", type=integer(at_least=0), default=64,
            help="pixels in which neighbouring tiles overlap and are blended (quick, tile)")
        add("--ranks", type=integer(at_least=0), default=0, per_run=True,
            help="start so many processes on this machine, a GPU each, or all on the CPU, that translate a "
                 "part each; 0: one for each GPU that --gpu_ids names, or what torchrun has started")
        add("--distributed_timeout", type=number(above=0), default=DAY, per_run=True,
            help="seconds that a rank waits for the others at the end")
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
