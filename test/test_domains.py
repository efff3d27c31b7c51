# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""DDS domains are shared with nobody."""

import subprocess
import sys

import pytest

from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.demo import domains

RESERVE = "from scenedino_ros.demo.domains import reserve_domain; print(reserve_domain())"


def test_no_domain_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = domains.reserve_domain()
    monkeypatch.setattr(domains, "DOMAINS", [mine])
    with pytest.raises(SceneDinoError, match="all 1 DDS domains are reserved"):
        domains.reserve_domain()
    domains.held.clear()
    assert domains.reserve_domain() == mine


def test_other_processes_are_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    program = RESERVE + "; input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as other:
        theirs = int(other.stdout.readline())
        monkeypatch.setattr(domains, "DOMAINS", [theirs])
        with pytest.raises(SceneDinoError, match="reserved by other runs"):
            domains.reserve_domain()
        other.communicate("\n")
    assert domains.reserve_domain() == theirs
