"""The flags that training and translation share, and the passes in which a command line is read."""

from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data import find_dataset
from data.image_cache import CACHES
from models import find_model
from models.networks import DISCRIMINATORS, GENERATORS
from models.networks.init import INITS
from models.networks.norm import NORMS
from models.precision import PRECISIONS
from options.checks import check_options
from options.devices import count_ranks, resolve_auto
from options.parser import OptionParser
from util.errors import UsageError
from util.flags import integer, number, str2bool, switch


class Parsed(NamedTuple):
    """What parsing knows about the options beside their values."""

    asked: dict[str, Any]       # each option as typed or by default: this is recorded, with auto left as auto
    defaults: dict[str, Any]    # what each option would be if it was not typed
    typed: set[str]             # the names of the options that were typed
    changed: str                # one line on what a resumed run does differently from before; "" for nothing


class BaseOptions(ABC):
    """Reads a command line: shared flags, then the model's, then the data set's, all from one argv."""

    is_train: bool

    def parse(self, argv: Sequence[str] | None = None) -> Namespace:
        """The options, checked together, with `isTrain`, `device`, `world_size` (how many processes work
        together) and `parsed` (see Parsed) added.

        argv: without the program's name; None stands for sys.argv. Raises UsageError.
        """
        parser = OptionParser(argv, description=self.__doc__.splitlines()[0])
        add_shared(parser)
        self.add_flags(parser)
        add_speed(parser, self.is_train)
        self.restore(parser)
        parser.section("model", for_translation=True)
        find_model(parser.peek("model")).modify_commandline_options(parser, self.is_train)
        self.restore(parser)
        parser.section("data set")
        find_dataset(parser.peek("dataset_mode")).modify_commandline_options(parser, self.is_train)
        self.restore(parser)
        opt = parser.parse_all()
        opt.name = run_name(opt)
        self.settle(opt)
        asked = dict(vars(opt))
        opt.parsed = Parsed(asked, defaults={name: parser.get_default(name) for name in asked},
                            typed=parser.typed(), changed=self.changes(parser, asked))
        opt.isTrain = self.is_train
        opt.world_size = count_ranks(opt)
        check_options(opt)
        resolve_auto(opt)
        return opt

    @abstractmethod
    def add_flags(self, parser: OptionParser) -> None:
        """Add the flags of this phase."""

    @abstractmethod
    def restore(self, parser: OptionParser) -> None:
        """Let what an earlier run recorded stand in for defaults; called as flags become known."""

    @abstractmethod
    def settle(self, opt: Namespace) -> None:
        """Replace the word auto where the run's folder decides."""

    def changes(self, parser: OptionParser, asked: dict[str, Any]) -> str:
        """One line on what a resumed run does differently; UsageError for a change that cannot be."""
        return ""


def recorded_folder(parser: OptionParser) -> Path | None:
    """The folder of the run named so far; None while --suffix holds a flag that is yet to be added."""
    opt, _ = parser.parse_known_args()
    try:
        return Path(opt.checkpoints_dir) / run_name(opt)
    except UsageError:
        return None


def add_shared(parser: OptionParser) -> None:
    """Add the flags of every command, in titled sections."""
    add = parser.add_argument
    parser.section("run")
    add("--dataroot", default="placeholder",
        help="folder of the images, with trainA, trainB, testA, testB in it; or a list of them, .csv, .txt "
             "or .jsonl (docs/data.md)")
    add("--name", default="experiment_name", per_run=True,
        help="name of the run: its folder of checkpoints and results")
    add("--easy_label", default="experiment_name", help="accepted for old command lines; has no effect")
    add("--gpu_ids", default="auto", per_run=True,
        help="auto: the first GPU, or the CPU where there is none; 0: that GPU; -1: CPU; 0,1: train on both, "
             "with a process each (docs/distributed_running.md)")
    add("--checkpoints_dir", default="./checkpoints", per_run=True, help="where the runs' folders are")
    add("--seed", type=integer(at_least=0, below=2**32), default=0,
        help="of every random number: weights, order of images, crops, patches")
    add("--suffix", default="", per_run=True,
        help="added to the name, with options in braces filled in, such as {netG}_{crop_size}")
    add("--verbose", action="store_true", help="print the networks' layers")
    add("--model", default="cut", architecture=True,
        help="file models/<model>_model.py: cut, or one of your own")

    parser.section("networks", for_translation=True)
    at_least_1 = integer(at_least=1)
    add("--input_nc", type=at_least_1, default=3, architecture=True,
        help="channels of the input images: 1 gray, 3 colour")
    add("--output_nc", type=at_least_1, default=3, architecture=True,
        help="channels of the output images: 1 gray, 3 colour")
    add("--ngf", type=at_least_1, default=64, architecture=True,
        help="width of G: channels behind its first layer")
    add("--ndf", type=at_least_1, default=64, architecture=True,
        help="width of D: channels behind its first layer")
    add("--netD", choices=sorted(DISCRIMINATORS), default="basic", architecture=True,
        help="discriminator; basic is the 70x70 PatchGAN, n_layers lets you choose its depth")
    add("--netG", type=generator_name, choices=sorted(GENERATORS), default="resnet_9blocks",
        architecture=True, help="generator")
    add("--n_layers_D", type=at_least_1, default=3, architecture=True,
        help="downsampling layers in --netD n_layers")
    add("--normG", choices=sorted(NORMS), default="instance", architecture=True, help="normalisation in G")
    add("--normD", choices=sorted(NORMS), default="instance", architecture=True, help="normalisation in D")
    add("--init_type", choices=sorted(INITS), default="xavier", help="initial weights")
    add("--init_gain", type=number(above=0), default=0.02,
        help="scale of the initial weights (normal, xavier, orthogonal)")
    add("--no_dropout", type=str2bool, nargs="?", const=True, default=True, architecture=True,
        help="G without dropout")
    add("--no_antialias", action="store_true", architecture=True,
        help="downsample by strided convolutions, without blurring")
    add("--no_antialias_up", action="store_true", architecture=True,
        help="upsample by transposed convolutions, without blurring")
    add("--stylegan2_G_num_downsampling", type=at_least_1, default=1, architecture=True,
        help="downsampling layers in --netG stylegan2")
    add("--D_tile_size", type=at_least_1, default=32, architecture=True,
        help="--netD tilestylegan2 judges tiles of this many pixels a side, each by itself")

    parser.section("images")
    add("--dataset_mode", default="unaligned",
        help="file data/<mode>_dataset.py: unaligned (two folders), aligned (pairs), single (one folder, "
             "to translate), webdataset (tar shards), or one of your own")
    add("--value_range", default="", for_translation=True,
        help="read images of more than 8 bits a channel with all of them, and .npy, float .tif, NIfTI, DICOM "
             "and HDF5, and write them so. lo:hi: the numbers that are black and white; auto: the least and "
             "the largest of the file's type; p1:p99: percentiles of each file; window:CENTER:WIDTH; window: "
             "that of each DICOM file. default: 16 bits are brought to 8")
    add("--slice_axis", type=int, choices=(0, 1, 2), for_translation=True,
        help="with --value_range: the axis along which volumes are sliced; default: 2 in NIfTI, else 0")
    add("--companions", default="",
        help="images that are read with others, moved like them and not changed otherwise: name=folder "
             "joined by commas, as in mask=trainA_mask; files have the names of those in trainA or trainB")
    add("--direction", choices=["AtoB", "BtoA"], default="AtoB", architecture=True,
        help="which domain is translated into which")
    add("--serial_batches", action="store_true",
        help="images in order, A paired with B by number, not at random")
    add("--num_threads", type=integer(at_least=0), default=4,
        help="processes that read images; 0: the main process")
    add("--batch_size", type=at_least_1, default=1, help="images of each domain in a step")
    add("--load_size", type=at_least_1, default=286, help="resize images to this many pixels a side")
    add("--crop_size", type=at_least_1, default=256, for_translation=True,
        help="then cut out this many pixels a side")
    add("--max_dataset_size", type=integer(at_least=1, or_inf=True), default=float("inf"),
        help="use at most this many images of a folder")
    add("--preprocess", default="resize_and_crop",
        help="words joined by _and_: resize, scale_width, scale_shortside, zoom, crop, patch, trim, fixsize, "
             "none")
    add("--no_flip", action="store_true", help="do not mirror images at random in training")
    add("--random_scale_max", type=number(at_least=1), default=3.0,
        help="zoom shrinks width and height to 1/this at most")
    add("--display_winsize", type=at_least_1, default=256, help="width of an image on pages, pixels")
    add("--epoch", default="latest", per_run=True,
        help="which checkpoint to load: latest, an epoch, or iter_<n>")


def add_speed(parser: OptionParser, is_train: bool) -> None:
    """Add the flags that change how fast and in how much memory a command runs, not what it means."""
    add = parser.add_argument
    parser.section("speed and memory")
    add("--precision", choices=PRECISIONS, default="auto",
        help="number format of the networks: fp32; tf32 (GPU); bf16; fp16 with loss scaling; auto: bf16 on "
             "GPUs that have it, else fp32. Weights and losses are float32 in any case")
    add("--compile", type=switch, nargs="?", const=True, default=None,
        help="let torch.compile translate the networks: a slow first step, perhaps faster ones behind it; "
             "default: auto, which is false on every device so far")
    add("--channels_last", type=switch, nargs="?", const=True, default=None,
        help="keep feature maps in channels-last order; default: auto, which is true with bf16 on a CPU, "
             "where that is faster")
    if is_train:
        add("--cuda_graph", type=switch, nargs="?", const=True, default=False,
            help="launch a training step as one CUDA graph: for a GPU that small minibatches leave waiting; "
                 "auto: on every GPU. default: false, until a GPU has run one")
        add("--accumulate", type=integer(at_least=1), default=1,
            help="take a minibatch in so many parts, one after the other, in the memory of one: gradients "
                 "are those of the whole, but forward passes are computed again (docs/distributed.md)")
        add("--grad_checkpoint", action="store_true",
            help="keep fewer of G's activations and compute the others again: about a third more time")
        add("--cache", choices=CACHES, default="none",
            help="keep decoded and resized images, so that each is decoded once: in memory (ram), or in "
                 "files that later runs use too (disk)")
        add("--cache_limit", type=number(at_least=0), default=8.0, help="gigabytes that --cache may fill")
        add("--cache_dir", default=None, help="folder of --cache disk; default: <checkpoints_dir>/cache")


def run_name(opt: Namespace) -> str:
    """The run's full name: --name with --suffix behind it, options in braces filled in."""
    try:
        return f"{opt.name}_{opt.suffix.format(**vars(opt))}" if opt.suffix else opt.name
    except (KeyError, IndexError, ValueError) as error:
        raise UsageError(f"--suffix is {opt.suffix!r}, which cannot be filled in ({error}): options stand in "
                         "it like {netG}") from None


def generator_name(text: str) -> str:
    """The name of a generator, with a line of its own for the one that the reference cannot run."""
    if text == "resnet_cat":
        raise UsageError("--netG resnet_cat never worked and is not kept; choose resnet_9blocks")
    return text
