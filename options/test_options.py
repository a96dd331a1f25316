"""The flags of test.py."""

from argparse import Namespace

from models.tiling import STATISTICS
from options.base_options import BaseOptions, recorded_folder
from options.parser import OptionParser
from util.checkpoints.run_record import FILE, read_options
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
        add("--tile", type=integer(at_least=0), default=None,
            help="translate large images in parts of about this many pixels a side, so that memory does not "
                 "grow with them; 0: never; default: only an image that does not fit into free memory")
        add("--tile_statistics", choices=list(STATISTICS), default="exact",
            help="where the norms' mean and variance come from: exact, the whole image, layer by layer, with "
                 "maps in temporary files; quick, a small copy of the image; tile, each tile by itself")
        add("--tile_overlap", type=integer(at_least=0), default=64,
            help="pixels in which neighbouring tiles overlap and are blended (quick, tile)")
        parser.set_defaults(load_size=parser.get_default("crop_size"))

    def restore(self, parser: OptionParser) -> None:
        """Take the flags that translation needs from the run's opt.json, where there is one."""
        folder = recorded_folder(parser)
        if folder is None:
            return
        found = {name: value for name, value in read_options(folder).items()
                 if name in parser.for_translation}
        if parser.get_default("load_size") == parser.get_default("crop_size") and "crop_size" in found:
            found["load_size"] = found["crop_size"]     # as in training: what G saw were crops of that size
        parser.stand_in(found, folder / FILE)
