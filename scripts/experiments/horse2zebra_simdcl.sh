#!/usr/bin/env bash
# Horse -> zebra with SimDCL.
# Expected: FID 47.1
# Source: the table of Han et al. 2021 in their README
# Cost: 70 GPU hours, from that table: 400 epochs of 1,334 steps at 0.47 s on their GPU
# Data: bash datasets/download_dataset.sh horse2zebra
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data horse2zebra
train --model dclgan --dcl_mode simdcl --n_epochs 200 --n_epochs_decay 200 "$@"
translate
evaluate
