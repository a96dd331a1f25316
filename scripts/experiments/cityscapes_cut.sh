#!/usr/bin/env bash
# Cityscapes, label map -> photo with CUT.
# Expected: FID 56.4, mAP 24.7 ?, pixAcc 68.8 ?, classAcc 30.7 ?
# Source: Table 1 of Park et al. 2020; scores with ? are recalled, not checked
# Cost: 79 GPU hours, from Table 1: 400 epochs of 2,975 steps at 0.24 s on a GPU of 2020
# Data: python datasets/prepare_cityscapes.py, from the files that cityscapes-dataset.com gives out
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cityscapes BtoA
train --CUT_mode CUT --n_epochs 200 --n_epochs_decay 200 "$@"
translate
evaluate
segment
