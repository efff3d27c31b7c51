# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The policy for SROS 2 allows what the node opens, and nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

from models import lively_checkpoint  # noqa: E402
from ros_rig import NodeProcess, Rig  # noqa: E402

from scenedino_ros.checkpoints.checkpoint import save_checkpoint  # noqa: E402
from scenedino_ros.core.outputs import OUTPUTS, SERVICES  # noqa: E402
from scenedino_ros.demo.domains import reserve_domain  # noqa: E402
from scenedino_ros.node.main import main  # noqa: E402
from scenedino_ros.node.security import gap, why_not_secure  # noqa: E402

POLICY = Path(__file__).resolve().parents[1] / "config" / "sros2" / "policy.xml"
# sros2's schema of version 0.2.0: parent, children, attributes that must be there, and the others.
SCHEMA: dict[str, tuple[set[str], set[str], set[str]]] = {
    "policy": ({"enclaves"}, {"version"}, set()),
    "enclaves": ({"enclave"}, set(), set()),
    "enclave": ({"profiles"}, {"path"}, set()),
    "profiles": ({"profile"}, set(), {"type"}),
    "profile": ({"topics", "services", "actions"}, {"ns", "node"}, set()),
    "topics": ({"topic"}, set(), {"publish", "subscribe"}),
    "services": ({"service"}, set(), {"reply", "request"}),
    "topic": (set(), set(), set()),
    "service": (set(), set(), set()),
}
KINDS = {
    ("topics", "publish"): "publisher",
    ("topics", "subscribe"): "subscriber",
    ("services", "reply"): "service",
    ("services", "request"): "client",
}
# What only other releases of ROS 2 or other installations open, by its name below the node's.
OPTIONAL = {
    "get_type_description",  # from Jazzy on
    *(output.name for output in OUTPUTS if output.optional),
}
CONFIGURATIONS: tuple[dict[str, Any], ...] = (
    {},
    {
        "input.transport": "compressed",
        "grid.frame": "base",
        "grid.origin": [0.0, -1.0, -1.0],
        "grid.view_frame": "view",
        "map.frame": "odom",
        "map.size": [8.0, 8.0, 4.0],
        "map.below": 1.0,
        "use_sim_time": True,
    },
)
Opened = set[tuple[str, str, str]]  # node, kind of endpoint, full name


def allowed() -> Opened:
    """Return what the policy allows."""
    found = set()
    for profile in ElementTree.parse(POLICY).getroot().iter("profile"):
        node = profile.attrib["node"]
        for group in profile:
            for rule in group.attrib:
                for name in group:
                    text = (name.text or "").replace("~", f"/{node}", 1)
                    full = text if text.startswith("/") else f"/{text}"
                    found.add((node, KINDS[group.tag, rule], full))
    return found


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Opened]]:
    """Start a node for each configuration at once; return what each opens, by the graph."""
    folder = tmp_path_factory.mktemp("access")
    checkpoint = folder / "tiny.safetensors"
    save_checkpoint(checkpoint, replace(lively_checkpoint(), density_threshold=1.0))
    common = {"model.checkpoint": checkpoint, "model.device": "cpu", "model.engine": "torch"}
    common |= {"model.precision": "float32", "grid.shape": [8, 8, 8], "grid.voxel_size": 0.4}
    processes = [
        NodeProcess(reserve_domain(), folder / f"{number}.log", {**common, **parameters})
        for number, parameters in enumerate(CONFIGURATIONS)
    ]
    try:
        yield [graph_of(process) for process in processes]
    finally:
        for process in processes:
            process.kill()


def graph_of(process: NodeProcess) -> Opened:
    """Return what the nodes of a process have opened, once the graph no longer changes."""
    rig = Rig(process.domain)
    try:
        rig.wait_active()
        found: Opened = set()
        steady = 0
        while steady < 5:
            rig.spin_for(0.1)
            now = set(endpoints(rig))
            steady, found = (steady + 1 if now == found else 0), now
        return found
    finally:
        rig.close()


def endpoints(rig: Rig) -> Iterator[tuple[str, str, str]]:
    for node, namespace in rig.node.get_node_names_and_namespaces():
        if node != "rig":
            for kind in KINDS.values():
                listed = getattr(rig.node, f"get_{kind}_names_and_types_by_node")
                yield from ((node, kind, name) for name, _ in listed(node, namespace))


@pytest.mark.ros
def test_what_the_node_opens_is_allowed(opened: list[Opened]) -> None:
    for of_one in opened:
        assert of_one <= allowed()


@pytest.mark.ros
def test_nothing_is_allowed_that_the_node_never_opens(opened: list[Opened]) -> None:
    unused = allowed() - set().union(*opened)
    optional = {f"/scenedino/{name}" for name in OPTIONAL}
    assert {name for _, _, name in unused} <= optional


def test_the_policy_names_every_output_and_service() -> None:
    names = {(kind, name) for _, kind, name in allowed()}
    assert names >= {("publisher", output.topic()) for output in OUTPUTS}
    assert names >= {("service", f"/scenedino/{name}") for name in SERVICES}


def test_the_policy_keeps_to_the_schema() -> None:
    root = ElementTree.parse(POLICY).getroot()
    assert (root.tag, root.attrib) == ("policy", {"version": "0.2.0"})
    for element in root.iter():
        children, needed, others = SCHEMA[element.tag]
        assert {child.tag for child in element} <= children, element.tag
        assert bool(len(element)) == bool(children), element.tag
        assert needed <= set(element.attrib) <= needed | others, element.tag
        if others and "type" not in others:
            assert element.attrib
            assert set(element.attrib.values()) <= {"ALLOW", "DENY"}
        assert bool((element.text or "").strip()) == (not children), element.tag


@pytest.mark.parametrize(
    ("words", "keystore", "sentence"),
    [
        ("error creating node: This Fast DDS version doesn't have the security libraries\nPlease",
         "/keys", "has no security plugins (error creating node: This Fast DDS version"),
        ("failed to initialize rcl: error not set", "", "ROS_SECURITY_KEYSTORE must name"),
        ("failed to initialize rcl: SECURITY ERROR: '/keys/x' does not exist., at /rcl.c",
         "/keys", "'/keys/x' does not exist.): create them"),
        ("something else", "/keys", ""),
    ],
)  # fmt: skip
def test_a_sentence_says_why_security_is_impossible(
    words: str, keystore: str, sentence: str
) -> None:
    environment = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_KEYSTORE": keystore}
    found = why_not_secure(RuntimeError(words), environment)
    assert sentence in found
    assert bool(found) == bool(sentence)
    assert why_not_secure(RuntimeError(words), {"ROS_SECURITY_KEYSTORE": keystore}) == ""


@pytest.mark.parametrize(("strategy", "shown"), [("", "unset"), ("Permissive", "Permissive")])
def test_security_that_may_be_missing_is_warned_of(strategy: str, shown: str) -> None:
    environment = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": strategy}
    assert f"ROS_SECURITY_STRATEGY is {shown}: where ROS finds no keys" in gap(environment)
    assert gap(environment | {"ROS_SECURITY_STRATEGY": "Enforce"}) == ""
    assert gap({"ROS_SECURITY_STRATEGY": strategy}) == ""


@pytest.mark.ros
def test_a_node_without_keys_ends_with_the_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "true")
    monkeypatch.setenv("ROS_SECURITY_STRATEGY", "Enforce")
    monkeypatch.delenv("ROS_SECURITY_KEYSTORE", raising=False)
    assert main(["scenedino_node", "--ros-args"]) == 1
    errors = capfd.readouterr().err
    assert "ROS_SECURITY_KEYSTORE must name the folder of the keys" in errors
    assert "Traceback" not in errors
