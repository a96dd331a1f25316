#!/usr/bin/env bash
# Cat -> dog (AFHQ) with EnCo.
# Expected: FID 54.7 ?
# Source: Cai et al. 2024; recalled, not checked
# Cost: about 40 GPU hours, by its authors' seconds a step: 200 epochs of about 5,150 steps at 0.14 ? s
# Data: bash datasets/download_dataset.sh afhq; python datasets/prepare_afhq.py
# Protocol: best of the saved epochs
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cat2dog
train --recipe enco --warmup_epochs 20 --n_epochs 100 --n_epochs_decay 100 "$@"
translate
evaluate
