# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

# shellcheck shell=bash
# The Python environment of demo.sh and test.sh: found ready, or made inside the clone.
#
# Source this file under `set -euo pipefail` and call prepare_environment. Afterwards PYTHON is
# the interpreter of .venv/<python>-<client library>, which holds all that the requirements*.txt
# list, and the shell is set up for it.
#
# Read from the shell:
#   SCENEDINO_PYTHON      interpreter to use, a name or a path; unset: the first suitable one.
#   SCENEDINO_ROS_WHEELS  kilted or jazzy: use this client library from wheels, even where ROS 2
#                         is sourced; unset: the sourced one, or kilted where none is sourced.
#
# An environment is complete when its file .ready holds the stamp of its inputs. Anything else
# (changed requirements, another interpreter, a moved clone, an interrupted installation) is
# thrown away and made anew.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
LAYOUT=1 # raise when the steps below change what they make
CANDIDATES=(python3 python3.12 python3.11 python3.10 python3.13 python3.14 /usr/bin/python3)
NEEDED_MIB=8000

# Library that Open3D loads, and the Debian or Ubuntu package that has it.
SYSTEM_LIBRARIES=(
  libusb-1.0.so.0:libusb-1.0-0
  libGL.so.1:libgl1
  libEGL.so.1:libegl1
  libgomp.so.1:libgomp1
  libX11.so.6:libx11-6
  libidn2.so.0:libidn2-0
)

say() { printf '==> %s\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# Chooses the client library: sets SOURCED (1 or 0) and FLAVOUR (such as kilted, ros-humble).
choose_client_library() {
  local wheels="${SCENEDINO_ROS_WHEELS:-}"
  case "$wheels" in
    "" | kilted | jazzy) ;;
    humble | lyrical)
      fail "there are no wheels of ROS 2 ${wheels^}: source its setup.bash with" \
        "SCENEDINO_ROS_WHEELS unset, or set SCENEDINO_ROS_WHEELS to kilted or jazzy"
      ;;
    *) fail "SCENEDINO_ROS_WHEELS must be kilted or jazzy, got '$wheels'" ;;
  esac
  if [[ -z $wheels && -n ${ROS_DISTRO:-} && ${ROS_VERSION:-2} != 1 ]]; then
    SOURCED=1 FLAVOUR="ros-$ROS_DISTRO"
  else
    SOURCED=0 FLAVOUR="${wheels:-kilted}"
    leave_sourced_ros
  fi
  unset _ROS_WHEELS_BOOTSTRAP_COMPLETE # inherited from a process of another environment
}

# Removes from this shell what would mix another ROS installation with the wheels.
leave_sourced_ros() {
  unset PYTHONPATH AMENT_PREFIX_PATH COLCON_PREFIX_PATH RMW_IMPLEMENTATION
  unset ROS_DISTRO ROS_VERSION ROS_PYTHON_VERSION ROS_PACKAGE_PATH
  local entries entry kept=""
  IFS=: read -ra entries <<<"${LD_LIBRARY_PATH:-}"
  for entry in ${entries[@]+"${entries[@]}"}; do
    [[ -z $entry || -e $entry/librcl.so || -e $entry/libroscpp.so || $entry == */ros_*.libs ]] ||
      kept+="${kept:+:}$entry"
  done
  if [[ -n $kept ]]; then export LD_LIBRARY_PATH="$kept"; else unset LD_LIBRARY_PATH; fi
}

# Prints version, path and (where ROS is sourced) place of rclpy of interpreter $1, a line each;
# prints why and fails where it cannot be used.
examine_interpreter() {
  "$1" -c '
import os, sys, sysconfig

def refuse(reason):
    print(reason)
    sys.exit(3)

version = "%d.%d" % sys.version_info[:2]
if version not in ("3.10", "3.11", "3.12", "3.13", "3.14"):
    refuse("is Python " + version)
if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
    refuse("is not the ordinary CPython")
rclpy = None
if sys.argv[1] == "1":
    try:
        import rclpy
    except Exception as error:  # the import of a broken installation may end in any of them
        refuse("cannot import the sourced rclpy (%s)" % str(error).split("\n")[0])
path = getattr(sys, "_base_executable", None) or sys.executable
for line in version, os.path.realpath(path), rclpy.__file__ if rclpy else "none":
    print(line)
' "$SOURCED" 2>/dev/null || {
    local status=$?
    [[ $status == 3 ]] || echo "does not run"
    return 1
  }
}

# Chooses the interpreter: sets BASE (path), VERSION (such as 3.11) and RCLPY.
choose_interpreter() {
  local candidate answer refused=""
  local candidates=("${CANDIDATES[@]}")
  # A sourced ROS is made for the system's interpreter, and finds its other packages there.
  [[ $SOURCED == 0 ]] || candidates=(/usr/bin/python3 "${CANDIDATES[@]}")
  [[ -z ${SCENEDINO_PYTHON:-} ]] || candidates=("$SCENEDINO_PYTHON")
  for candidate in "${candidates[@]}"; do
    if ! command -v "$candidate" >/dev/null; then
      answer="is not found"
    elif answer="$(examine_interpreter "$candidate")"; then
      { read -r VERSION && read -r BASE && read -r RCLPY; } <<<"$answer"
      return 0
    fi
    refused+="${refused:+, }$candidate $answer"
  done
  if [[ -n ${SCENEDINO_PYTHON:-} ]]; then
    fail "SCENEDINO_PYTHON must name a Python 3.10 to 3.14: $refused"
  elif [[ $SOURCED == 1 ]]; then
    fail "ROS 2 $ROS_DISTRO is sourced, but no Python from 3.10 to 3.14 can use it: $refused;" \
      "SCENEDINO_ROS_WHEELS=kilted uses a client library from wheels instead"
  elif [[ $refused != *" is Python"* && -z ${PYTHON_INSTALLED:-} ]]; then
    PYTHON_INSTALLED=1
    install_system_packages python3 python3-venv "${SYSTEM_LIBRARIES[@]#*:}"
    choose_interpreter
  else
    fail "no Python from 3.10 to 3.14 found: $refused; SCENEDINO_PYTHON names another one"
  fi
}

# Installs Debian packages where the user may; otherwise prints the line to run and ends.
install_system_packages() {
  local line="apt-get update && apt-get install -y $*" run=()
  command -v apt-get >/dev/null ||
    fail "missing system packages, by their Debian names: $*; install them and start again"
  if [[ $(id -u) != 0 ]]; then
    line="sudo apt-get update && sudo apt-get install -y $*"
    sudo -n true 2>/dev/null || fail "missing system packages; run: $line"
    run=(sudo -n)
  fi
  say "installing system packages: $*"
  run+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  local install=("${run[@]}" -y --no-install-recommends install "$@")
  # Package lists may be absent or old; lists of other people's servers may be out of reach.
  "${install[@]}" >/dev/null 2>&1 </dev/null || {
    "${run[@]}" update >/dev/null 2>&1 </dev/null || true
    "${install[@]}" >/dev/null </dev/null || fail "system packages were not installed; run: $line"
  }
}

# Tells whether environments can be made without further system packages.
can_make_environments() {
  "$BASE" -c 'import ensurepip, venv' 2>/dev/null || command -v uv >/dev/null
}

# Makes sure of the libraries that Open3D loads and of what makes environments.
check_system_packages() {
  local missing
  missing="$("$BASE" -c '
import ctypes, sys
for pair in sys.argv[1:]:
    library, package = pair.split(":")
    try:
        ctypes.CDLL(library)
    except OSError:
        print(package)
' "${SYSTEM_LIBRARIES[@]}")"
  can_make_environments || missing+=" python$VERSION-venv"
  # shellcheck disable=SC2086 # one package a word
  [[ -z $missing ]] || install_system_packages $missing
}

environment_stamp() {
  {
    echo "$LAYOUT $ENVIRONMENT $BASE $VERSION $FLAVOUR $RCLPY"
    cat "${REQUIREMENTS[@]}"
  } | sha256sum
}

is_ready() {
  [[ -x $ENVIRONMENT/bin/python && "$(cat "$ENVIRONMENT/.ready" 2>/dev/null)" == "$STAMP" ]]
}

# Makes an empty environment with pip in it, in place of whatever is there.
make_empty_environment() {
  local options=()
  [[ $SOURCED == 0 ]] || options=(--system-site-packages)
  rm -rf "$ENVIRONMENT"
  if ! "$BASE" -c 'import ensurepip, venv' 2>/dev/null; then
    uv venv --quiet --seed --python "$BASE" ${options[@]+"${options[@]}"} "$ENVIRONMENT" >&2
    return
  fi
  "$BASE" -m venv ${options[@]+"${options[@]}"} "$ENVIRONMENT" >"$ROOT/.venv/venv.log" 2>&1 || {
    tail -n 5 "$ROOT/.venv/venv.log" >&2
    return 1
  }
}

# Sets UV to a uv that runs: the user's, or one installed into the environment.
find_uv() {
  UV="$(command -v uv || true)"
  if [[ -z $UV ]]; then
    "$ENVIRONMENT/bin/python" -m pip install --quiet --disable-pip-version-check \
      "uv>=0.5,<1" >&2 || return 1
    UV="$ENVIRONMENT/bin/uv"
  fi
  "$UV" --version >/dev/null 2>&1
}

# Installs all requirements, with uv or else with pip.
install_requirements() {
  local file options=()
  for file in "${REQUIREMENTS[@]}"; do options+=(-r "$file"); done
  # Messages, cv_bridge and cv2 of a sourced ROS are built for one NumPy: 1 on all systems whose
  # interpreter does not have NumPy 2. (NumPy 1 does not exist for Python 3.13 and 3.14.)
  if [[ $SOURCED == 1 && $VERSION != 3.1[34] ]] && ! "$BASE" -c 'import sys, numpy
sys.exit(int(numpy.__version__.split(".")[0]) < 2)' 2>/dev/null; then
    options+=("numpy<2")
  fi
  # What uv says, without its list of some 250 packages.
  find_uv && "$UV" pip install --python "$ENVIRONMENT/bin/python" "${options[@]}" 2>&1 |
    sed --unbuffered '/^ [-+~] /d' >&2 && return
  say "uv did not succeed: trying pip, which takes longer"
  make_empty_environment
  PIP_USER=0 "$ENVIRONMENT/bin/python" -m pip install --disable-pip-version-check \
    --progress-bar off --quiet "${options[@]}" >&2
}

# Prints the command that calls main of module $1: read by sh, then by Python, because a path with
# blanks cannot stand in a first line. Processes that it spawns read it again: hence the guard.
command_text() {
  cat <<EOF
#!/bin/sh
'''exec' "$ENVIRONMENT/bin/python" "\$0" "\$@"
' '''
import sys
from $1 import main
if __name__ == "__main__":
    sys.exit(main())
EOF
}

# Gives file $1 the text $2, at once, because it may be in use; $3 is +x for a command.
put_text() {
  [[ "$(cat "$1" 2>/dev/null)" != "$2" ]] || return 0
  printf '%s\n' "$2" >"$1.$$"
  [[ -z ${3:-} ]] || chmod "$3" "$1.$$"
  mv -f "$1.$$" "$1"
}

# Lets the environment import this clone and gives it the commands of setup.py, in place of those
# of an earlier version of this file.
add_this_package() {
  local entry
  put_text "$ENVIRONMENT/lib/python$VERSION/site-packages/scenedino_ros.pth" "$ROOT"
  for entry in scenedino=scenedino_ros.cli.main scenedino_node=scenedino_ros.node.main; do
    put_text "$ENVIRONMENT/bin/${entry%%=*}" "$(command_text "${entry#*=}")" +x
  done
}

# Tries what the package cannot do without; prints the first failure.
check_imports() {
  "$ENVIRONMENT/bin/python" -c '
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:  # whatever it is, the environment is of no use
        sys.exit("%s does not import: %s" % (name, str(error).strip().split("\n")[-1]))
' numpy torch torchvision timm cv2 open3d rosbags.rosbag2 mcap rclpy sensor_msgs.msg
}

# Shows how big the step is before it starts.
announce_installation() {
  local free_mib
  say "making .venv/$VERSION-$FLAVOUR from the requirements: about 6 GB and a few minutes the" \
    "first time"
  free_mib="$(df -Pm "$ROOT/.venv" | awk 'NR == 2 { print $4 }')"
  ((free_mib >= NEEDED_MIB)) || say "only $free_mib MB are free on this disk: it may not suffice"
}

make_environment() {
  local start=$SECONDS problem
  announce_installation
  check_system_packages
  make_empty_environment || fail "no virtual environment could be made with $BASE"
  install_requirements || fail "the requirements could not be installed; see the lines above"
  add_this_package
  problem="$(check_imports 2>&1)" || fail "the new environment is not usable: $problem"
  echo "$STAMP" >"$ENVIRONMENT/.ready"
  say "environment made in $((SECONDS - start)) s; for its commands: source" \
    "'$ENVIRONMENT/bin/activate'"
}

# Sets this shell up for the environment.
enter_environment() {
  # shellcheck disable=SC2034 # the scripts that source this file read it
  PYTHON="$ENVIRONMENT/bin/python"
  export VIRTUAL_ENV="$ENVIRONMENT" PATH="$ENVIRONMENT/bin:$PATH" PYTHONNOUSERSITE=1
  export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}" # before any installed copy
}

prepare_environment() {
  local lock
  unset PYTHONHOME
  choose_client_library
  choose_interpreter
  ENVIRONMENT="$ROOT/.venv/$VERSION-$FLAVOUR"
  REQUIREMENTS=("$ROOT/requirements.txt" "$ROOT/requirements-test.txt")
  [[ $SOURCED == 1 ]] || REQUIREMENTS+=("$ROOT/requirements-ros-$FLAVOUR.txt")
  STAMP="$(environment_stamp)"
  if ! is_ready; then
    mkdir -p "$ROOT/.venv"
    trap 'printf "\n" >&2; say "interrupted: the next run starts the installation again"; exit 130' \
      INT TERM
    exec {lock}>"$ROOT/.venv/lock"
    flock --nonblock "$lock" || {
      say "waiting for another installation in this clone"
      flock "$lock"
    }
    is_ready || make_environment
    exec {lock}>&-
    trap - INT TERM
  fi
  add_this_package
  say "Python $VERSION ($BASE), ROS client library: $FLAVOUR"
  enter_environment
}
