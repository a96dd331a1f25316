#!/usr/bin/env bash
# Ablation on Cityscapes, label map -> photo: internal and external negatives.
# Expected: FID 64.4 ?, mAP 20.0 ?
# Source: the ablation table of Park et al. 2020; scores with ? are recalled, not checked
# Cost: at most 79 GPU hours, those of CUT by Table 1: 400 epochs of 2,975 steps at 0.24 s
# Data: python datasets/prepare_cityscapes.py, from the files that cityscapes-dataset.com gives out
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cityscapes BtoA
train --CUT_mode CUT --n_epochs 200 --n_epochs_decay 200 \
    --nce_negatives both --nce_queue_size 16384 --nce_momentum 0.999 "$@"
translate
evaluate
segment
