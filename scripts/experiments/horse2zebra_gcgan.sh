#!/usr/bin/env bash
# Horse -> zebra with GcGAN.
# Expected: FID 86.7
# Source: Table 1 of Park et al. 2020
# Cost: 19 GPU hours, from Table 1: 200 epochs of 1,334 steps at 0.26 ? s on a GPU of 2020
# Data: bash datasets/download_dataset.sh horse2zebra
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data horse2zebra
train --model gcgan --n_epochs 100 --n_epochs_decay 100 --separate_generators "$@"
translate
evaluate
