#!/usr/bin/env bash
# Cityscapes, label map -> photo with CycleGAN.
# Expected: FID 76.3, mAP 20.4 ?, pixAcc 55.9 ?, classAcc 25.4 ?
# Source: Table 1 of Park et al. 2020; scores with ? are recalled, not checked
# Cost: 66 GPU hours, from Table 1: 200 epochs of 2,975 steps at 0.40 s on a GPU of 2020
# Data: python datasets/prepare_cityscapes.py, from the files that cityscapes-dataset.com gives out
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cityscapes BtoA
train --model cycle_gan --n_epochs 100 --n_epochs_decay 100 "$@"
translate
evaluate
segment
