#!/usr/bin/env bash
# From nothing but Python to images translated by a CUT that was trained here; 5 to 8 minutes on 2 idle CPU
# cores, faster with CUDA.
#     bash scripts/quickstart.sh          trains for 4 to 7 minutes
#     bash scripts/quickstart.sh --fast   trains for about a minute: enough to see that all works
# A second start skips what is done already. Everything lies in .venv, datasets/emoji, checkpoints and results.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=quickstart
schedule=(--n_epochs 1 --n_epochs_decay 3)
case "${*:-}" in
    "") ;;
    --fast) name=quickstart_fast schedule=(--n_epochs 1 --n_epochs_decay 0 --max_dataset_size 300) ;;
    *) echo "quickstart.sh: error: unknown argument '$*'; there is only --fast" >&2; exit 2 ;;
esac

stage=start
trap 'code=$?; [ $code = 0 ] || echo "quickstart.sh: stopped in stage \"$stage\" (exit code $code)" >&2' EXIT
stage() {
    stage=$1
    echo
    echo "== $stage"
}

stage "environment"
source scripts/environment/setup_venv.sh

stage "demo data"
if [ -e datasets/emoji/README.md ]; then
    echo "datasets/emoji: there already"
else
    .venv/bin/python datasets/make_emoji_dataset.py --output datasets/emoji
fi

stage "training"
checkpoints=checkpoints/$name
training=(--dataroot datasets/emoji --name "$name" --load_size 72 --crop_size 64 --ngf 32 --ndf 32
          --netG resnet_6blocks "${schedule[@]}")
done_with=$checkpoints/quickstart_finished.txt  # the flags of the run that came to its end
if [ "$(cat "$done_with" 2>/dev/null)" = "${training[*]}" ]; then
    echo "$checkpoints: trained already"
else
    command=(train.py "${training[@]}")
    if [ -e "$checkpoints/latest_state.pth" ] && [ ! -e "$done_with" ]; then
        command+=(--continue_train)  # the last run was stopped here
    fi
    .venv/bin/python "${command[@]}"
    echo "${training[*]}" >"$done_with"
fi

stage "translation"
results=results/$name/test_latest
if [ "$results/index.html" -nt "$done_with" ]; then
    echo "$results: translated already"
else
    .venv/bin/python test.py --dataroot datasets/emoji --name "$name"
fi

stage "report"
.venv/bin/python scripts/reports/demo_report.py "$results"
