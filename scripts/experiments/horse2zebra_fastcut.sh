#!/usr/bin/env bash
# Horse -> zebra with FastCUT.
# Expected: FID 73.4
# Source: Table 1 of Park et al. 2020
# Cost: 11 GPU hours, from Table 1: 200 epochs of 1,334 steps at 0.15 s on a GPU of 2020
# Data: bash datasets/download_dataset.sh horse2zebra
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data horse2zebra
train --CUT_mode FastCUT --n_epochs 150 --n_epochs_decay 50 "$@"
translate
evaluate
