"""The flags of train.py."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from data.augment import augment
from models.auxiliary import auxiliary, describe_losses
from models.diffaugment import AUGMENTATIONS, augmentations
from models.losses.gan import OBJECTIVES
from models.schedules import SCHEDULES
from options.base_options import BaseOptions, recorded_folder
from options.parser import OptionParser
from options.recipes import ALIASES, RECIPES, recipe_name
from util.checkpoints.run_record import FILE, Config, read_config, read_options
from util.checkpoints.training_state import has_state
from util.distributed.place import TIMEOUT_SECONDS
from util.errors import UsageError
from util.flags import integer, number, switch
from util.loggers.registry import logger_names
from util.metrics.registry import training_metrics


class TrainOptions(BaseOptions):
    """Train a model to translate between two sets of images."""

    is_train = True

    def __init__(self):
        self.recorded: dict[str, Any] = {}      # the options of the run that is resumed
        self.config: Config | None = None       # of --config

    def restore(self, parser: OptionParser) -> None:
        """With --continue_train, flags that are not typed are as in that run; else as their recipe says.

        --config beats the recipe that it names itself; one that is typed beats --config.
        """
        self.recorded = {}
        self.take_config(parser)
        opt, _ = parser.parse_known_args()
        folder = recorded_folder(parser)
        if folder is not None and goes_on(opt, folder):
            self.recorded = {name: value for name, value in read_options(folder).items()
                             if name not in parser.per_run}
            parser.stand_in(self.recorded, folder / FILE)
        if not self.recorded and opt.recipe in RECIPES:
            parser.set_known_defaults(RECIPES[opt.recipe])
            if self.config and recipe_name(self.config.values.get("recipe", "")) == opt.recipe:
                self.take_config(parser)

    def take_config(self, parser: OptionParser) -> None:
        """Let the values of --config stand in for defaults, but for those that are a run's own."""
        opt, _ = parser.parse_known_args()
        if opt.config is None:
            return
        if opt.continue_train and opt.pretrained_name is None:      # with auto the run's record beats it
            raise UsageError(f"--config {opt.config} has no effect with --continue_train, which goes on with "
                             "the options of the run: leave one of them out")
        self.config = self.config or read_config(Path(opt.config))
        parser.expected = self.config.values, self.config.path
        parser.stand_in({name: value for name, value in self.config.values.items()
                         if name not in parser.per_run}, self.config.path)

    def settle(self, opt: Namespace) -> None:
        """Replace --continue_train auto: it goes on where there is a state, and else begins."""
        if opt.continue_train is None:
            state_found = goes_on(opt, Path(opt.checkpoints_dir) / opt.name)
            opt.pretrained_name = None if state_found else opt.pretrained_name
            opt.continue_train = state_found or opt.pretrained_name is not None

    def check_config(self, parser: OptionParser, asked: dict[str, Any]) -> None:
        """Raise UsageError for a name in a --config written by hand that no flag has."""
        if self.config and not self.config.is_record:
            for name in self.config.values:
                if name not in asked:
                    raise UsageError(f"--config {self.config.path}: {parser.unknown(f'--{name}')}")

    def changes(self, parser: OptionParser, asked: dict[str, Any]) -> str:
        self.check_config(parser, asked)
        changed = {name: f"--{name} {before} to {asked[name]}" for name, before in self.recorded.items()
                   if asked.get(name, before) != before}
        if refused := [change for name, change in changed.items() if name in parser.architecture]:
            raise UsageError("--continue_train keeps the networks and the recipe, but this changes "
                             f"{', '.join(refused)}: leave that out, or begin a run of another --name")
        return f"changed on resuming: {', '.join(changed.values())}" if changed else ""

    def add_flags(self, parser: OptionParser) -> None:
        add = parser.add_argument
        at_least_0, at_least_1 = integer(at_least=0), integer(at_least=1)
        parser.section("training")
        add("--recipe", type=recipe_name, choices=["none", *RECIPES, *ALIASES], default="none",
            architecture=True,
            help="a published combination of flags in place of their defaults; flags that are typed beat it "
                 f"(docs/methods.md). best stands for {ALIASES['best']}")
        add("--phase", default="train", help="which folders to read: <phase>A and <phase>B")
        add("--n_epochs", type=at_least_0, default=200, help="epochs at the full learning rate")
        add("--n_epochs_decay", type=at_least_0, default=200, help="epochs in which it falls to 0 (linear)")
        add("--lr", type=number(above=0), default=0.0002, help="learning rate of Adam")
        add("--lr_G", type=number(above=0), default=None,
            help="learning rate of G, without F; default: --lr (two rates: Heusel et al. 2017; no cost)")
        add("--lr_D", type=number(above=0), default=None,
            help="learning rate of D; default: --lr")
        add("--beta1", type=number(at_least=0, below=1), default=0.5, help="Adam's decay of the mean")
        add("--beta2", type=number(at_least=0, below=1), default=0.999, help="Adam's decay of the square")
        add("--lr_policy", choices=sorted(SCHEDULES), default="linear",
            help="how the learning rate falls: linear after --n_epochs; step by ten every --lr_decay_iters "
                 "epochs; plateau when the first of --evaluation_metrics no longer improves (without a test "
                 "split: G's mean loss of an epoch); cosine over all epochs; constant: it does not")
        add("--lr_decay_iters", type=at_least_1, default=50,
            help="epochs between the falls of --lr_policy step")
        add("--warmup_epochs", type=at_least_0, default=0,
            help="epochs in which the learning rates climb in a straight line; --lr_policy plateau has none")
        add("--gan_mode", choices=sorted(OBJECTIVES), default="lsgan", help="adversarial objective")
        add("--augment", type=augment, default="",
            help="change what is read at random: some of rotate90, rotate={degrees at most}, "
                 "scale={smallest}:{largest}, colour={strength}, noise={std of the range}, joined by commas "
                 "(docs/data.md)")
        add("--auxiliary", type=auxiliary, default="",
            help="losses to add to G's, name=weight joined by commas, as in ssim=5,l1=10: "
                 f"{describe_losses()}; docs/plugins.md has their formulas, and how to add one")
        add("--auxiliary_features", default=None,
            help="exported network (.pt2) whose features --auxiliary perceptual compares")
        add("--pool_size", type=at_least_0, default=50,
            help="earlier outputs kept for D (CycleGAN); CUT uses none")

        add("--spectral_norm", action="store_true", architecture=True,
            help="divide each weight of D by its largest singular value (Miyato et al. 2018), as published "
                 "with --gan_mode hinge. A step of CUT at 64 pixels takes 4%% longer")
        add("--diffaugment", type=augmentations, default="",
            help="augment all that D sees, real and generated, in D's loss and in G's: some of "
                 f"{','.join(AUGMENTATIONS)} (Zhao et al. 2020), for few images; G may learn from color that "
                 "colours do not matter. A step takes 1%% longer")
        add("--ema", type=at_least_0, default=0,
            help="keep a moving average of G's weights with a half-life of so many images, shorter at the "
                 "start (Karras et al. 2020): *_net_G_ema.pth, for test.py --use_ema; evaluations score it "
                 "too. 0: off. A step takes 2%% longer, an evaluation twice as long")

        parser.section("several processes, --batch_size being that of all together")
        add("--ranks", type=at_least_0, default=0, per_run=True,
            help="start so many processes on this machine to train one model, a GPU each, or all on the CPU; "
                 "0: one for each GPU that --gpu_ids names, or what torchrun has started")
        add("--distributed_timeout", type=number(above=0), default=TIMEOUT_SECONDS, per_run=True,
            help="seconds that a rank waits for another one, at the start and in a step, before all end")

        parser.section("saving and resuming")
        add("--config", default=None, per_run=True,
            help="JSON file of options, or the opt.json of a run, whose values stand in for defaults; flags "
                 "that are typed win; --name, --gpu_ids and what else is a run's own are not taken from it")
        add("--continue_train", type=switch, nargs="?", const=True, default=False, per_run=True,
            help="go on where the run of this --name stopped: weights, optimizers, schedule, counters, "
                 "random numbers; flags that are not typed are as they were then. auto: only where there is "
                 "a state to go on from, so that one command begins a run and goes on with it")
        add("--pretrained_name", default=None, per_run=True,
            help="with --continue_train: start at epoch 1 from the weights alone of that run (with auto: "
                 "until the run has a state of its own)")
        add("--epoch_count", type=at_least_1, default=1, per_run=True, help="number of the first epoch")
        add("--save_latest_freq", type=at_least_1, default=5000,
            help="save the latest checkpoint every so many images")
        add("--save_epoch_freq", type=at_least_1, default=5, help="keep a checkpoint every so many epochs")
        add("--save_by_iter", action="store_true",
            help="keep those of --save_latest_freq too, as iter_<n>")
        add("--keep_last", type=at_least_0, default=0,
            help="keep only so many of the numbered checkpoints, the latest ones; 0: all")
        add("--dry_run", action="store_true", per_run=True,
            help="build all, check data, memory and disk, time ten steps, print the plan; write nothing")
        add("--force", action="store_true", per_run=True,
            help="take the place of another process that trains under this --name")
        add("--on_nan", choices=["stop", "skip"], default="stop",
            help="when a loss is NaN or infinite: stop, the last good state kept; or leave out such updates")
        add("--evaluation_freq", type=at_least_0, default=5000,
            help="translate and score the test split (testA, testB; or valA, valB) every so many images, "
                 "where there is one; 0: never")
        add("--evaluation_metrics", default="swd",
            help=f"what to score by, joined by commas: {', '.join(training_metrics())}; the first one "
                 "decides which weights are kept as best_net_*.pth, and --lr_policy plateau follows it")
        add("--evaluation_features", default=None,
            help="exported network (.pt2, .onnx) whose features fid and kid compare; without it, Inception's")
        add("--evaluation_images", type=integer(at_least=1, or_inf=True), default=500,
            help="score at most this many images of each domain")

        parser.section("records")
        add("--print_freq", type=at_least_1, default=100, help="print the losses every so many images")
        add("--logger", type=logger_names, default="visdom",
            help="where else to report to: some of tensorboard,visdom,wandb joined by commas, or none "
                 "(docs/watching.md)")
        add("--display_freq", type=at_least_1, default=400, help="show images in visdom every so many images")
        add("--update_html_freq", type=at_least_1, default=1000,
            help="put images into the gallery every so many images")
        add("--fixed_images", type=at_least_0, default=8,
            help="translate the first so many test images of the input domain again at every "
                 "--update_html_freq and epoch's end, so that one sees them change; 0: none")
        add("--no_html", action="store_true", help="make no gallery of images in <name>/web")
        add("--display_id", type=int, default=None, help="number of the first visdom window; 0: no visdom")
        add("--display_ncols", type=at_least_1, default=4, help="images in a row in visdom")
        add("--display_server", default="http://localhost",
            help="address of the visdom server; auto: start one for this run, on this machine alone")
        add("--display_port", type=int, default=8097, help="port of the visdom server")
        add("--display_env", default="main", help="visdom environment; {name} in it is filled in")


def goes_on(opt: Namespace, folder: Path) -> bool:
    """Whether a run goes on with its own state, and so with its own options."""
    if opt.continue_train is None:      # auto
        return has_state(folder)
    return opt.continue_train and opt.pretrained_name is None
