"""Rules that join several options, checked before any work is done.

The bounds of a single flag are a matter of its type (util/flags.py).
"""

from argparse import Namespace
from pathlib import Path

from data import find_dataset
from data.companions import companions
from data.readers import value_range
from data.result_files import FORMAT_DEPTHS, LOSSY_FORMATS, SAME
from data.transforms import check_preprocess
from models.auxiliary import check_auxiliary
from options.devices import OTHER_DEVICES
from options.recipes import RECIPES
from util.errors import UsageError
from util.loggers.registry import check_packages


def check_options(opt: Namespace) -> None:
    """Raise UsageError for options that cannot work together, and for words and names that cannot be."""
    check_preprocess(opt.preprocess)
    check_sizes(opt)
    check_folder(opt)
    companions(opt.companions, opt.phase)
    check_depth(opt)
    check_devices(opt)
    if opt.isTrain:
        check_training(opt)
    else:
        check_files(opt)


def check_sizes(opt: Namespace) -> None:
    words = opt.preprocess.split("_and_")
    if ("resize" in words or "fixsize" in words) and "crop" in words and opt.load_size < opt.crop_size:
        raise UsageError(f"--load_size {opt.load_size} is smaller than --crop_size {opt.crop_size}: there is "
                         f"nothing to cut; use --load_size {opt.crop_size} or more")
    if opt.isTrain and "none" not in words and opt.crop_size % 4:
        raise UsageError(f"--crop_size is {opt.crop_size}; it must be a multiple of 4, as G downsamples "
                         "twice")


def check_folder(opt: Namespace) -> None:
    """--name must stay inside --checkpoints_dir."""
    if not opt.name or Path(opt.name).is_absolute() or ".." in Path(opt.name).parts:
        raise UsageError(f"--name is {opt.name!r}; give a name that makes a folder inside --checkpoints_dir")


def check_depth(opt: Namespace) -> None:
    """What works with 8 bits a channel cannot stand beside --value_range."""
    if not value_range(opt.value_range):
        return
    beside = {"companions": opt.companions, "dataset_mode": opt.dataset_mode == "singleimage"}
    beside |= {"augment": opt.augment, "cache": opt.cache != "none"} if opt.isTrain else {}
    for name in (name for name, used in beside.items() if used):
        raise UsageError(f"--value_range {opt.value_range} does not work with --{name} {vars(opt)[name]}, "
                         "which takes images of 8 bits; leave one of them out")


def check_devices(opt: Namespace) -> None:
    if opt.world_size > 1 and opt.gpu_ids in OTHER_DEVICES:
        raise UsageError(f"--gpu_ids {opt.gpu_ids} works with one process alone: use CUDA's GPUs, or -1 for "
                         "the CPU")


def check_division(opt: Namespace) -> None:
    """A minibatch must be divided evenly over ranks and micro-batches."""
    flags = f"--accumulate {opt.accumulate}" if opt.accumulate > 1 else ""
    if opt.world_size > 1:
        flags = f"{opt.world_size} ranks" + (f" and {flags}" if flags else "")
    number = opt.accumulate * opt.world_size
    if opt.batch_size % number:
        raise UsageError(f"--batch_size {opt.batch_size} is of the whole minibatch, which {flags} cannot "
                         f"divide into {number} equal parts: use a multiple of {number}")


def check_training(opt: Namespace) -> None:
    check_division(opt)
    recipe = RECIPES.get(opt.recipe, {})
    missing = [name for name in recipe if name not in opt]
    if missing:
        raise UsageError(f"--recipe {opt.recipe} sets --{missing[0]}, which --model {opt.model} does not "
                         f"have: use --model {recipe.get('model', 'cut')}")
    check_packages(opt.logger)
    last = opt.n_epochs + opt.n_epochs_decay
    if last < 1:
        raise UsageError("--n_epochs and --n_epochs_decay are both 0: there is nothing to train")
    if opt.epoch_count > last and not opt.continue_train:
        raise UsageError(f"--epoch_count is {opt.epoch_count}, but the last epoch is {last} (--n_epochs + "
                         "--n_epochs_decay): nothing is left to train")
    if opt.pretrained_name is not None and not opt.continue_train:
        raise UsageError(f"--pretrained_name {opt.pretrained_name} takes effect only with --continue_train: "
                         "add it")
    check_auxiliary(opt, find_dataset(opt.dataset_mode).gives(opt))


def check_files(opt: Namespace) -> None:
    """What --format, --quality and --value_range say must fit together."""
    if opt.value_range and FORMAT_DEPTHS.get(opt.format) == ():
        raise UsageError(f"--format {opt.format} holds 8 bits a channel, and --value_range {opt.value_range} "
                         "keeps more: use --format png, tiff or same, or leave one of them out")
    if opt.keep_alpha and opt.format == "jpg":
        raise UsageError("--format jpg holds no transparency, which --keep_alpha keeps: use --format webp")
    if opt.quality and opt.format not in (*LOSSY_FORMATS, SAME):
        raise UsageError(f"--quality {opt.quality} has no effect with --format {opt.format or 'png'}: use it "
                         f"with {', '.join(LOSSY_FORMATS)} or {SAME}")
