"""The flags of test.py."""

from options.base_options import MODEL, NETWORKS, BaseOptions, count, recorded_folder
from options.parser import OptionParser
from options.record import FILE, read_options


class TestOptions(BaseOptions):
    """Translate a folder of images with a trained model.

    The network's shape is read from what the training recorded in its folder; flags that are typed win.
    """

    __test__ = False    # pytest: a class of options, not of tests
    is_train = False

    def add_flags(self, parser: OptionParser) -> None:
        add = parser.add_argument
        parser.section("translation")
        add("--phase", default="test", help="which folders to read: <phase>A and <phase>B")
        add("--results_dir", default="./results/", help="where the results go")
        add("--num_test", type=count, default=float("inf"), help="translate at most this many images")
        add("--eval", action="store_true", help="batch norm by its running statistics, no dropout")
        parser.set_defaults(load_size=parser.get_default("crop_size"))

    def restore(self, parser: OptionParser) -> None:
        """The options that decide which network is built, from the training's opt.json where there is one."""
        folder = recorded_folder(parser)
        if folder is None:
            return
        saved = read_options(folder)
        wanted = parser.names(NETWORKS) | parser.names(MODEL) | {"model", "direction", "crop_size"}
        found = {name: value for name, value in saved.items() if name in wanted}
        if parser.get_default("load_size") == parser.get_default("crop_size") and "crop_size" in found:
            found["load_size"] = found["crop_size"]     # as in training: what G saw were crops of that size
        parser.stand_in(found, folder / FILE)
