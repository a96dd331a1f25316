# Makes .venv in the current folder, the repository's root, and installs the requirements: source it, then run
# .venv/bin/python. Steps that are done are skipped. PYTHON=... chooses the interpreter for a new .venv.
# uv does the installing where it is on the PATH (faster); pip does otherwise.

find_python() {  # prints the first Python that is new enough
    local candidates=(python3 python3.13 python3.12 python3.11 python3.10 python) candidate
    if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: no Python 3.10 or newer (looked for: ${candidates[*]});" \
         "install one, or name it: PYTHON=/path/to/python3" >&2
    return 1
}

have_uv() {
    uv --version >/dev/null 2>&1
}

install() {  # arguments as of pip install
    if have_uv; then
        uv pip install --quiet --python .venv/bin/python "$@"
    else
        .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
    fi
}

can_install() {  # false where .venv is missing, broken, or was cut off while being made
    if have_uv; then
        .venv/bin/python -c "" 2>/dev/null
    else
        .venv/bin/python -m pip --version >/dev/null 2>&1
    fi
}

install_visdom() {  # pip before 25.3 reads the first file name, pip since then the second, uv the third
    PIP_CONSTRAINT=scripts/build-constraints.txt PIP_BUILD_CONSTRAINT=scripts/build-constraints.txt \
        UV_BUILD_CONSTRAINT=scripts/build-constraints.txt PIP_USE_PEP517=1 install -r requirements-visdom.txt
}

setup_venv() {
    local needed=(requirements.txt requirements-visdom.txt datasets/requirements-emoji.txt)
    local record=.venv/installed-requirements.txt  # what the last complete run installed
    local seconds=$SECONDS python
    if cat "${needed[@]}" | cmp -s - "$record" 2>/dev/null && .venv/bin/python -c ""; then
        echo ".venv: up to date"
        return
    fi
    if ! can_install; then
        python=$(find_python)
        echo ".venv: making it with $("$python" --version)"
        "$python" -m venv --clear .venv
    fi
    echo ".venv: installing the requirements (torch brings up to 6 GB, some minutes)"
    install -r requirements.txt -r datasets/requirements-emoji.txt
    if ! install_visdom >.venv/visdom.log 2>&1; then
        echo ".venv: visdom could not be installed, training goes without live plots (see .venv/visdom.log)"
    fi
    cat "${needed[@]}" >"$record"
    echo ".venv: ready after $((SECONDS - seconds)) s"
}

setup_venv
