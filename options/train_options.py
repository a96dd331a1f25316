"""The flags of train.py."""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from models.losses.gan import OBJECTIVES
from models.schedules import SCHEDULES
from options.base_options import NETWORKS, BaseOptions, count, recorded_folder
from options.parser import OptionParser
from options.record import FILE, read_options
from util.errors import UsageError
from util.metrics.registry import training_metrics

# Flags that a resumed run does not take over: where it is, where it begins, and what it runs on.
ITS_OWN = {"name", "suffix", "checkpoints_dir", "continue_train", "pretrained_name", "epoch", "epoch_count",
           "gpu_ids", "force"}
# Flags that decide what the networks are and do, besides those under the title NETWORKS.
BOUND = {"model", "CUT_mode", "netF", "netF_nc", "nce_layers", "direction"}
NOT_BOUND = {"init_type", "init_gain"}      # of those; they decided the beginning alone


class TrainOptions(BaseOptions):
    """Train a model to translate between two sets of images."""

    is_train = True

    def parse(self, argv: Sequence[str] | None = None) -> Namespace:
        """As BaseOptions.parse; `changed` is a line on what a resumed run does otherwise than before."""
        self.recorded: dict[str, Any] = {}
        opt = super().parse(argv)
        changed = {name: f"--{name} {before} to {getattr(opt, name)}"
                   for name, before in self.recorded.items() if getattr(opt, name, before) != before}
        opt.changed = f"changed on resuming: {', '.join(changed.values())}" if changed else ""
        refused = [line for name, line in changed.items() if name in self.bound]
        if refused:
            raise UsageError(f"--continue_train keeps the networks, but this changes {', '.join(refused)}: "
                             "leave that out, or begin a run of another --name")
        return opt

    def restore(self, parser: OptionParser) -> None:
        """With --continue_train, flags that are not typed are as they were in that run."""
        opt, _ = parser.parse_known_args()
        folder = recorded_folder(parser)
        if not opt.continue_train or opt.pretrained_name is not None or folder is None:
            return
        self.recorded = {n: v for n, v in read_options(folder).items() if n not in ITS_OWN}
        self.bound = parser.names(NETWORKS) - NOT_BOUND | BOUND
        parser.stand_in(self.recorded, folder / FILE)

    def add_flags(self, parser: OptionParser) -> None:
        add = parser.add_argument
        parser.section("training")
        add("--phase", default="train", help="which folders to read: <phase>A and <phase>B")
        add("--n_epochs", type=int, default=200, help="epochs at the full learning rate")
        add("--n_epochs_decay", type=int, default=200, help="epochs in which it falls to 0 (linear)")
        add("--lr", type=float, default=0.0002, help="learning rate of Adam")
        add("--beta1", type=float, default=0.5, help="Adam's decay of the mean")
        add("--beta2", type=float, default=0.999, help="Adam's decay of the square")
        add("--lr_policy", choices=sorted(SCHEDULES), default="linear",
            help="how the learning rate falls: linear after --n_epochs; step by ten every --lr_decay_iters "
                 "epochs; plateau when an epoch's mean loss of G no longer falls; cosine over all epochs")
        add("--lr_decay_iters", type=int, default=50, help="epochs between the falls of --lr_policy step")
        add("--gan_mode", choices=sorted(OBJECTIVES), default="lsgan", help="adversarial objective")
        add("--pool_size", type=int, default=50, help="earlier outputs kept for D (CycleGAN); CUT uses none")

        parser.section("saving and resuming")
        add("--continue_train", action="store_true",
            help="go on where the run of this --name stopped: weights, optimizers, schedule, counters, "
                 "random numbers; flags that are not typed are as they were then")
        add("--pretrained_name", default=None,
            help="with --continue_train: start at epoch 1 from the weights alone of that experiment")
        add("--epoch_count", type=int, default=1, help="number of the first epoch")
        add("--save_latest_freq", type=int, default=5000,
            help="save the latest checkpoint every so many images")
        add("--save_epoch_freq", type=int, default=5, help="keep a checkpoint every so many epochs")
        add("--save_by_iter", action="store_true",
            help="keep those of --save_latest_freq too, as iter_<n>")
        add("--keep_last", type=int, default=0,
            help="keep only so many of the numbered checkpoints, the latest ones; 0: all")
        add("--force", action="store_true",
            help="take the place of another training that runs under this --name")
        add("--on_nan", choices=["stop", "skip"], default="stop",
            help="when a loss is NaN or infinite: stop, the last good state kept; or leave out such updates")
        add("--evaluation_freq", type=int, default=5000,
            help="translate and score the test split (testA, testB; or valA, valB) every so many images, "
                 "where there is one; 0: never")
        add("--evaluation_metrics", default="swd",
            help=f"what to score by, joined by commas: {', '.join(training_metrics())}; the first one "
                 "decides which weights are kept as best_net_*.pth, and --lr_policy plateau follows it")
        add("--evaluation_features", default=None,
            help="exported network (.pt2, .onnx) whose features fid and kid compare; without it, Inception's")
        add("--evaluation_images", type=count, default=500, help="images a side to score at most")

        parser.section("records")
        add("--print_freq", type=int, default=100, help="print the losses every so many images")
        add("--display_freq", type=int, default=400, help="show images in visdom every so many images")
        add("--update_html_freq", type=int, default=1000,
            help="put images into the gallery every so many images")
        add("--no_html", action="store_true", help="make no gallery of images in <name>/web")
        add("--display_id", type=int, default=None, help="number of the first visdom window; 0: no visdom")
        add("--display_ncols", type=int, default=4, help="images a row in visdom")
        add("--display_server", default="http://localhost", help="address of the visdom server")
        add("--display_port", type=int, default=8097, help="port of the visdom server")
        add("--display_env", default="main", help="visdom environment; {name} in it is filled in")
