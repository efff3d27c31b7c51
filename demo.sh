#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

# Plays a drive through the node and leaves recording, pictures and a table in one folder.
# Arguments go to the demo: ./demo.sh --help lists them.
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/scripts/environment.sh"

prepare_environment
exec "$PYTHON" -m scenedino_ros.demo "$@"
