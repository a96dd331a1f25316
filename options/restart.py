"""The command line of a training that torchrun has started again: it goes on where the run was last saved."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from options.train_options import TrainOptions
from util.checkpoints.run_record import recorded_launch
from util.distributed.place import is_restarted, launch_name

# What says where a run begins.
BEGINNING = {"--continue_train", "--pretrained_name", "--epoch", "--epoch_count", "--config"}


def parse_training() -> Namespace:
    """The options of train.py. Where this very launch has saved the run already, they continue it."""
    opt = TrainOptions().parse()
    folder = Path(opt.checkpoints_dir) / opt.name
    if is_restarted() and recorded_launch(folder) == launch_name() != "":
        return TrainOptions().parse([*without_beginning(sys.argv[1:]), "--continue_train"])
    return opt


def without_beginning(argv: Sequence[str]) -> list[str]:
    """The words but for flags that say where a run begins, with their values."""
    kept: list[str] = []
    left_out = False
    for word in argv:
        if word.startswith("--"):
            left_out = word.partition("=")[0] in BEGINNING
        if not left_out:
            kept.append(word)
    return kept
