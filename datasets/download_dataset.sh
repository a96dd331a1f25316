#!/usr/bin/env bash
# Fetch a data set into ./datasets: bash datasets/download_dataset.sh horse2zebra
# Without a name it lists what there is; --help shows the rest. Needs Python alone, none of the requirements.
here=$(dirname "${BASH_SOURCE[0]}")
python=$here/../.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" "$here/download_dataset.py" "$@"
