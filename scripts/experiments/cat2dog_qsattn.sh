#!/usr/bin/env bash
# Cat -> dog (AFHQ) with CUT and QS-Attn (global).
# Expected: FID 72.8 ?
# Source: Hu et al. 2022; recalled, not checked
# Cost: about 137 GPU hours, those of CUT by Table 1 of Park et al. 2020: 400 epochs of about 5,150 steps at 0.24 s
# Data: bash datasets/download_dataset.sh afhq; python datasets/prepare_afhq.py
# Protocol: best of the saved epochs
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cat2dog
train --recipe qsattn --n_epochs 200 --n_epochs_decay 200 "$@"
translate
evaluate
