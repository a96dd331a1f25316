#!/usr/bin/env bash
# Cat -> dog (AFHQ) with DCLGAN.
# Expected: FID 60.7
# Source: the table of Han et al. 2021 in their README
# Cost: 235 GPU hours, from that table: 400 epochs of about 5,150 steps at 0.41 s on their GPU
# Data: bash datasets/download_dataset.sh afhq; python datasets/prepare_afhq.py
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cat2dog
train --model dclgan --n_epochs 200 --n_epochs_decay 200 "$@"
translate
evaluate
