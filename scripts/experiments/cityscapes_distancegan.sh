#!/usr/bin/env bash
# Cityscapes, label map -> photo with DistanceGAN.
# Expected: FID 81.8, mAP 8.4 ?, pixAcc 42.2 ?, classAcc 12.6 ?
# Source: Table 1 of Park et al. 2020; scores with ? are recalled, not checked
# Cost: 25 GPU hours, from Table 1: 200 epochs of 2,975 steps at 0.15 s on a GPU of 2020
# Data: python datasets/prepare_cityscapes.py, from the files that cityscapes-dataset.com gives out
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cityscapes BtoA
train --model distance_gan --n_epochs 100 --n_epochs_decay 100 "$@"
translate
evaluate
segment
