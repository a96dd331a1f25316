#!/usr/bin/env bash
# Horse -> zebra with CUT and QS-Attn (global).
# Expected: FID 41.1 ?
# Source: Hu et al. 2022; recalled, not checked
# Cost: about 36 GPU hours, those of CUT by Table 1 of Park et al. 2020: 400 epochs of 1,334 steps at 0.24 s
# Data: bash datasets/download_dataset.sh horse2zebra
# Protocol: best of the saved epochs
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data horse2zebra
train --recipe qsattn --n_epochs 200 --n_epochs_decay 200 "$@"
translate
evaluate
