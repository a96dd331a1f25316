#!/usr/bin/env bash
# Cityscapes, label map -> photo with MUNIT.
# Expected: FID 91.4
# Source: table of Han et al. 2021 (DCLGAN), the better of their run and a released model; the budget is ours
# Cost: 108 GPU hours, from that table: 336 epochs of 2,975 steps at 0.39 s, the 1,000,000 of MUNIT's authors
# Data: python datasets/prepare_cityscapes.py, from the files that cityscapes-dataset.com gives out
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cityscapes BtoA
train --model munit --n_epochs 336 --n_epochs_decay 0 "$@"
translate
evaluate
segment
