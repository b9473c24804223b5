"""The Workflow resource: a definition in Conductor's task language.

Source of the field names and their meaning: Conductor OSS 3.32 workflow definitions. The model
says only what a definition looks like; whether it makes sense is `openworld.language.checks`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from .meta import (
    Condition,
    DnsName,
    JsonObject,
    NamedReference,
    Seconds,
    SomeSeconds,
    Strict,
    TaskRef,
    ToolName,
    WorkflowName,
)


class TaskType(StrEnum):
    """The task types of the language. Values are Conductor's names."""

    SIMPLE = "SIMPLE"
    HTTP = "HTTP"
    EVENT = "EVENT"
    LLM_CHAT_COMPLETE = "LLM_CHAT_COMPLETE"
    LIST_MCP_TOOLS = "LIST_MCP_TOOLS"
    CALL_MCP_TOOL = "CALL_MCP_TOOL"
    AGENT = "AGENT"
    DYNAMIC = "DYNAMIC"
    FORK_JOIN = "FORK_JOIN"
    FORK_JOIN_DYNAMIC = "FORK_JOIN_DYNAMIC"
    JOIN = "JOIN"
    EXCLUSIVE_JOIN = "EXCLUSIVE_JOIN"
    SWITCH = "SWITCH"
    DO_WHILE = "DO_WHILE"
    SUB_WORKFLOW = "SUB_WORKFLOW"
    START_WORKFLOW = "START_WORKFLOW"
    HUMAN = "HUMAN"
    WAIT = "WAIT"
    INLINE = "INLINE"
    JSON_JQ_TRANSFORM = "JSON_JQ_TRANSFORM"
    SET_VARIABLE = "SET_VARIABLE"
    TERMINATE = "TERMINATE"
    COMPENSATE = "COMPENSATE"
    NOOP = "NOOP"


class EvaluatorType(StrEnum):
    """How an expression of SWITCH or INLINE is evaluated."""

    VALUE_PARAM = "value-param"
    JAVASCRIPT = "javascript"
    GRAALJS = "graaljs"
    JQ = "jq"
    CEL = "cel"


class RetryLogic(StrEnum):
    """How the delay before a retry grows with the attempt."""

    FIXED = "FIXED"
    LINEAR_BACKOFF = "LINEAR_BACKOFF"
    EXPONENTIAL_BACKOFF = "EXPONENTIAL_BACKOFF"


class TimeoutPolicy(StrEnum):
    """What a timeout leads to."""

    RETRY = "RETRY"
    TIME_OUT_WF = "TIME_OUT_WF"
    ALERT_ONLY = "ALERT_ONLY"


class Retry(Strict):
    """When a failed attempt is followed by another. Unset fields take Conductor's defaults."""

    count: int = Field(default=3, ge=0, le=100, description="Attempts after the first.")
    logic: RetryLogic = Field(default=RetryLogic.FIXED, description="How the delay grows.")
    delay_seconds: Seconds = Field(default=60, description="Delay before the first retry, in seconds.")
    max_delay_seconds: Seconds = Field(
        default=0, description="Upper bound of the delay, in seconds; 0 means no bound."
    )
    backoff_scale_factor: int = Field(default=1, ge=1, le=100, description="Factor of LINEAR_BACKOFF.")
    jitter: bool = Field(
        default=False, description="Wait a part of the delay, at random, of at least half of it."
    )


class Timeouts(Strict):
    """How long an attempt may take, in seconds. 0 means no limit of that kind."""

    timeout_seconds: Seconds = Field(default=0, description="From the container's start to the end.")
    response_timeout_seconds: Seconds = Field(
        default=0, description="Longest silence: since the start, or the last report of progress."
    )
    poll_timeout_seconds: Seconds = Field(
        default=0, description="Until the container starts: pod not scheduled, image not there."
    )
    total_timeout_seconds: Seconds = Field(default=0, description="All attempts together.")
    timeout_policy: TimeoutPolicy = Field(
        default=TimeoutPolicy.RETRY,
        description="RETRY: another attempt; TIME_OUT_WF: the run is TimedOut; ALERT_ONLY: it goes on.",
    )


class TaskDefinition(Strict):
    """What a single task overrides of its tool's settings. Unset fields leave the tool's."""

    retry: Retry | None = Field(default=None, description="Retries.")
    timeouts: Timeouts | None = Field(default=None, description="Timeouts.")


class Compensation(Strict):
    """The tool that undoes what a task has done."""

    tool: ToolName = Field(description="Name of a tool of the same catalogs.")
    input: JsonObject = Field(
        default_factory=dict,
        description="Its input; may hold ${input…} and ${output…} of the task that is undone, and "
        "${workflow.input…}.",
    )


class CompensationPolicy(StrEnum):
    """Whether a run that did not complete is undone."""

    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class SubWorkflowParam(Strict):
    """What a SUB_WORKFLOW task starts."""

    name: WorkflowName = Field(default="", description="Name of the Workflow; of an inline one, for people.")
    version: int | None = Field(default=None, ge=1, description="Exactly this version; unset: the latest.")
    workflow_definition: Any = Field(
        default=None,
        description="An inline definition, or an expression that gives one. Always judged as a proposal.",
    )


class Human(Strict):
    """Who answers a HUMAN task, how, and by when."""

    form_schema: JsonObject | None = Field(
        default=None, description="JSON Schema of the answer; another answer is refused."
    )
    assignees: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="Users who may answer. Empty, and no groups: everybody who has the right to `complete`.",
    )
    groups: list[DnsName] = Field(
        default_factory=list,
        max_length=100,
        description="Who may answer too: whoever has the verb `answer` on groups.openworld.dev/GROUP.",
    )
    due_seconds: SomeSeconds | None = Field(
        default=None, description="Without an answer by then the task is escalated."
    )
    escalate_to: list[str] = Field(
        default_factory=list, max_length=100, description="Users who may answer too, once it is escalated."
    )
    remind_every_seconds: SomeSeconds | None = Field(
        default=None,
        description="Until somebody answers, people are reminded (a Kubernetes Event), up to 20 times.",
    )
    timeout_seconds: SomeSeconds | None = Field(
        default=None, description="Without an answer by then the task is TimedOut."
    )


_SHORT = {"ref": "taskReferenceName", "input": "inputParameters"}


class Task(Strict):
    """One task of a workflow: what people author and what an agent proposes are the same thing.

    Short form, accepted wherever a task is written: `ref` for `taskReferenceName`, `input` for
    `inputParameters`, and a tool's name as `type`. It is stored in the long form.
    """

    name: str = Field(
        default="",
        max_length=253,
        description="The catalog tool of a SIMPLE task; the type of an EVENT's event; a label for others.",
    )
    task_reference_name: TaskRef = Field(
        description="Unique within the workflow; how expressions name this task."
    )
    type: TaskType = Field(default=TaskType.SIMPLE, description="Task type.")
    description: str = Field(default="", max_length=4096, description="For people.")
    input_parameters: JsonObject = Field(
        default_factory=dict, description="Input; may hold ${…} expressions."
    )
    optional: bool = Field(default=False, description="A failure does not fail the workflow.")
    permissive: bool = Field(
        default=False, description="A failure lets what runs beside it finish, and then fails the workflow."
    )
    compensation: Compensation | None = Field(
        default=None,
        description="What undoes this task, once it has completed; in place of what its tool says.",
    )
    human: Human | None = Field(default=None, description="HUMAN: who answers, how, and by when.")
    when: str = Field(
        default="",
        max_length=4096,
        description="CEL over input, workflow.input, workflow.variables, workflow.env and tasks.REF.output: "
        "where it is false, the task is Skipped and what follows goes on.",
    )
    start_delay: Seconds = Field(default=0, description="Seconds between being scheduled and being run.")
    retry_count: int | None = Field(
        default=None, ge=0, le=100, description="Overrides the tool's retry count."
    )
    task_definition: TaskDefinition | None = Field(
        default=None, description="Overrides the tool's retries and timeouts."
    )
    depends_on: list[TaskRef] | None = Field(
        default=None, description="Start when these refs of the same array are done, instead of in order."
    )
    join_on: list[TaskRef] = Field(
        default_factory=list, description="JOIN, EXCLUSIVE_JOIN: the refs to wait for."
    )
    default_exclusive_join_task: list[TaskRef] = Field(
        default_factory=list, description="EXCLUSIVE_JOIN: whose output counts when none of joinOn has run."
    )
    evaluator_type: EvaluatorType = Field(
        default=EvaluatorType.VALUE_PARAM,
        description="SWITCH, INLINE, DO_WHILE: how the expression or condition is evaluated.",
    )
    expression: str = Field(default="", max_length=65536, description="SWITCH, INLINE: the expression.")
    decision_cases: dict[str, list[Task]] = Field(
        default_factory=dict, description="SWITCH: tasks by value of the expression."
    )
    default_case: list[Task] = Field(default_factory=list, description="SWITCH: tasks when no case matches.")
    fork_tasks: list[list[Task]] = Field(default_factory=list, description="FORK_JOIN: the branches.")
    dynamic_fork_tasks_param: str = Field(
        default="dynamicTasks", description="FORK_JOIN_DYNAMIC: input that holds the list of tasks."
    )
    dynamic_fork_tasks_input_param_name: str = Field(
        default="dynamicTasksInput", description="FORK_JOIN_DYNAMIC: input that maps ref to input."
    )
    dynamic_task_name_param: str = Field(
        default="taskToExecute", description="DYNAMIC: input that holds the name of what is run."
    )
    loop_over: list[Task] = Field(default_factory=list, description="DO_WHILE: the tasks of an iteration.")
    loop_condition: str = Field(
        default="", max_length=65536, description="DO_WHILE: evaluated after each iteration; true: another."
    )
    items: str | list[Any] | None = Field(
        default=None, description="DO_WHILE: one iteration for each, as loopItem and loopIndex."
    )
    max_iterations: int | None = Field(
        default=None, ge=1, le=1_000_000, description="DO_WHILE: more iterations than this fail the task."
    )
    sub_workflow_param: SubWorkflowParam | None = Field(
        default=None, description="SUB_WORKFLOW: what is started."
    )
    sink: str = Field(
        default="", max_length=4096, description="EVENT: the URL that the event is sent to; may hold ${…}."
    )
    async_complete: bool = Field(
        default=False,
        description="SIMPLE, HTTP, EVENT: when the worker has succeeded, the task waits for a Signal "
        "(Complete or Fail) that names it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for short, long in _SHORT.items():
            if short in data:
                if long in data:
                    raise ValueError(
                        f"both {short} and {long} are given; {short} is the short form of {long}"
                    )
                data[long] = data.pop(short)
        kind = data.get("type")
        if isinstance(kind, str) and kind not in TaskType.__members__ and not kind.isupper():
            if data.get("name", kind) != kind:
                raise ValueError(f"type {kind!r} is a tool's name, and name says {data['name']!r}")
            data |= {"name": kind, "type": TaskType.SIMPLE.value}
        return data

    def inner_arrays(self) -> list[list[Task]]:
        """The arrays of tasks that it holds."""
        return [*self.decision_cases.values(), self.default_case, *self.fork_tasks, self.loop_over]


class ConcurrencyPolicy(StrEnum):
    """What becomes of a run for which there is no place."""

    QUEUE = "QUEUE"
    REJECT = "REJECT"


class Concurrency(Strict):
    """How many runs of a workflow there may be at a time in the namespace."""

    limit: int = Field(ge=1, le=10_000, description="Runs at a time.")
    key: str = Field(
        default="",
        max_length=1024,
        description="Runs with the same key count together; may hold ${workflow.input…}. Unset: all runs.",
    )
    policy: ConcurrencyPolicy = Field(
        default=ConcurrencyPolicy.QUEUE, description="QUEUE: the run waits, Pending; REJECT: it fails."
    )


class Workflow(Strict):
    """A definition: what a run of it does, in which order, with which tools and under which policy."""

    name: WorkflowName = Field(
        default="", description="Name that others start it by. Unset: the object's own name."
    )
    description: str = Field(default="", max_length=4096, description="For people.")
    version: int = Field(default=1, ge=1, description="Version of the definition.")
    input_template: JsonObject = Field(
        default_factory=dict, description="What the input holds where a run's own says nothing."
    )
    input_schema: JsonObject | None = Field(
        default=None, description="JSON Schema that the input of a run must satisfy."
    )
    tasks: list[Task] = Field(min_length=1, description="The tasks, run in order.")
    output_parameters: JsonObject | None = Field(
        default=None, description="Output of a run; may hold ${…}. Unset: the output of the last task."
    )
    variables: JsonObject = Field(default_factory=dict, description="Initial workflow variables.")
    output_schema: JsonObject | None = Field(
        default=None, description="JSON Schema that the output of a run must satisfy."
    )
    timeout_seconds: Seconds = Field(
        default=0, description="A run longer than this is TimedOut; 0 means no limit."
    )
    timeout_policy: TimeoutPolicy = Field(
        default=TimeoutPolicy.TIME_OUT_WF,
        description="TIME_OUT_WF: the run is TimedOut; ALERT_ONLY: recorded, and it goes on.",
    )
    concurrency: Concurrency | None = Field(
        default=None, description="How many runs there may be at a time; the others wait or are rejected."
    )
    compensation: CompensationPolicy = Field(
        default=CompensationPolicy.ON_FAILURE,
        description="OnFailure: when a run fails or times out, what its tasks have done is undone, "
        "the last first.",
    )
    failure_workflow: WorkflowName = Field(
        default="", description="Workflow that is started when a run fails or times out."
    )
    catalogs: list[DnsName] = Field(
        default_factory=list, description="ToolCatalogs whose tools tasks may name."
    )
    policy_ref: NamedReference | None = Field(
        default=None, description="Policy for proposals. Unset: nothing proposed is allowed."
    )


class WorkflowStatus(Strict):
    """What the operator says of a definition."""

    conditions: list[Condition] = Field(default_factory=list, description="Valid: the definition can be run.")
    observed_generation: int = Field(
        default=0, description="The metadata.generation that this status is about."
    )
    digest: str = Field(default="", description="SHA-256 of the canonical spec.")
