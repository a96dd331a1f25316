#!/usr/bin/env bash
# Cityscapes, label map -> photo with FastCUT.
# Expected: FID 68.8, mAP 19.1 ?, pixAcc 59.9 ?, classAcc 24.3 ?
# Source: Table 1 of Park et al. 2020; scores with ? are recalled, not checked
# Cost: 25 GPU hours, from Table 1: 200 epochs of 2,975 steps at 0.15 s on a GPU of 2020
# Data: python datasets/prepare_cityscapes.py, from the files that cityscapes-dataset.com gives out
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cityscapes BtoA
train --CUT_mode FastCUT --n_epochs 150 --n_epochs_decay 50 "$@"
translate
evaluate
segment
