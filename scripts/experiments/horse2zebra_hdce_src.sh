#!/usr/bin/env bash
# Horse -> zebra with CUT, hDCE and SRC.
# Expected: FID 34.4 ?
# Source: Jung et al. 2022; recalled, not checked
# Cost: about 36 GPU hours, those of CUT by Table 1 of Park et al. 2020: 400 epochs of 1,334 steps at 0.24 s
# Data: bash datasets/download_dataset.sh horse2zebra
# Protocol: best of the saved epochs
# Users: FID 45 at the last epoch
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data horse2zebra
train --recipe hdce_src --n_epochs 200 --n_epochs_decay 200 "$@"
translate
evaluate
