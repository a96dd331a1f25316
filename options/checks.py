"""What can be seen to be wrong from the options alone, before any work is done."""

import math
from argparse import Namespace
from pathlib import Path

from data.transforms import check_preprocess
from util.errors import UsageError

AT_LEAST_ONE = ("input_nc", "output_nc", "ngf", "ndf", "n_layers_D", "batch_size", "load_size", "crop_size",
                "max_dataset_size", "display_winsize", "stylegan2_G_num_downsampling", "netF_nc",
                "num_patches", "epoch_count", "lr_decay_iters", "save_latest_freq", "save_epoch_freq",
                "print_freq", "display_freq", "update_html_freq", "display_ncols", "num_test",
                "evaluation_images")
AT_LEAST_ZERO = ("num_threads", "n_epochs", "n_epochs_decay", "lambda_GAN", "lambda_NCE", "pool_size", "seed",
                 "keep_last", "evaluation_freq")
ABOVE_ZERO = ("lr", "nce_T", "init_gain")
BELOW_ONE = ("beta1", "beta2")


def check_options(opt: Namespace) -> None:
    """Raise UsageError for the first option that cannot work, alone or beside the others."""
    for name, value in vars(opt).items():
        if isinstance(value, float) and math.isnan(value):
            raise UsageError(f"--{name} is nan; give a number")
    for names, holds, wish in ((AT_LEAST_ONE, lambda v: v >= 1, "at least 1"),
                               (AT_LEAST_ZERO, lambda v: 0 <= v < math.inf, "0 or more, and finite"),
                               (ABOVE_ZERO, lambda v: 0 < v < math.inf, "a number above 0"),
                               (BELOW_ONE, lambda v: 0 <= v < 1, "at least 0 and below 1")):
        for name in names:
            if hasattr(opt, name) and not holds(getattr(opt, name)):
                raise UsageError(f"--{name} is {getattr(opt, name)}; it must be {wish}")
    if opt.seed >= 2 ** 32:
        raise UsageError(f"--seed is {opt.seed}; it must be below 2^32")
    if opt.random_scale_max < 1:
        raise UsageError(f"--random_scale_max is {opt.random_scale_max}; it must be at least 1")
    check_preprocess(opt.preprocess)
    check_sizes(opt)
    check_folder(opt)
    if opt.isTrain:
        check_training(opt)


def check_sizes(opt: Namespace) -> None:
    words = opt.preprocess.split("_and_")
    if ("resize" in words or "fixsize" in words) and "crop" in words and opt.load_size < opt.crop_size:
        raise UsageError(f"--load_size {opt.load_size} is smaller than --crop_size {opt.crop_size}: there is "
                         f"nothing to cut; use --load_size {opt.crop_size} or more")
    if opt.isTrain and "none" not in words and opt.crop_size % 4:
        raise UsageError(f"--crop_size is {opt.crop_size}; it must be a multiple of 4, which G halves twice")


def check_folder(opt: Namespace) -> None:
    """--name must stay inside --checkpoints_dir."""
    if not opt.name or Path(opt.name).is_absolute() or ".." in Path(opt.name).parts:
        raise UsageError(f"--name is {opt.name!r}; give a name that makes a folder inside --checkpoints_dir")


def check_training(opt: Namespace) -> None:
    last = opt.n_epochs + opt.n_epochs_decay
    if last < 1:
        raise UsageError("--n_epochs and --n_epochs_decay are both 0: there is nothing to train")
    if opt.epoch_count > last and not opt.continue_train:
        raise UsageError(f"--epoch_count is {opt.epoch_count}, but the last epoch is {last} (--n_epochs + "
                         "--n_epochs_decay): nothing is left to train")
    if opt.pretrained_name is not None and not opt.continue_train:
        raise UsageError(f"--pretrained_name {opt.pretrained_name} takes effect only with --continue_train: "
                         "add it")
