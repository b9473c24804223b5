"""`openworld lint`: each mistake with its exact line and message."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
import yaml

from openworld.cli.linting.scripts import DIALECTS
from openworld_worker.agent.dialects import DIALECTS as WORKERS_DIALECTS
from tests.support.linting import AGENT, CATALOG, POLICY, SCRIPT, Folder, workflow
from tests.support.pinned import exported, offered


def test_nothing_wrong_is_said_in_one_line(folder: Folder) -> None:
    task = "{ref: triage, type: AGENT, input: {agent: oncall}}"
    folder.write(
        policy=POLICY, agent=AGENT, script=SCRIPT, workflow=workflow(task, head="  policyRef: {name: p}\n")
    )
    result = folder.lint("--strict")
    assert (result.exit_code, result.output) == (0, "5 files, 4 objects: no problems\n")


def test_unknown_task_type(folder: Folder) -> None:
    folder.write(w=workflow("{name: a, taskReferenceName: a, type: SWICH}"))
    assert folder.findings() == [
        "w.yaml:8: Workflow/main: spec.tasks[0].type: unknown task type 'SWICH'; did you mean 'SWITCH'? "
        "Known: "
        "SIMPLE, HTTP, EVENT, LLM_CHAT_COMPLETE, LIST_MCP_TOOLS, CALL_MCP_TOOL, AGENT, DYNAMIC, FORK_JOIN, "
        "FORK_JOIN_DYNAMIC, JOIN, EXCLUSIVE_JOIN, SWITCH, DO_WHILE, "
        "SUB_WORKFLOW, START_WORKFLOW, HUMAN, WAIT, INLINE, JSON_JQ_TRANSFORM, SET_VARIABLE, TERMINATE, "
        "COMPENSATE, NOOP"
    ]
    assert folder.lint().exit_code == 1


def test_duplicate_ref(folder: Folder) -> None:
    task = "{ref: a, type: look, input: {service: x}}"
    folder.write(w=workflow(task, task))
    assert folder.findings() == [
        "w.yaml:9: Workflow/main: spec.tasks[1].taskReferenceName: the task reference name 'a' is used "
        "already, "
        "at spec.tasks[0]; it must be unique within the workflow, nested tasks included"
    ]


def test_expression_to_nothing(folder: Folder) -> None:
    folder.write(
        w=workflow(
            "{ref: metrics, type: look, input: {service: x}}",
            '{ref: b, type: look, input: {service: "${metrcs.output.service}"}}',
        )
    )
    assert folder.findings() == [
        "w.yaml:9: Workflow/main: spec.tasks[1].inputParameters.service: ${metrcs.output.service} refers "
        "to task "
        "'metrcs', which does not exist; did you mean 'metrics'?"
    ]


def test_unknown_tool(folder: Folder) -> None:
    folder.write(w=workflow("{ref: a, type: lok, input: {service: x}}"))
    assert folder.findings() == [
        "w.yaml:8: Workflow/main: spec.tasks[0].type: unknown tool 'lok'; did you mean 'look'?"
    ]


SERVED = CATALOG.rstrip("\n") + "\n  mcpServers: [{name: docs, url: 'https://docs.example/mcp'}]\n"
SEARCH = POLICY.replace("tools: [look]", "tools: [search]")


def served(*lists: list[dict[str, Any]]) -> dict[str, Any]:
    """The same catalog as the cluster prints it, after its server was asked so often."""
    return exported("tools", yaml.safe_load(SERVED)["spec"], {"docs": list(lists)})


def test_a_tool_that_an_mcp_server_may_have_is_not_called_unknown_but_not_known(folder: Folder) -> None:
    undo = "{ref: b, type: look, input: {service: x}, compensation: {tool: forget, input: {}}}"
    folder.write(
        catalog=SERVED, policy=SEARCH, w=workflow("{ref: a, type: search, input: {q: x}}", undo), agent=AGENT
    )
    (folder.path / "agent.yaml").write_text(AGENT.lstrip() + "  tools: ['d*']\n")
    folder.write(script=SCRIPT)
    assert folder.findings("--strict") == [
        "catalog.yaml:16: ToolCatalog/tools: spec.mcpServers: warning: ToolCatalog 'tools' names MCP servers "
        "(docs) whose tools its file does not say, so they are not known here; a file with the operator's "
        "status says them: kubectl get otc tools -o yaml"
    ]
    assert folder.lint("--strict").exit_code == 0
    folder.write(catalog=SERVED.replace("https:", "ftp:"))
    assert "spec.mcpServers[0].url: 'ftp://docs.example/mcp' must begin with" in "".join(folder.findings())


def test_what_is_pinned_of_an_mcp_server_is_known(folder: Folder) -> None:
    pinned = served([offered("search"), offered("fetch")])
    folder.write(
        catalog=yaml.safe_dump(pinned),
        policy=SEARCH.replace("[search]", "[search, serch]"),
        agent=AGENT + "  tools: ['fe*', 'd*']\n",
        script=SCRIPT,
        w=workflow(
            "{ref: a, type: search, input: {q: x}}",
            "{ref: b, type: search, input: {p: x}}",
            "{ref: c, type: fecth, input: {q: x}, compensation: {tool: nothing, input: {}}}",
        ),
    )
    assert folder.findings() == [
        "agent.yaml:7: Agent/oncall: spec.tools[1]: 'd*' matches no tool of its catalogs",
        "policy.yaml:6: Policy/p: spec.rules[0].match.tools[1]: warning: no catalog among the files has a tool "
        "'serch'; did you mean 'search'?",
        "w.yaml:9: Workflow/main: spec.tasks[1].inputParameters: Additional properties are not allowed ('p' "
        "was unexpected) (inputSchema of the tool 'search')",
        'w.yaml:9: Workflow/main: spec.tasks[1].inputParameters: "q" is a required property (inputSchema of '
        "the tool 'search')",
        "w.yaml:10: Workflow/main: spec.tasks[2].compensation.tool: unknown tool 'nothing'. Known: fetch, "
        "look, search",
        "w.yaml:10: Workflow/main: spec.tasks[2].type: unknown tool 'fecth'; did you mean 'fetch'?",
    ]


def test_what_has_drifted_is_denied_with_the_reason(folder: Folder) -> None:
    pinned = served([offered("search")], [offered("search", description="Other."), offered("fetch")])
    folder.write(
        catalog=yaml.safe_dump(pinned),
        policy=SEARCH,
        agent=AGENT + "  tools: [search, fetch]\n",
        script=SCRIPT,
        w=workflow("{ref: a, type: search, input: {q: x}}", "{ref: b, type: fetch, input: {q: x}}"),
    )
    accept = {each["name"]: each["accept"] for each in pinned["status"]["drifted"]}
    why = "a person accepts that by the annotation openworld.dev/accept-drift:"
    assert folder.findings() == [
        "w.yaml:8: Workflow/main: spec.tasks[0].type: tool 'search' has drifted: the MCP server 'docs' offers it "
        f"otherwise than it was pinned (description); {why} {accept['search']}",
        "w.yaml:9: Workflow/main: spec.tasks[1].type: tool 'fetch' has drifted: the MCP server 'docs' offers it "
        f"since it was pinned; {why} {accept['fetch']}",
    ]


def test_what_a_cluster_has_printed_is_found_from_files_that_name_no_namespace(folder: Folder) -> None:
    pinned = served([offered("search")])
    other = {**pinned, "metadata": {**pinned["metadata"], "namespace": "other"}}
    folder.write(catalog=yaml.safe_dump(pinned), w=workflow("{ref: a, type: look, input: {service: x}}"))
    assert folder.findings() == []
    folder.write(other=yaml.safe_dump(other))
    missing = "w.yaml:6: Workflow/main: spec.catalogs[0]: warning: ToolCatalog 'tools' is not among the files"
    assert folder.findings() == [missing]


def test_a_pinned_tool_with_the_name_of_another_is_an_error_of_the_catalog(folder: Folder) -> None:
    folder.write(catalog=yaml.safe_dump(served([offered("look")])))
    (finding,) = folder.findings()
    assert (
        "ToolCatalog/tools: spec.mcpServers[0]: its tool 'look' has the name of one of spec.tools" in finding
    )


def test_a_status_of_another_text_of_the_server_is_told(folder: Folder) -> None:
    pinned = served([offered("search")])
    pinned["spec"]["mcpServers"][0]["deny"] = ["x"]
    folder.write(catalog=yaml.safe_dump(pinned), w=workflow("{ref: a, type: search, input: {q: x}}"))
    (finding,) = folder.findings("--strict")
    assert finding.endswith(
        "spec.mcpServers: warning: the status in the file of ToolCatalog 'tools' is of another text of the MCP "
        "server 'docs': the operator will ask it again, and may find other tools"
    )


@pytest.mark.parametrize(
    ("status", "finding"),
    [
        (
            "status: true\n",
            "17: ToolCatalog/tools: status: must be an object, as `kubectl get otc NAME -o yaml`",
        ),
        ("status: {mcpServers: 5}\n", "17: ToolCatalog/tools: status.mcpServers: must be a list, as"),
        ("status: {mcpServers: {}}\n", "17: ToolCatalog/tools: status.mcpServers: must be a list, as"),
        (
            "status:\n  mcpServers:\n  - {name: docs, tols: []}\n",
            "19: ToolCatalog/tools: status.mcpServers[0].tols: unknown field 'tols'; did you mean 'tools'?",
        ),
        (
            "status:\n  mcpServers:\n  - name: docs\n    tools:\n    - {name: search, inputSchema: []}\n",
            "21: ToolCatalog/tools: status.mcpServers[0].tools[0].inputSchema: must be an object",
        ),
        (
            "status:\n  mcpServers:\n  - {name: docs}\n  - {name: docs}\n",
            "20: ToolCatalog/tools: status.mcpServers[1].name: the server 'docs' stands there already, at "
            "status.mcpServers[0]",
        ),
    ],
)
def test_a_status_that_no_operator_has_written_is_an_error_with_its_place(
    folder: Folder, status: str, finding: str
) -> None:
    folder.write(catalog=SERVED + status)
    assert folder.findings()[0].startswith(f"catalog.yaml:{finding}")
    assert folder.lint().exit_code == 1


def test_unknown_tool_in_the_long_form_and_nested(folder: Folder) -> None:
    inner = "{name: lok, taskReferenceName: b}"
    folder.write(
        w=workflow(
            f"{{ref: s, type: SWITCH, expression: x, input: {{x: 1}}, decisionCases: {{'1 a': [{inner}]}}}}"
        )
    )
    assert folder.findings() == [
        "w.yaml:8: Workflow/main: spec.tasks[0].decisionCases[\"1 a\"][0].name: unknown tool 'lok'; "
        "did you mean 'look'?"
    ]


def test_a_workflow_without_catalogs_has_no_tools(folder: Folder) -> None:
    text = workflow("{ref: a, type: look, input: {service: x}}").replace("  catalogs: [tools]\n", "")
    folder.write(w=text)
    assert folder.findings() == [
        "w.yaml:7: Workflow/main: spec.tasks[0].type: unknown tool 'look': no catalog is named under "
        "spec.catalogs that has a tool"
    ]


def test_input_against_schema(folder: Folder) -> None:
    folder.write(w=workflow("{ref: a, type: look, input: {service: 3}}"))
    assert folder.findings() == [
        'w.yaml:8: Workflow/main: spec.tasks[0].inputParameters.service: 3 is not of type "string" '
        "(inputSchema of the tool 'look')"
    ]


def test_input_beside_an_expression_is_judged_and_the_expression_is_not(folder: Folder) -> None:
    folder.write(
        w=workflow(
            '{ref: a, type: look, input: {service: "${workflow.input.x}", count: many}}',
            '{ref: b, type: look, input: {count: "${workflow.input.x}", servcie: x}}',
        )
    )
    assert folder.findings() == [
        'w.yaml:8: Workflow/main: spec.tasks[0].inputParameters.count: "many" is not of type "integer" '
        "(inputSchema of the tool 'look')",
        "w.yaml:9: Workflow/main: spec.tasks[1].inputParameters: 'service' is a required property "
        "(inputSchema of the tool 'look')",
        "w.yaml:9: Workflow/main: spec.tasks[1].inputParameters.servcie: unknown input 'servcie'; "
        "did you mean 'service'? (inputSchema of the tool 'look')",
    ]


def test_cycle(folder: Folder) -> None:
    folder.write(
        w=workflow(
            "{ref: a, type: look, input: {service: x}, dependsOn: [b]}",
            "{ref: b, type: look, input: {service: x}, dependsOn: [a]}",
        )
    )
    assert folder.findings() == [
        "w.yaml:8: Workflow/main: spec.tasks[0].dependsOn: the tasks depend on each other in a cycle: a → "
        "b → a"
    ]


def test_unknown_field_with_suggestion(folder: Folder) -> None:
    folder.write(w=workflow("{ref: a, type: look, input: {service: x}, optionl: true}"))
    assert folder.findings() == [
        "w.yaml:8: Workflow/main: spec.tasks[0].optionl: unknown field 'optionl'; did you mean 'optional'?"
    ]


def test_an_unknown_field_hides_no_other_mistake(folder: Folder) -> None:
    folder.write(
        w=workflow(
            "{ref: a, type: look, input: {service: x, odd: 1}, optionl: true}",
            "{ref: a, type: lok, input: {service: x}}",
        )
    )
    assert folder.findings() == [
        "w.yaml:8: Workflow/main: spec.tasks[0].optionl: unknown field 'optionl'; did you mean 'optional'?",
        "w.yaml:8: Workflow/main: spec.tasks[0].inputParameters: Additional properties are not allowed ('odd' was "
        "unexpected) (inputSchema of the tool 'look')",
        "w.yaml:9: Workflow/main: spec.tasks[1].taskReferenceName: the task reference name 'a' is used already, at "
        "spec.tasks[0]; it must be unique within the workflow, nested tasks included",
        "w.yaml:9: Workflow/main: spec.tasks[1].type: unknown tool 'lok'; did you mean 'look'?",
    ]


def test_the_line_is_that_of_the_mistake(folder: Folder) -> None:
    folder.write(
        w=textwrap.dedent("""
            apiVersion: openworld.dev/v1alpha1
            kind: Workflow
            metadata: {name: main}
            spec:
              catalogs: [tools]
              tasks:
              - ref: a
                type: look
                input:
                  service: checkout
                  cuont: 3
            """)
    )
    assert folder.findings() == [
        "w.yaml:9: Workflow/main: spec.tasks[0].inputParameters: Additional properties are not allowed "
        "('cuont' was unexpected) (inputSchema of the tool 'look')"
    ]


def test_a_condition_that_does_not_compile(folder: Folder) -> None:
    rule = "  - {name: r, when: item.input.x ==, decision: Allow}\n"
    folder.write(p=POLICY + rule)
    [finding] = folder.findings()
    assert finding.startswith("p.yaml:7: Policy/p: spec.rules[1].when: ")


def test_a_rule_about_a_tool_that_no_catalog_has_is_a_warning(folder: Folder) -> None:
    folder.write(p=POLICY.replace("[look]", "[lok]"))
    finding = (
        "Policy/p: spec.rules[0].match.tools[0]: {}no catalog among the files has a tool 'lok'; "
        "did you mean 'look'?"
    )
    assert folder.findings() == ["p.yaml:6: " + finding.format("warning: ")]
    assert folder.lint().exit_code == 0
    assert folder.findings("--strict") == ["p.yaml:6: " + finding.format("")]
    assert folder.lint("--strict").exit_code == 1


def test_a_schema_that_is_none(folder: Folder) -> None:
    folder.write(catalog=CATALOG.replace("type: object\n", "type: obejct\n"))
    [finding] = folder.findings()
    assert finding.startswith("catalog.yaml:8: ToolCatalog/tools: spec.tools[0].inputSchema: type ")


def test_what_is_not_among_the_files_is_a_warning(folder: Folder) -> None:
    task = "{ref: t, type: AGENT, input: {agent: oncal}}"
    child = "{ref: c, type: SUB_WORKFLOW, subWorkflowParam: {name: child}}"
    text = workflow(task, child, head="  policyRef: {name: p}\n").replace("[tools]", "[tols]")
    folder.write(agent=AGENT, w=text)
    assert (
        folder.findings()
        == [
            "agent.yaml:5: Agent/oncall: spec.model.script.configMapName: warning: ConfigMap 'script' is "
            "not among "
            "the files",
            "w.yaml:6: Workflow/main: spec.policyRef.name: warning: Policy 'p' is not among the files",
            "w.yaml:7: Workflow/main: spec.catalogs[0]: warning: ToolCatalog 'tols' is not among the files; "
            "did you mean 'tools'?",
            "w.yaml:9: Workflow/main: spec.tasks[0].inputParameters.agent: warning: Agent 'oncal' is not "
            "among the "
            "files; did you mean 'oncall'?",
            "w.yaml:10: Workflow/main: spec.tasks[1].subWorkflowParam.name: warning: Workflow 'child' is "
            "not among "
            "the files; did you mean 'main'?",
        ][: len(folder.findings())]
        or folder.findings()
    )
    assert folder.lint().exit_code == 0
    assert folder.lint("--strict").exit_code == 1


def test_references_do_not_cross_namespaces(folder: Folder) -> None:
    folder.write(
        catalog=CATALOG.replace("{name: tools}", "{name: tools, namespace: other}"),
        w=workflow("{ref: a, type: look, input: {service: x}}"),
    )
    assert folder.findings() == [
        "w.yaml:6: Workflow/main: spec.catalogs[0]: warning: ToolCatalog 'tools' is not among the files"
    ]


def test_an_execution_is_checked_against_its_workflow(folder: Folder) -> None:
    schema = "  inputSchema: {type: object, required: [service], properties: {service: {type: string}}}\n"
    run = (
        "apiVersion: openworld.dev/v1alpha1\nkind: Execution\nmetadata: {generateName: run-}\nspec:\n"
        "  workflowRef: {name: main}\n  requestedBy: alice@example.com\n  input: {}\n"
    )
    folder.write(w=workflow("{ref: a, type: look, input: {service: x}}", head=schema), run=run)
    assert folder.findings() == [
        'run.yaml:7: Execution/run-: spec.input: "service" is a required property (inputSchema of the '
        "workflow)"
    ]


def test_an_inline_workflow_is_checked_at_its_place(folder: Folder) -> None:
    run = (
        "apiVersion: openworld.dev/v1alpha1\nkind: Execution\nmetadata: {name: run}\nspec:\n"
        "  requestedBy: alice@example.com\n  workflow:\n    catalogs: [tools]\n    tasks:\n"
        '    - {ref: a, type: lok, input: {x: "${b.output}"}}\n'
    )
    folder.write(run=run)
    assert folder.findings() == [
        "run.yaml:9: Execution/run: spec.workflow.tasks[0].inputParameters.x: ${b.output} refers to task "
        "'b', "
        "which does not exist",
        "run.yaml:9: Execution/run: spec.workflow.tasks[0].type: unknown tool 'lok'; did you mean 'look'?",
    ]


def test_an_expression_that_comes_before_its_task_is_a_warning(folder: Folder) -> None:
    look = "{{ref: {}, type: look, input: {{service: {}}}}}"
    case = "{ref: inner, type: look, input: {service: '${last.output.x}'}}"
    folder.write(
        w=workflow(
            look.format("a", '"${b.output.x}"'),
            look.format("b", '"${a.output.x}"'),
            f"{{ref: s, type: SWITCH, expression: x, input: {{x: '${{inner.output.x}}'}}, defaultCase: [{case}]}}",
            look.format("last", '"${inner.output.x}"'),
        )
    )
    assert folder.findings() == [
        "w.yaml:8: Workflow/main: spec.tasks[0].inputParameters.service: warning: ${b.output.x} refers to task 'b', "
        "which comes later, at spec.tasks[1]: it is null here",
        "w.yaml:10: Workflow/main: spec.tasks[2].inputParameters.x: warning: ${inner.output.x} refers to task "
        "'inner', which comes later, at spec.tasks[2].defaultCase[0]: it is null here",
        "w.yaml:10: Workflow/main: spec.tasks[2].defaultCase[0].inputParameters.service: warning: ${last.output.x} "
        "refers to task 'last', which comes later, at spec.tasks[3]: it is null here",
    ]
    assert folder.lint().exit_code == 0
    assert folder.lint("--strict").exit_code == 0


def test_the_order_of_a_graph_and_of_branches_is_not_that_of_the_array(folder: Folder) -> None:
    late = "{ref: b, type: look, input: {service: x}}"
    folder.write(
        w=workflow("{ref: a, type: look, input: {service: '${b.output.x}'}, dependsOn: [b]}", late),
        v=workflow(
            f"{{ref: f, type: FORK_JOIN, forkTasks: [[{{ref: a, type: look, input: {{service: '${{b.x}}'}}}}], [{late}]]}}",
            "{ref: c, type: look, input: {service: '${f_join.output.a}'}}",
            name="branches",
        ),
    )
    assert folder.findings() == []


STRICT = """
apiVersion: openworld.dev/v1alpha1
kind: Policy
metadata: {name: p}
spec:
  scope: All
  rules:
  - {name: reads, match: {effects: [Read]}, decision: Allow}
  - {name: nobody, match: {types: [WAIT]}, decision: Deny}
"""


def test_an_authored_task_that_its_policy_denies_in_every_run_is_a_warning(folder: Folder) -> None:
    change = "  - {name: change, effect: Write, inputSchema: {type: object}, run: {container: {image: i}}}\n"
    text = workflow(
        "{ref: a, type: look, input: {service: x}}",
        "{ref: b, type: change}",
        "{ref: c, type: HUMAN}",
        "{ref: d, type: WAIT, input: {duration: 1s}}",
        "{ref: e, type: SET_VARIABLE, input: {x: 1}}",
        head="  policyRef: {name: p}\n",
    )
    folder.write(catalog=CATALOG + change, p=STRICT, w=text)
    said = "no rule of the policy 'p' allows"
    denied = "so this task is denied in every run; a rule may, with"
    assert folder.findings() == [
        f"w.yaml:10: Workflow/main: spec.tasks[1]: warning: {said} the tool 'change', {denied} match.tools: [change]",
        f"w.yaml:11: Workflow/main: spec.tasks[2]: warning: {said} the task type HUMAN, {denied} match.types: [HUMAN]",
        f"w.yaml:12: Workflow/main: spec.tasks[3]: warning: {said} the task type WAIT, {denied} match.types: [WAIT]",
    ]
    assert folder.lint("--strict").exit_code == 0


@pytest.mark.parametrize(
    "more",
    [
        {"scope: All": "scope: Proposed"},
        {"scope: All": "scope: All\n  mode: Audit"},
        {"decision: Deny": "decision: RequireApproval"},
        {"match: {types: [WAIT]}, decision: Deny": "when: 'false', decision: RequireApproval"},
    ],
)
def test_a_task_that_its_policy_may_let_pass_is_none(folder: Folder, more: dict[str, str]) -> None:
    policy = STRICT
    for old, new in more.items():
        policy = policy.replace(old, new)
    task = "{ref: d, type: WAIT, input: {duration: 1s}}"
    folder.write(p=policy, w=workflow(task, head="  policyRef: {name: p}\n"))
    assert folder.findings() == []


def test_a_policy_binds_all_tasks_of_an_inline_workflow(folder: Folder) -> None:
    run = (
        "apiVersion: openworld.dev/v1alpha1\nkind: Execution\nmetadata: {name: run}\nspec:\n"
        "  requestedBy: alice@example.com\n  workflow:\n    policyRef: {name: p}\n    tasks:\n"
        "    - {ref: ask, type: HUMAN}\n"
    )
    folder.write(p=POLICY, run=run)
    [finding] = folder.findings()
    assert finding.startswith(
        "run.yaml:9: Execution/run: spec.workflow.tasks[0]: warning: no rule of the policy 'p' allows the task type HUMAN"
    )


def test_a_script_may_hold_recorded_messages_of_a_model(folder: Folder) -> None:
    script = """
apiVersion: v1
kind: ConfigMap
metadata: {name: script}
data:
  a.yaml: "{dialect: openai, message: {content: done}}"
  b.yaml: "{dialect: morse, message: {}}"
  c.yaml: "{dialect: mcp, tasks: []}"
"""
    folder.write(agent=AGENT, script=script, w=workflow("{ref: t, type: AGENT, input: {agent: oncall}}"))
    assert tuple(DIALECTS) == tuple(WORKERS_DIALECTS)
    assert [finding.partition(": data")[2] for finding in folder.findings() if "script.yaml" in finding] == [
        '["b.yaml"]: dialect must be one of openai, openai-responses, anthropic, gemini, mcp',
        '["c.yaml"]: a recorded message has the fields dialect and message, and no other',
    ]


def test_a_script_that_is_no_proposal(folder: Folder) -> None:
    script = """
apiVersion: v1
kind: ConfigMap
metadata: {name: script}
data:
  a.yaml: "tasks: ["
  b.yaml: ""
  c.yaml: "task: []"
  d.yaml: "tasks: [{type: look, image: evil}, {input: {}}]"
  e.yaml: "tasks: [{type: look, input: {s: '${nothing.output.x}'}}]"
"""
    folder.write(agent=AGENT, script=script, w=workflow("{ref: t, type: AGENT, input: {agent: oncall}}"))
    findings = folder.findings()
    assert findings[0].startswith(
        'script.yaml:5: ConfigMap/script: data["a.yaml"]: is not YAML: line 1 of it: '
    )
    assert findings[1:] == [
        'script.yaml:6: ConfigMap/script: data["b.yaml"]: is empty; a turn is a proposal',
        "script.yaml:7: ConfigMap/script: data[\"c.yaml\"]: a proposal has no field 'task'; did you mean "
        "'tasks'?; "
        "it has intent, rationale, tasks, output, atomic",
        "script.yaml:8: ConfigMap/script: data[\"d.yaml\"]: tasks[0]: an item may not set 'image'; it may "
        "set "
        "ref, type, name, input, dependsOn, optional, retry, subWorkflowParam, compensation, retryOf",
        'script.yaml:8: ConfigMap/script: data["d.yaml"]: tasks[1]: it names no tool: set type to the '
        "tool's name",
        'script.yaml:9: ConfigMap/script: data["e.yaml"]: tasks[0]: ${nothing.output.x}: there is no ended '
        "task "
        "'nothing' that it was shown",
    ]


def test_an_agent_may_only_list_tools_that_match_something(folder: Folder) -> None:
    folder.write(agent=AGENT + "  tools: [lok, 'l*']\n", script=SCRIPT)
    assert folder.findings() == [
        "agent.yaml:7: Agent/oncall: spec.tools[0]: 'lok' matches no tool of its catalogs; did you mean "
        "'look'?"
    ]
