#!/usr/bin/env bash
# Run the tests, with .venv made if needed; extra arguments go to pytest: bash scripts/run_tests.sh -k metrics
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment/setup_venv.sh
exec .venv/bin/python -m pytest "$@"
