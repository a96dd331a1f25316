#!/usr/bin/env bash
# Ablation on Horse -> zebra: internal and external negatives.
# Expected: FID 56.4 ?
# Source: the ablation table of Park et al. 2020; scores with ? are recalled, not checked
# Cost: at most 36 GPU hours, those of CUT by Table 1: 400 epochs of 1,334 steps at 0.24 s
# Data: bash datasets/download_dataset.sh horse2zebra
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data horse2zebra
train --CUT_mode CUT --n_epochs 200 --n_epochs_decay 200 \
    --nce_negatives both --nce_queue_size 16384 --nce_momentum 0.999 "$@"
translate
evaluate
