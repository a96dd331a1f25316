#!/usr/bin/env bash
# Cityscapes, label map -> photo with GcGAN.
# Expected: FID 105.2, mAP 21.2 ?, pixAcc 63.2 ?, classAcc 26.6 ?
# Source: Table 1 of Park et al. 2020; scores with ? are recalled, not checked
# Cost: 43 GPU hours, from Table 1: 200 epochs of 2,975 steps at 0.26 ? s on a GPU of 2020
# Data: python datasets/prepare_cityscapes.py, from the files that cityscapes-dataset.com gives out
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cityscapes BtoA
train --model gcgan --n_epochs 100 --n_epochs_decay 100 --lambda_identity 3 "$@"
translate
evaluate
segment
