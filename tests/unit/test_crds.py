"""The CRD manifests: generated, structural, and as strict as they must be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from openworld.api import crd
from tests.support.generate import FOLDERS

MANIFESTS = {kind.name: crd.manifest(kind) for kind in crd.KINDS}


def version(name: str) -> dict[str, Any]:
    """The one version of a kind."""
    found: dict[str, Any] = MANIFESTS[name]["spec"]["versions"][0]
    return found


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below a schema, with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


@pytest.mark.parametrize("folder", FOLDERS, ids=["crds", "chart"])
def test_the_files_are_what_the_models_say(folder: Any) -> None:
    found = {path.name: path.read_text() for path in folder.glob("*.yaml")}
    assert found == crd.files(), "run `make generate`"
    assert {name: yaml.safe_load(text) for name, text in found.items()} == {
        f"openworld.dev_{kind.plural}.yaml": MANIFESTS[kind.name] for kind in crd.KINDS
    }
    assert not any("&id" in text for text in found.values()), "no anchors"


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_schema_is_structural_and_described(name: str) -> None:
    root = version(name)["schema"]["openAPIV3Schema"]
    for path, node in nodes(root):
        assert not {"$ref", "anyOf", "allOf", "oneOf", "title", "const"} & node.keys(), path
        assert not ("additionalProperties" in node and "properties" in node), path
        assert "type" in node or node.get(crd.PRESERVE) or node.get(crd.INT_OR_STRING), path
        for field, inner in node.get("properties", {}).items():
            assert inner.get("description"), f"{path}.{field} has no description"
    yaml.safe_dump(MANIFESTS[name])


@pytest.mark.parametrize("name", ["Workflow", "ToolCatalog", "Policy", "Agent"])
def test_definitions_preserve_unknown_fields_so_that_they_can_be_refused_by_name(name: str) -> None:
    spec = version(name)["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for path, node in nodes(spec):
        if node.get("type") == "object" and "additionalProperties" not in node:
            assert node.get(crd.PRESERVE), path
        assert "default" not in node, path


def test_a_task_may_be_written_in_its_short_form() -> None:
    task = version("Workflow")["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["tasks"][
        "items"
    ]
    assert "required" not in task
    assert "enum" not in task["properties"]["type"]


def test_names_and_columns_are_what_people_type_and_see() -> None:
    names = {name: manifest["spec"]["names"] for name, manifest in MANIFESTS.items()}
    assert {name: entry["shortNames"] for name, entry in names.items()} == {
        "Workflow": ["owf"],
        "Execution": ["oex"],
        "ToolCatalog": ["otc"],
        "Policy": ["opol"],
        "Agent": ["oag"],
        "TaskResult": ["otr"],
        "Signal": ["osig"],
        "LedgerSegment": ["olseg"],
        "Limit": ["olim"],
    }
    assert all(entry["categories"] == ["openworld"] for entry in names.values())
    assert all(manifest["spec"]["scope"] == "Namespaced" for manifest in MANIFESTS.values())
    columns = [column["name"] for column in version("Execution")["additionalPrinterColumns"]]
    assert columns[:5] == ["Workflow", "Phase", "Active/Done/All", "Waiting-For", "Age"]


def test_the_record_is_written_as_a_whole_and_rules_say_why() -> None:
    root = version("Execution")["schema"]["openAPIV3Schema"]
    assert root["properties"]["status"]["x-kubernetes-map-type"] == "atomic"
    rules = [
        rule
        for name in MANIFESTS
        for _, node in nodes(version(name)["schema"]["openAPIV3Schema"])
        for rule in node.get("x-kubernetes-validations", [])
    ]
    assert all(rule["message"] for rule in rules)
    assert [rule["message"] for rule in root["x-kubernetes-validations"]] == [
        "the name of an Execution has at most 63 characters",
        "exactly one of spec.workflowRef and spec.workflow must be given",
        "the ledger cannot be shortened or removed",
        "the sealed segments of the ledger cannot become fewer",
        "spec.requestedBy cannot be changed",
        "spec.serviceAccountName cannot be changed",
        "spec.correlationId cannot be changed",
        "spec.parent cannot be changed",
        "spec.workflowRef cannot be changed",
    ]


def test_reports_and_segments_have_no_status_and_are_selected_by_execution_as_signals_are() -> None:
    subresources = {name: version(name).get("subresources") for name in MANIFESTS}
    assert {subresources.pop(name) for name in ("TaskResult", "LedgerSegment", "Limit")} == {None}
    assert all(entry == {"status": {}} for entry in subresources.values())
    selected = {name: version(name).get("selectableFields") for name in MANIFESTS}
    assert {name for name, fields in selected.items() if fields} == {"TaskResult", "Signal", "LedgerSegment"}
    assert selected["Signal"] == selected["TaskResult"] == [{"jsonPath": ".spec.execution"}]


def test_what_was_said_and_reported_cannot_be_changed() -> None:
    specs = {
        name: version(name)["schema"]["openAPIV3Schema"]["properties"]["spec"].get("x-kubernetes-validations")
        for name in MANIFESTS
    }
    assert {name: rules for name, rules in specs.items() if rules} == {
        name: [{"rule": "self == oldSelf", "message": f"a {name} cannot be changed"}]
        for name in ("TaskResult", "Signal", "LedgerSegment")
    }


def test_a_crd_stays_when_the_chart_is_removed() -> None:
    for manifest in MANIFESTS.values():
        assert manifest["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
