#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

# Checks style, types and spelling, then runs the tests; fails if one of them does.
# Arguments go to pytest: ./test.sh -k voxels, ./test.sh test/test_camera.py --golden DIR
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/scripts/environment.sh"

failed=()

check() {
  say "$1"
  "${@:2}" || failed+=("$1")
}

# Nothing of the user's network or ROS settings may reach the processes under test.
isolate() {
  export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST MPLBACKEND=Agg
  [[ ${ROS_DISTRO:-} != humble ]] || export ROS_LOCALHOST_ONLY=1 # Humble's word for the same
  unset ROS_DISCOVERY_SERVER ROS_STATIC_PEERS ROS_NAMESPACE
  unset FASTDDS_DEFAULT_PROFILES_FILE FASTRTPS_DEFAULT_PROFILES_FILE
  # A sourced ROS and some packages bring plugins made for other versions of pytest.
  export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
  unset PYTEST_ADDOPTS PYTEST_PLUGINS
  unset HF_HUB_OFFLINE HF_ENDPOINT HF_TOKEN TRANSFORMERS_OFFLINE
  export no_proxy="127.0.0.1,localhost${no_proxy:+,$no_proxy}"
  export NO_PROXY="$no_proxy"
  ROS_LOG_DIR="$(mktemp -d)"
  export ROS_LOG_DIR
  trap 'rm -rf "$ROS_LOG_DIR"' EXIT
}

# Paths among the arguments are the caller's: they still hold after the step into the clone.
prepare_arguments() {
  local argument
  arguments=()
  for argument in "$@"; do
    [[ $PWD == "$ROOT" || $argument == -* || ! -e ${argument%%::*} ]] || argument="$PWD/$argument"
    arguments+=("$argument")
  done
}

# The whole suite runs in two processes, file by file: most tests wait for other processes, or
# compute in a single thread. In their alphabetical order, since few tests of a file may take longest.
# Where one of the processes dies, the run ends with the name of the test: xdist may wait for ever for
# the process that it starts instead. What is named is run in one process, which can be debugged.
choose_workers() {
  workers=()
  (($#)) || workers=(-p xdist -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0)
}

prepare_environment
isolate
prepare_arguments "$@"
choose_workers "$@"
cd "$ROOT"

check "ruff check" "$PYTHON" -m ruff check --quiet .
check "ruff format" "$PYTHON" -m ruff format --check --quiet .
check "mypy" "$PYTHON" -m mypy
check "codespell" "$PYTHON" -m codespell_lib
# Without a path among the arguments pytest takes the folder that pyproject.toml names.
check "pytest" "$PYTHON" -m pytest ${workers[@]+"${workers[@]}"} ${arguments[@]+"${arguments[@]}"}

if ((${#failed[@]})); then
  printf 'failed: %s\n' "$(IFS=,; echo "${failed[*]}")" >&2
  exit 1
fi
