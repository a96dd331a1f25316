"""The flags that training and translation share, and the passes in which a command line is read."""

from abc import ABC, abstractmethod
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

import torch

from data import find_dataset
from models import find_model
from models.networks import DISCRIMINATORS, GENERATORS
from models.networks.init import INITS
from models.networks.norm import NORMS
from models.precision import resolve_channels_last, resolve_precision
from options.checks import check_options
from options.parser import OptionParser
from options.speed import add_speed
from util.errors import UsageError
from util.flags import str2bool

# Titles in --help of the flags that decide a network's shape.
NETWORKS, MODEL = "networks", "model"


class BaseOptions(ABC):
    """Reads a command line: shared flags, then the model's, then the data set's, all from one argv."""

    is_train: bool

    def parse(self, argv: Sequence[str] | None = None) -> Namespace:
        """The options, checked together, with `isTrain`, `device`, `typed` and `defaults` added.

        argv: without the program's name; None stands for sys.argv. typed: names of the options that were
        typed; defaults: the default of each. Raises UsageError.
        """
        parser = OptionParser(argv, description=self.__doc__.splitlines()[0])
        add_shared(parser)
        self.add_flags(parser)
        add_speed(parser, self.is_train)
        self.restore(parser)
        parser.section(MODEL)
        find_model(parser.peek("model")).modify_commandline_options(parser, self.is_train)
        self.restore(parser)
        parser.section("data set")
        find_dataset(parser.peek("dataset_mode")).modify_commandline_options(parser, self.is_train)
        self.restore(parser)
        opt = parser.parse_all()
        opt.defaults = {name: parser.get_default(name) for name in vars(opt)}
        opt.typed = parser.typed()
        opt.isTrain = self.is_train
        opt.name = experiment_name(opt)
        check_options(opt)
        opt.device = resolve_device(opt.gpu_ids)
        opt.precision = resolve_precision(opt.precision, opt.device)
        opt.channels_last = resolve_channels_last(opt.channels_last, opt.precision, opt.device)
        return opt

    @abstractmethod
    def add_flags(self, parser: OptionParser) -> None:
        """Add the flags of this phase."""

    def restore(self, parser: OptionParser) -> None:  # noqa: B027 - train.py restores nothing
        """Let what an earlier run recorded stand in for defaults; called as flags become known."""


def recorded_folder(parser: OptionParser) -> Path | None:
    """Where the experiment named so far lies; None while --suffix holds a flag that is yet to be added."""
    opt, _ = parser.parse_known_args()
    try:
        return Path(opt.checkpoints_dir) / experiment_name(opt)
    except UsageError:
        return None


def add_shared(parser: OptionParser) -> None:
    """The flags of every command, in titled groups."""
    add = parser.add_argument
    parser.section("experiment")
    add("--dataroot", default="placeholder",
        help="folder of the images, with trainA, trainB, testA, testB in it")
    add("--name", default="experiment_name",
        help="name of the experiment: its folder of checkpoints and results")
    add("--easy_label", default="experiment_name", help="accepted for old command lines; has no effect")
    add("--gpu_ids", default="auto",
        help="auto: the first GPU, or the CPU where there is none; 0: that GPU; -1: CPU")
    add("--checkpoints_dir", default="./checkpoints", help="where the experiments' folders are")
    add("--seed", type=int, default=0,
        help="of every random number: weights, order of images, crops, patches")
    add("--suffix", default="",
        help="added to the name, with options in braces filled in, such as {netG}_{crop_size}")
    add("--verbose", action="store_true", help="print the networks' layers")
    add("--model", default="cut", help="file models/<model>_model.py: cut, or one of your own")

    parser.section(NETWORKS)
    add("--input_nc", type=int, default=3, help="channels of the input images: 1 gray, 3 colour")
    add("--output_nc", type=int, default=3, help="channels of the output images: 1 gray, 3 colour")
    add("--ngf", type=int, default=64, help="width of G: channels behind its first layer")
    add("--ndf", type=int, default=64, help="width of D: channels behind its first layer")
    add("--netD", choices=sorted(DISCRIMINATORS), default="basic",
        help="discriminator; basic is the 70x70 PatchGAN, n_layers lets you choose its depth")
    add("--netG", type=generator_name, choices=sorted(GENERATORS), default="resnet_9blocks", help="generator")
    add("--n_layers_D", type=int, default=3, help="halvings in --netD n_layers")
    add("--normG", choices=sorted(NORMS), default="instance", help="normalisation in G")
    add("--normD", choices=sorted(NORMS), default="instance", help="normalisation in D")
    add("--init_type", choices=sorted(INITS), default="xavier", help="initial weights")
    add("--init_gain", type=float, default=0.02,
        help="scale of the initial weights (normal, xavier, orthogonal)")
    add("--no_dropout", type=str2bool, nargs="?", const=True, default=True, help="G without dropout")
    add("--no_antialias", action="store_true", help="halve by strided convolutions, not by blurring")
    add("--no_antialias_up", action="store_true", help="double by transposed convolutions, not by blurring")
    add("--stylegan2_G_num_downsampling", type=int, default=1, help="halvings in --netG stylegan2")
    add("--D_tile_size", type=int, default=32,
        help="--netD tilestylegan2 judges tiles of this many pixels a side, each by itself")

    parser.section("images")
    add("--dataset_mode", default="unaligned",
        help="file data/<mode>_dataset.py: unaligned (two folders), single (one folder, to translate), "
             "or one of your own")
    add("--direction", choices=["AtoB", "BtoA"], default="AtoB", help="which side is translated into which")
    add("--serial_batches", action="store_true",
        help="images in order, A paired with B by number, not at random")
    add("--num_threads", type=int, default=4, help="processes that read images; 0: the main process")
    add("--batch_size", type=int, default=1, help="images a step")
    add("--load_size", type=int, default=286, help="resize images to this many pixels a side")
    add("--crop_size", type=int, default=256, help="then cut out this many pixels a side")
    add("--max_dataset_size", type=count, default=float("inf"),
        help="use at most this many images of a folder")
    add("--preprocess", default="resize_and_crop",
        help="words joined by _and_: resize, scale_width, scale_shortside, zoom, crop, patch, trim, fixsize, "
             "none")
    add("--no_flip", action="store_true", help="do not mirror images at random in training")
    add("--random_scale_max", type=float, default=3.0, help="zoom shrinks a side to 1/this at most")
    add("--display_winsize", type=int, default=256, help="width of an image on pages, pixels")
    add("--epoch", default="latest", help="which checkpoint to load: latest, an epoch, or iter_<n>")


def experiment_name(opt: Namespace) -> str:
    """--name with --suffix behind it, options in braces filled in."""
    try:
        return f"{opt.name}_{opt.suffix.format(**vars(opt))}" if opt.suffix else opt.name
    except (KeyError, IndexError, ValueError) as error:
        raise UsageError(f"--suffix is {opt.suffix!r}, which cannot be filled in ({error}): options stand in "
                         "it like {netG}") from None


def count(text: str) -> float:
    """A number of images; inf stands for all."""
    if text != "inf" and not text.lstrip("-").isdecimal():
        raise ArgumentTypeError(f"{text!r} is no number of images")
    return float(text) if text == "inf" else int(text)


def generator_name(text: str) -> str:
    if text == "resnet_cat":
        raise UsageError("--netG resnet_cat never worked and is not kept; choose resnet_9blocks")
    return text


def resolve_device(gpu_ids: str) -> torch.device:
    """The device that --gpu_ids names. Raises UsageError for a GPU that is not there."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu_ids == "auto":
        return torch.device("cuda:0" if found else "cpu")
    try:
        numbers = [int(part) for part in gpu_ids.split(",") if part]
    except ValueError:
        raise UsageError(f"--gpu_ids is {gpu_ids!r}; give auto, -1 for the CPU, or a GPU's number") from None
    numbers = [n for n in numbers if n >= 0]
    if not numbers:
        return torch.device("cpu")
    if len(numbers) > 1:
        raise UsageError(f"--gpu_ids {gpu_ids}: training on several GPUs is not there yet; name one of them")
    if numbers[0] >= found:
        raise UsageError(f"--gpu_ids is {gpu_ids}, but PyTorch sees {found} GPU{'s' * (found != 1)} here; "
                         "use auto, or -1 for the CPU")
    return torch.device(f"cuda:{numbers[0]}")
