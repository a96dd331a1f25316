#!/usr/bin/env bash
# Cityscapes, label map -> photo with CUT and QS-Attn (global).
# Expected: FID 53.5 ?
# Source: Hu et al. 2022; recalled, not checked
# Cost: about 79 GPU hours, those of CUT by Table 1 of Park et al. 2020: 400 epochs of 2,975 steps at 0.24 s
# Data: python datasets/prepare_cityscapes.py, from the files that cityscapes-dataset.com gives out
# Protocol: best of the saved epochs
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cityscapes BtoA
train --recipe qsattn --n_epochs 200 --n_epochs_decay 200 "$@"
translate
evaluate
segment
