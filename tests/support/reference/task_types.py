"""task-types.md: what each task type is, takes and may, from the engine's and the language's registries."""

from __future__ import annotations

import re
import sys
from typing import Any

from openworld.api import Task, TaskType
from openworld.api.meta import Json, JsonObject
from openworld.api.policy import JUDGED, PROPOSABLE
from openworld.engine import tasks
from openworld.language.task_checks import problems_of

from .markdown import GENERATED, code, codes, table

_INTRO = f"""# Task types

{GENERATED}

What each type does is told with examples in [write-a-workflow.md](../guides/write-a-workflow.md); where that differs from Conductor, in
[conductor-differences.md](conductor-differences.md); every field of a task, in [resources.md](resources.md#task).
"""
#: DYNAMIC has no module: it runs as what its input names.
_DYNAMIC = "DYNAMIC: runs as the tool, or the type, that its input names."
#: What a type reads of `inputParameters`, and what its output is. `—`: nothing of its own.
INPUT_AND_OUTPUT: dict[TaskType, tuple[str, str]] = {
    TaskType.SIMPLE: ("what the tool's `inputSchema` says", "what the worker reports"),
    TaskType.HTTP: (
        "`http_request: {uri, method, headers, body, accept, contentType, connectionTimeOut, readTimeOut}`, or these keys "
        "themselves",
        "`{response: {statusCode, reasonPhrase, headers, body}}`",
    ),
    TaskType.EVENT: (
        "the event's data; `type`, when the task has no name",
        "`{event_produced, sink}`: the CloudEvent without its data, and where it went",
    ),
    TaskType.LLM_CHAT_COMPLETE: (
        "`llmProvider`, `model`, `messages` or `userInput`; `baseURL`, `apiKey`, `instructions`, `tools`, `temperature`, "
        "`topP`, `maxTokens`, `stopWords`, `jsonOutput`; of OpenAI `frequencyPenalty`, `presencePenalty`, "
        "`reasoningEffort`, of Anthropic `topK`, `thinkingTokenLimit`",
        "`{result, finishReason, tokenUsed, promptTokens, completionTokens}`, and `toolCalls` when the model asks for tools",
    ),
    TaskType.LIST_MCP_TOOLS: ("`mcpServer`, `headers`", "`{tools: [{name, description, inputSchema}]}`"),
    TaskType.CALL_MCP_TOOL: (
        "`mcpServer`, `headers`, `method`, `arguments`",
        "`{content: [{type, text, parsed, data, mimeType, uri}], isError: false}`, and `structuredContent` where the server "
        "gives it",
    ),
    TaskType.AGENT: ("`agent`, `goal`; the rest is shown to the model", "the agent's answer"),
    TaskType.DYNAMIC: (
        "`taskToExecute`, or the name that `dynamicTaskNameParam` gives",
        "of what it runs as",
    ),
    TaskType.FORK_JOIN: ("—", "`{}`"),
    TaskType.FORK_JOIN_DYNAMIC: (
        "`dynamicTasks`, `dynamicTasksInput`, or the names that the two fields give; or `forkTaskInputs` with `forkTaskName` "
        "and `forkTaskType`, or with `forkTaskWorkflow` and `forkTaskWorkflowVersion`",
        "`{}`",
    ),
    TaskType.JOIN: ("—", "`{ref: output}` of the joined tasks that have any"),
    TaskType.EXCLUSIVE_JOIN: ("—", "the output of the task that ran"),
    TaskType.SWITCH: ("what the expression reads", "`{evaluationResult: [case], selectedCase: case}`"),
    TaskType.DO_WHILE: (
        "what the condition reads; `keepLastN`",
        '`{iteration: n, "1": {ref: output}, …}`, with `items` also `loopIndex` and `loopItem`',
    ),
    TaskType.SUB_WORKFLOW: ("the child's input", "the child's output"),
    TaskType.START_WORKFLOW: (
        "`startWorkflow: {name, version, input, correlationId}`",
        "`{workflowId}`: the uid of the execution",
    ),
    TaskType.HUMAN: ("shown to people", "the payload of the Signal"),
    TaskType.WAIT: ("`duration` or `until`", "`{}`, or the payload of the Signal"),
    TaskType.INLINE: (
        "what the script reads; `expression` and `evaluatorType` may stand here too",
        "`{result}`",
    ),
    TaskType.JSON_JQ_TRANSFORM: ("`queryExpression`, and what it reads", "`{result, resultList}`"),
    TaskType.SET_VARIABLE: ("the variables", "`{}`"),
    TaskType.TERMINATE: ("`terminationStatus`, `terminationReason`, `workflowOutput`", "`workflowOutput`"),
    TaskType.NOOP: ("—", "`{}`"),
    TaskType.COMPENSATE: (
        "`scope`: the task that is undone, with all below it; unset: all",
        "`{result, compensated, failed}`",
    ),
}


def page() -> str:
    """The page."""
    common = [name for name, owners in fields_of_types().items() if len(owners) == len(TaskType)]
    parts = [
        _INTRO,
        "## Fields\n",
        f"Every type takes {codes(common)}. A field that belongs to other types is refused.\n",
        table(("type", "what it is", "its own fields"), map(_described, TaskType)),
        "## Input and output\n",
        "Keys of `inputParameters` that a type reads, and its `output` when it has completed.\n",
        table(("type", "reads", "output"), ((code(t), *INPUT_AND_OUTPUT[t]) for t in TaskType)),
        "## Retries and governance\n",
        _GOVERNANCE,
        table(
            (
                "type",
                "retried by itself",
                "judged where rules bind",
                "proposed",
                "a DYNAMIC task may become it",
            ),
            map(_rights, TaskType),
        ),
    ]
    return "\n".join(parts)


#: The types that a docstring begins with.
_NAMES = re.compile(r"^[A-Z_]+( and [A-Z_]+)*: ")
_GOVERNANCE = """- *Retried by itself*: a failed attempt is followed by another, as the tool's or the Agent's `retry` says. No other type is; a person can
  retry or rerun any.
- *Judged where rules bind*: rules bind what is proposed, what data names, every task of an inline definition, and every task where the
  policy says `scope: All`. A tool is looked up in the catalogs, its input held against its schema, and the right to use it asked, always. A DYNAMIC
  task is judged as what it becomes.
- *Proposed*: an agent, a tool's result or a dynamic fork may propose it.
"""


def summary_of(task_type: TaskType) -> str:
    """The first line of the docstring of the module that is the type's behaviour."""
    if task_type is TaskType.DYNAMIC:
        return _DYNAMIC
    module = sys.modules[type(tasks.of(task_type)).__module__]
    return (module.__doc__ or "").strip().splitlines()[0].partition(" Source: ")[0]


def fields_of_types() -> dict[str, list[TaskType]]:
    """Which types take each field of a task, by its name on the wire."""
    schema = Task.model_json_schema(by_alias=True)["$defs"]
    found: dict[str, list[TaskType]] = {}
    for name, field in Task.model_fields.items():
        wire = field.alias or name
        if wire in ("type", "taskReferenceName"):
            found[wire] = list(TaskType)
            continue
        sample = _sample(schema["Task"]["properties"][wire], schema)
        found[wire] = [task_type for task_type in TaskType if _takes(task_type, wire, sample)]
    return found


def _takes(task_type: TaskType, field: str, sample: Json) -> bool:
    task = Task.model_validate({"ref": "one", "type": task_type.value, field: sample})
    return not any(where == (field,) and "does not belong" in problem for where, problem in problems_of(task))


def _sample(node: JsonObject, defs: JsonObject) -> Json:
    """A value that the field takes and that is not its default."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name == "Task":
            return {"ref": "inner"}
        values = defs[name].get("enum")
        if values:
            return next(value for value in values if value != node.get("default"))
        properties = defs[name]["properties"]
        return {field: _sample(properties[field], defs) for field in defs[name].get("required", ())}
    if "anyOf" in node:
        return _sample(node["anyOf"][0], defs)
    samples: dict[Any, Json] = {
        "string": "other",
        "integer": 7,
        "boolean": True,
    }
    if node.get("type") == "array":
        return [_sample(node["items"], defs)]
    if node.get("type") == "object":
        values = node.get("additionalProperties")
        return {"one": _sample(values, defs) if isinstance(values, dict) else 1}
    return samples[node.get("type")]


def _described(task_type: TaskType) -> tuple[str, str, str]:
    own = [
        name
        for name, owners in fields_of_types().items()
        if task_type in owners and len(owners) < len(TaskType)
    ]
    summary = _NAMES.sub("", summary_of(task_type))
    return code(task_type), summary[0].upper() + summary[1:], codes(own)


def _rights(task_type: TaskType) -> tuple[str, str, str, str, str]:
    is_retried = task_type in fields_of_types()["retryCount"]
    is_tool = task_type is TaskType.SIMPLE
    return (
        code(task_type),
        _yes(is_retried),
        "yes" if is_tool or task_type in JUDGED else "when proposed" if task_type in PROPOSABLE else "",
        _yes(is_tool or task_type in PROPOSABLE),
        _yes(is_tool or task_type in tasks.NAMEABLE),
    )


def _yes(value: bool) -> str:
    return "yes" if value else ""
