#!/usr/bin/env bash
# Cityscapes, label map -> photo with DCLGAN.
# Expected: FID 49.4
# Source: the table of Han et al. 2021 in their README
# Cost: 136 GPU hours, from that table: 400 epochs of 2,975 steps at 0.41 s on their GPU
# Data: python datasets/prepare_cityscapes.py, from the files that cityscapes-dataset.com gives out
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cityscapes BtoA
train --model dclgan --n_epochs 200 --n_epochs_decay 200 "$@"
translate
evaluate
segment
