#!/usr/bin/env bash
# Cat -> dog (AFHQ) with CycleGAN.
# Expected: FID 85.9
# Source: Table 1 of Park et al. 2020
# Cost: 115 GPU hours, from Table 1: 200 epochs of about 5,150 steps at 0.40 s on a GPU of 2020
# Data: bash datasets/download_dataset.sh afhq; python datasets/prepare_afhq.py
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cat2dog
train --model cycle_gan --n_epochs 100 --n_epochs_decay 100 "$@"
translate
evaluate
