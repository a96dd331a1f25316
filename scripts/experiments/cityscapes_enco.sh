#!/usr/bin/env bash
# Cityscapes, label map -> photo with EnCo.
# Expected: FID 45.4 ?
# Source: Cai et al. 2024; recalled, not checked
# Cost: about 23 GPU hours, by its authors' seconds a step: 200 epochs of 2,975 steps at 0.14 ? s
# Data: python datasets/prepare_cityscapes.py, from the files that cityscapes-dataset.com gives out
# Protocol: best of the saved epochs
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cityscapes BtoA
train --recipe enco --warmup_epochs 20 --n_epochs 100 --n_epochs_decay 100 "$@"
translate
evaluate
segment
