#!/usr/bin/env bash
# Cat -> dog (AFHQ) with CUT.
# Expected: FID 76.2
# Source: Table 1 of Park et al. 2020
# Cost: 137 GPU hours, from Table 1: 400 epochs of about 5,150 steps at 0.24 s on a GPU of 2020
# Data: bash datasets/download_dataset.sh afhq; python datasets/prepare_afhq.py
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cat2dog
train --CUT_mode CUT --n_epochs 200 --n_epochs_decay 200 "$@"
translate
evaluate
