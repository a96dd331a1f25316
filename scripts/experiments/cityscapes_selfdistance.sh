#!/usr/bin/env bash
# Cityscapes, label map -> photo with SelfDistance.
# Expected: FID 78.8, mAP 15.3 ?, pixAcc 56.9 ?, classAcc 20.6 ?
# Source: Table 1 of Park et al. 2020; scores with ? are recalled, not checked
# Cost: 26 GPU hours, from Table 1: 200 epochs of 2,975 steps at 0.16 s on a GPU of 2020
# Data: python datasets/prepare_cityscapes.py, from the files that cityscapes-dataset.com gives out
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cityscapes BtoA
train --model distance_gan --use_self_distance --n_epochs 100 --n_epochs_decay 100 "$@"
translate
evaluate
segment
