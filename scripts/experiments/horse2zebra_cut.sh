#!/usr/bin/env bash
# Horse -> zebra with CUT.
# Expected: FID 45.5
# Source: Table 1 of Park et al. 2020
# Cost: 36 GPU hours, from Table 1: 400 epochs of 1,334 steps at 0.24 s on a GPU of 2020
# Data: bash datasets/download_dataset.sh horse2zebra
# Users: FID 60-68 at the last epoch
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data horse2zebra
train --CUT_mode CUT --n_epochs 200 --n_epochs_decay 200 "$@"
translate
evaluate
