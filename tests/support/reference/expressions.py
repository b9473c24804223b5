"""expressions.md: what `${…}` and scripts see, and their limits. Keys and numbers come from the code."""

from __future__ import annotations

import runpy
from pathlib import Path

from openworld.controller import scripts
from openworld.engine import endings, views
from openworld.engine.tasks import do_while, set_variable
from openworld.language import canonical, evaluators, paths
from openworld.language import expressions as language
from openworld.language.checks import WORKFLOW_KEYS
from openworld.simulation import Namespace

from .markdown import GENERATED, code, codes, table

#: What each key of `${workflow.…}` is.
WORKFLOW: dict[str, str] = {
    "input": "the run's input over the workflow's `inputTemplate`",
    "output": "`{}` as long as the run goes on",
    "status": "`RUNNING`, or `PAUSED` while it is",
    "workflowId": "uid of the Execution",
    "workflowType": "name of the Workflow",
    "version": "its `spec.version`",
    "correlationId": "`spec.correlationId` of the Execution",
    "secrets": "keys of Secrets, as `secrets.NAME.KEY`, in the input of SIMPLE and HTTP: a mark",
    "env": "what the operator's administrator has set (`workflowEnv` of the chart), as it was when the run began",
    "variables": "the variables as they stand now",
    "parentWorkflowId": "uid of the Execution that waits for this one; null where none does",
    "reasonForIncompletion": "null as long as the run goes on",
}
#: What each key of `${<ref>.…}` is.
TASK: dict[str, str] = {
    "input": "the input of the attempt",
    "output": "the output; what a worker has reported so far while it runs",
    "status": "in Conductor's spelling, and `AWAITING_APPROVAL`",
    "taskType": "the type; of a SIMPLE task the tool's name, as in Conductor",
    "taskDefName": "`name`, else the ref",
    "referenceTaskName": "the ref, with its iteration in a loop",
    "iteration": "which iteration of the loop around it; of a loop, its last one; 0 outside loops",
    "retryCount": "the attempt, from 0",
    "startTime": "when it started, in milliseconds; null before",
    "endTime": "when it ended, in milliseconds; null before",
    "reasonForIncompletion": "why it did not complete; null otherwise",
    "taskId": "an id of the attempt",
}

_INTRO = f"""# Expressions and scripts

{GENERATED}

`${{path}}` may stand in every text of `inputParameters`, `items`, `outputParameters` and in `subWorkflowParam.workflowDefinition`. The path is a
JSONPath whose first name is `workflow` or a task's ref.
"""
_RULES = """- A text that is one whole expression takes the value's type. An embedded value becomes text: maps and lists as canonical JSON (keys sorted, no
  blanks), numbers and booleans as JSON writes them.
- What does not exist is null; embedded it is the text `null`. A ref or a key of `workflow` that the definition cannot have is refused by the linter and
  at the start of a run.
- `$${x}` is the literal text `${x}`.
- One pass: a value is a literal. A `${…}` in a tool's output, a Signal's payload or a run's input stays text.
- An inner expression, `${a.output.${b.output.key}}`, is resolved first, and can only fill in names, an index or a literal of a filter, never syntax. A value
  that cannot stand there makes the whole expression null.
- Blanks around a path are ignored. Keys of maps are never resolved.
- A ref means its last attempt. Tasks in a loop are named by their ref without the iteration, which is the latest one, or with it: `step__2`, in nested loops
  `step__2__1` (the outer loop's first).
- What an agent or a tool's result proposes sees `workflow.input` and no other key of `workflow`, its own items by their short refs, and tasks that have
  ended; of an agent only those that it was shown. The tasks in the input of a dynamic fork are literals: their expressions were resolved with that input.

| path | value |
|---|---|
| `${say.output.items[0].id}`, `[-1]` | one value; negative indexes count from the end |
| `${say.output['odd key']}`, `${['dotted.ref'].output.x}` | names in quotes, where they hold dots, brackets or blanks |
| `${say.output.items[*].id}`, `[0:2]`, `[0,2]`, `..id` | a list of all that match, perhaps empty |
| `${say.output.items[?(@.n > 1 && @.kind == 'a')]}` | a list; `@` is the node at hand, without `$` and without regular expressions |
"""


def page() -> str:
    """The page."""
    functions = codes(f"{name}()" for name in paths._FUNCTIONS)
    parts = [
        _INTRO,
        "## The workflow\n",
        table(("`${workflow.…}`", "value"), ((code(key), WORKFLOW.get(key, "")) for key in WORKFLOW_KEYS)),
        "## A task\n",
        table(("`${<ref>.…}`", "value"), ((code(key), TASK.get(key, "")) for key in task_keys())),
        "## Rules\n",
        f"{_RULES}| a path that ends with one of {functions} | the function of what is before it; null where it does not apply |\n",
        "## Limits of expressions\n",
        table(("limit", "value"), _limits()),
        "## Scripts\n",
        _SCRIPTS,
        table(("limit", "value"), _script_limits()),
    ]
    return "\n".join(parts)


_SCRIPTS = f"""INLINE, SWITCH and the `loopCondition` of a DO_WHILE evaluate an `expression` by `evaluatorType`; JSON_JQ_TRANSFORM runs `queryExpression` in jq.

| `evaluatorType` | the data | the value |
|---|---|---|
| `value-param` | the expression is the name of an input | that input (a `loopCondition` is JavaScript then) |
| `javascript`, `graaljs` | `$`, a plain object (QuickJS) | that of the last statement; undefined, NaN and functions are null, a Date is its ISO text |
| `jq` | `.` | the first result, null where there is none |
| `cel` | `input` | the value; timestamps and durations become text |

The data is the task's input, resolved. A `loopCondition` sees the loop's input, and beside it `$.<ref>` for the last output of each task of the body and for the loop's own
output with its last {do_while.SEEN_ITERATIONS} iterations. It holds when it is true or a number above zero.

A script runs in a process of its own, which has no environment, and cannot open files, reach the network or start processes. A script that fails, or exceeds a
limit, fails its task and nothing else; the error is the task's reason. Its value is recorded: a replay of the record runs no script.
"""


def task_keys() -> list[str]:
    """The keys of `${<ref>.…}`."""
    namespace = Namespace()
    run = namespace.start({"tasks": [{"ref": "one", "type": "NOOP"}]})
    namespace.settle()
    return list(views.task_view(run.state, run.state.tasks["one"]))


def _limits() -> list[tuple[str, str]]:
    return [
        ("length of an expression", _bytes(language.MAX_EXPRESSION_BYTES)),
        ("length of a path", _bytes(paths.MAX_PATH_BYTES)),
        ("expressions within one another", f"{language._MAX_NESTING}"),
        ("all that one value resolves to", _bytes(language.MAX_RESOLVED_BYTES)),
        ("nesting of a value that holds expressions", f"{canonical.MAX_DEPTH} levels"),
        ("nodes that a path matches", f"{paths.MAX_MATCHES}"),
        ("recursive descents (`..`) in a path", f"{paths._MAX_DESCENTS}"),
        ("commas in a path", f"{paths._MAX_COMMAS}"),
        ("the input of a task, resolved", _bytes(endings.INPUT_LIMIT_BYTES)),
        ("nesting of a task's input", f"{canonical.MAX_DEPTH - endings.HEADROOM_LEVELS} levels"),
        ("all variables of a run", _bytes(set_variable.VARIABLES_LIMIT_BYTES)),
        ("the output of a run", _bytes(endings.PAYLOAD_LIMIT_BYTES)),
    ]


def _script_limits() -> list[tuple[str, str]]:
    child = runpy.run_path(str(Path(scripts.__file__).with_name("script_child.py")))
    return [
        ("time of one evaluation", f"{scripts.SECONDS:g} s"),
        ("time of JavaScript, of the processor", f"{evaluators._JAVASCRIPT_SECONDS:g} s"),
        ("memory of JavaScript", _bytes(evaluators._JAVASCRIPT_MEMORY_BYTES)),
        ("stack of JavaScript", _bytes(evaluators._JAVASCRIPT_STACK_BYTES)),
        ("memory of the process", _bytes(child["MEMORY_BYTES"])),
        ("script and data together", _bytes(scripts.MAX_INPUT_BYTES)),
        ("value", _bytes(evaluators.MAX_OUTPUT_BYTES)),
        ("results of a jq program that are kept", f"{evaluators.MAX_RESULTS}"),
        ("length of an error that is told", f"{evaluators.MAX_ERROR_CHARS} characters"),
    ]


def _bytes(size: int) -> str:
    for unit, name in ((1024 * 1024, "MiB"), (1024, "KiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"
