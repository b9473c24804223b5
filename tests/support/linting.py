"""A folder of files to lint, and definitions to put into it."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from openworld.cli.app import cli

CATALOG = """
apiVersion: openworld.dev/v1alpha1
kind: ToolCatalog
metadata: {name: tools}
spec:
  tools:
  - name: look
    effect: Read
    inputSchema:
      type: object
      required: [service]
      additionalProperties: false
      properties:
        service: {type: string}
        count: {type: integer}
    run: {container: {image: example/tool:1}}
"""
POLICY = """
apiVersion: openworld.dev/v1alpha1
kind: Policy
metadata: {name: p}
spec:
  rules:
  - {name: reads, match: {tools: [look]}, decision: Allow}
"""
AGENT = """
apiVersion: openworld.dev/v1alpha1
kind: Agent
metadata: {name: oncall}
spec:
  model: {provider: scripted, script: {configMapName: script}}
  catalogs: [tools]
"""
SCRIPT = """
apiVersion: v1
kind: ConfigMap
metadata: {name: script}
data:
  turn-1.yaml: |
    tasks:
    - {ref: first, type: look, input: {service: checkout}}
    - {type: look, input: {service: "${first.output.service}"}}
  turn-2.yaml: |
    output: {cause: deploy}
"""


def workflow(*tasks: str, head: str = "", name: str = "main") -> str:
    """A Workflow whose tasks begin at line 8 when `head` is empty, one a line."""
    listed = "\n".join(f"  - {task}" for task in tasks)
    return (
        f"apiVersion: openworld.dev/v1alpha1\nkind: Workflow\nmetadata:\n  name: {name}\nspec:\n"
        f"{head}  catalogs: [tools]\n  tasks:\n{listed}\n"
    )


class Folder:
    """Files to lint, and what came of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, **files: str) -> Folder:
        for name, text in files.items():
            (self.path / f"{name}.yaml").write_text(text.lstrip("\n"))
        return self

    def lint(self, *options: str) -> Result:
        result = CliRunner().invoke(cli, ["lint", str(self.path), *options])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def findings(self, *options: str) -> list[str]:
        """The findings, without the folder's name."""
        printed = self.lint(*options).output.splitlines()[:-1]
        return [line.removeprefix(f"{self.path}/") for line in printed]
