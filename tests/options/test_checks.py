"""Options that cannot work end in one line that names flag, value and remedy, before any work is done."""

import pytest

from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.errors import UsageError

TRAINING = [(f"--{name} 0", f"--{name} is 0; it must be at least 1") for name in (
    "input_nc output_nc ngf ndf n_layers_D batch_size load_size crop_size max_dataset_size display_winsize "
    "stylegan2_G_num_downsampling netF_nc num_patches epoch_count lr_decay_iters save_latest_freq "
    "save_epoch_freq print_freq display_freq update_html_freq display_ncols").split()]
TRAINING += [(f"--{name} -1", f"--{name} is -1; it must be at least 0") for name in (
    "num_threads n_epochs n_epochs_decay pool_size seed keep_last").split()]
TRAINING += [(f"--{name} {value}", f"--{name} is {value}; it must be at least 0 and finite")
             for name in ("lambda_GAN", "lambda_NCE", "cache_limit") for value in ("-0.5", "inf")]
TRAINING += [(f"--{name} {value}", f"--{name} is {value}; it must be above 0 and finite")
             for name in ("lr", "nce_T", "init_gain") for value in ("0.0", "-1.0", "inf")]
TRAINING += [(f"--{name} {value}", f"--{name} is {value}; it must be at least 0 and below 1")
             for name in ("beta1", "beta2") for value in ("1.0", "-0.1")]
TRAINING += [
    ("--lr nan", "--lr is nan; it must be above 0 and finite"),
    ("--seed 4294967296", "--seed is 4294967296; it must be at least 0 and below 4294967296"),
    ("--nce_queue_size 0", "--nce_queue_size is 0; it must be at least 1"),
    ("--nce_momentum 1", "--nce_momentum is 1; it must be at least 0 and below 1"),
    ("--dataset_mode singleimage --crops_per_epoch 0", "--crops_per_epoch is 0; it must be at least 1"),
    ("--random_scale_max 0.9", "--random_scale_max is 0.9; it must be at least 1"),
    ("--preprocess resize_then_crop", "--preprocess is 'resize_then_crop'"),
    ("--load_size 128", "--load_size 128 is smaller than --crop_size 256"),
    ("--load_size 128", "use --load_size 256 or more"),
    ("--crop_size 254", "--crop_size is 254; it must be a multiple of 4"),
    ("--name=", "--name is ''"),
    ("--name ../other", "--name is '../other'; give a name that makes a folder inside --checkpoints_dir"),
    ("--name /tmp/x", "--name is '/tmp/x'"),
    ("--n_epochs 0 --n_epochs_decay 0", "--n_epochs and --n_epochs_decay are both 0"),
    ("--epoch_count 401", "--epoch_count is 401, but the last epoch is 400"),
    ("--pretrained_name h2z", "--pretrained_name h2z takes effect only with --continue_train: add it"),
]
TRANSLATION = [("--num_test 0", "--num_test is 0; it must be at least 1"),
               ("--crop_size 0", "--crop_size is 0"),
               ("--load_size 100", "--load_size 100 is smaller than --crop_size 256"),
               ("--preprocess sharpen", "--preprocess is 'sharpen'"),
               ("--name ..", "--name is '..'")]


@pytest.mark.parametrize("options, flags, message",
                         [(TrainOptions, *row) for row in TRAINING]
                         + [(TestOptions, *row) for row in TRANSLATION],
                         ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_is_refused_in_one_line(options, flags, message):
    with pytest.raises(UsageError) as error:
        options().parse([*flags.split(), "--gpu_ids=-1"])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("flags", [
    "--crop_size 254 --preprocess none", "--load_size 128 --preprocess scale_width", "--n_epochs 0",
    "--lambda_NCE 0", "--num_threads 0", "--beta1 0", "--epoch_count 401 --continue_train", "--name a/b",
    "--load_size 256", "--max_dataset_size inf", "--seed 4294967295", "--pretrained_name x --continue_train"])
def test_what_can_work_is_not_refused(flags):
    TrainOptions().parse([*flags.split(), "--gpu_ids=-1"])


def test_translation_takes_crops_of_any_size():
    assert TestOptions().parse(["--crop_size", "51", "--load_size", "51", "--gpu_ids=-1"]).crop_size == 51
