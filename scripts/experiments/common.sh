# The steps of every experiment here; its script sources this file. A step that is done is skipped and an
# interrupted run goes on, so a script can be started again at any time.
#
#     bash scripts/experiments/horse2zebra_cut.sh
#     DATAROOT=/data/h2z NAME=first bash scripts/experiments/horse2zebra_cut.sh --batch_size 4
#
# Flags behind the script's name go to train.py, after the script's own, so they win. The environment sets:
#   DATAROOT          folder of the data set (the script's own, under ./datasets)
#   NAME              name of the run (the script's)
#   CHECKPOINTS, RESULTS              folders of the runs and of the translations (./checkpoints, ./results)
#   TRANSLATE_FLAGS, EVALUATE_FLAGS   more flags for test.py and scripts/evaluate.py, separated by spaces
#   SEGMENTER         network that finds labels in photos, for the Cityscapes scores (docs/evaluation.md)
#   PYTHON            Python to use (.venv/bin/python where that is)
#   DRY_RUN=1         only print the commands
set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    echo "$script: error: $*" >&2
    exit 2
}

absolute() {  # absolute PATH: as seen from where the script was started
    case $1 in /*) echo "$1" ;; *) echo "$caller/$1" ;; esac
}

run() {  # run COMMAND...: print it, and run it unless this is a dry run
    printf '%q ' "$@"
    echo
    [ -n "${DRY_RUN:-}" ] || "$@"
}

script=$(basename "$0" .sh)
name=${NAME:-$script}
checkpoints=$(absolute "${CHECKPOINTS:-$PWD/checkpoints}")
results=$(absolute "${RESULTS:-$PWD/results}")
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
finished=$checkpoints/$name/finished.txt  # holds the flags of a run that came to its end

made_since() {  # made_since FILE OTHER: whether FILE is there and no older than OTHER
    [ -e "$1" ] && ! [ "$2" -nt "$1" ]
}

data() {  # data FOLDER [DIRECTION]: the data set under ./datasets, and which way to translate
    direction=${2:-AtoB}
    dataroot=$(absolute "${DATAROOT:-$PWD/datasets/$1}")
    [ -n "${DRY_RUN:-}" ] || [ -d "$dataroot" ] ||
        fail "there is no $dataroot; get it as docs/datasets.md says, or name it: DATAROOT=/path/to/$1"
    common=(--dataroot "$dataroot" --name "$name" --checkpoints_dir "$checkpoints" --direction "$direction")
}

train() {  # train FLAGS...: of train.py
    local flags="${common[*]} $*" known command=("$python" train.py "${common[@]}" "$@")
    known=$(cat "$finished" 2>/dev/null || true)
    if [ "$known" = "$flags" ]; then
        echo "$checkpoints/$name: trained already"
        return
    fi
    [ -z "$known" ] || fail "$checkpoints/$name was trained with other flags ($known); choose another NAME"
    [ ! -e "$checkpoints/$name/latest_state.pth" ] || command+=(--continue_train)
    run "${command[@]}"
    [ -n "${DRY_RUN:-}" ] || echo "$flags" >"$finished"
}

translate() {  # translate [PHASE] FLAGS...: of test.py; PHASE is test or train
    phase=test
    case ${1:-} in test | train) phase=$1 && shift ;; esac
    out=$results/$name/${phase}_latest
    if made_since "$out/index.html" "$finished"; then
        echo "$out: translated already"
        return
    fi
    # shellcheck disable=SC2086  # TRANSLATE_FLAGS is a list
    run "$python" test.py "${common[@]}" --results_dir "$results" --phase "$phase" "$@" ${TRANSLATE_FLAGS:-}
}

evaluate() {  # FID and more against all real images of the target domain
    local real=$dataroot/${phase}B
    [ "$direction" = AtoB ] || real=$dataroot/${phase}A
    if made_since "$out/metrics.json" "$out/index.html"; then
        echo "$out/metrics.json: evaluated already"
        return
    fi
    # shellcheck disable=SC2086  # EVALUATE_FLAGS is a list
    run "$python" scripts/evaluate.py --real "$real" --fake "$out/images/fake_B" ${EVALUATE_FLAGS:-}
}

segment() {  # how well a network finds the labels again in the photos that were made from them
    if [ -z "${SEGMENTER:-}" ]; then
        echo "no pixAcc, classAcc and mAP: they need SEGMENTER=/path/to/network (docs/evaluation.md)"
    elif made_since "$out/segmentation.json" "$out/index.html"; then
        echo "$out/segmentation.json: evaluated already"
    else
        run "$python" scripts/evaluate_segmentation.py --labels "${LABELS:-$dataroot/${phase}B}" \
            --fake "$out/images/fake_B" --segmenter "$(absolute "$SEGMENTER")" --output "$out/segmentation.json"
    fi
}
