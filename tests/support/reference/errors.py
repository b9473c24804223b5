"""errors.md: every word that a reason begins with. What each means is told here, by hand; a test finds them in the code."""

from __future__ import annotations

from dataclasses import dataclass

from openworld.governance.verdict import Check

from .markdown import GENERATED, code, table


@dataclass(frozen=True, slots=True)
class Reason:
    """A word that reasons begin with: what it means, when it comes, and what to do."""

    word: str
    meaning: str
    when: str
    cure: str


TASK_REASONS = (
    Reason(
        "InvalidInput",
        "The input cannot be used.",
        "An expression cannot be resolved or its value is too large; an input lacks what its type needs, or has it in another form. Not retried.",
        "Mend what the reason names. `openworld lint` finds most of it before a run.",
    ),
    Reason(
        "Denied",
        "The check in the brackets said no to the task right before it started, or to an item of a proposal: `Denied (check, rule): …`.",
        "See [checks](#checks). Not retried.",
        "Write the rule, put the tool into a catalog, grant `use`, or correct the input.",
    ),
    Reason(
        "ProposalDenied",
        "Tasks that came from data were denied. Nobody is there to mend a part of them, so none is run.",
        "A FORK_JOIN_DYNAMIC, or a tool whose result carries a proposal. The reason quotes the verdict. Not retried.",
        "Read the verdict (`openworld ledger NAME`): allow it by a policy, or correct the data. Without `policyRef` nothing is allowed.",
    ),
    Reason(
        "ProposalsRejected",
        "An agent was given up: several turns in a row proposed nothing that was allowed.",
        "`limits.rejections` of the Policy is reached. The reason quotes the last verdict. Not retried.",
        "Read the verdicts: does the agent know its tools and limits? Change its instructions, its tools or the policy, then retry the run.",
    ),
    Reason(
        "BudgetExceeded",
        "A budget is used up.",
        "Turns, tokens or time of an agent, by the Policy's `limits` or the Agent's. The task fails, or is timed out while a turn runs. Not retried. Where `limits.onExceeded` is AskHuman, a person was asked and has not consented, or the parent's grant is what is used up.",
        "Raise the budget, or narrow the task. A retry of the run begins with new time; turns and tokens stay used. A rerun from the agent's task begins with its first turn.",
    ),
    Reason(
        "ApprovalRefused",
        "A person said no: `ApprovalRefused by WHO: WHY`.",
        "A Signal Reject. Below an agent the agent is told; elsewhere the run fails, unless the task is `optional` or `permissive`.",
        "Ask who refused. A retry of the run asks again.",
    ),
    Reason(
        "ApprovalExpired",
        "Nobody said yes in time.",
        "`approval.timeoutSeconds` of the rule has passed, 3600 unless set.",
        "Retry the run and approve, or give people more time. `status.waitingFor` says what waits.",
    ),
    Reason(
        "OutcomeUnknown",
        "The attempt ended, and nobody knows whether it did its work. It is not repeated.",
        "A Write or Destructive tool that is not `idempotent`: its node was lost, its Job was deleted, it timed out, or it ended well without a report.",
        "See what the tool did, and undo it where that is needed; a retry of the run runs it again. Set `idempotent: true` where running twice does no harm.",
    ),
    Reason(
        "OutputTooLarge",
        "A report is too large for the record.",
        "More than 1 MiB. Not retried.",
        "Store the data elsewhere and report a reference.",
    ),
    Reason(
        "InvalidReport",
        "A report holds what JSON cannot keep.",
        "Integers beyond 2^53, text that is no Unicode, more nesting than the record may have. Not retried.",
        "Correct the worker; write large integers as text.",
    ),
    Reason(
        "ContextUnusable",
        "What an agent is to see cannot be put together.",
        "A path of `context.include` or `context.redact` of the Agent cannot be evaluated. Not retried.",
        "Correct the paths.",
    ),
    Reason(
        "ContextTooLarge",
        "What an agent is to see is too large.",
        "More than 256 KiB. Not retried.",
        "Narrow `context.include` or `context.historyTurns` of the Agent.",
    ),
    Reason(
        "Changed",
        "What would run now is not what a person approved.",
        "The Agent or Workflow that an approved task names has been changed since. Not retried.",
        "Rerun the run from the task: it asks again, and shows the new one. A retry goes by what was approved, and fails again.",
    ),
    Reason(
        "MaxIterations",
        "A loop does not end.",
        "The condition of a DO_WHILE still holds after `maxIterations`. Not retried.",
        "Correct the condition, or raise `maxIterations`.",
    ),
    Reason(
        "ImageUnavailable",
        "The image cannot be pulled or used.",
        "The kubelet says so, for longer than the operator's grace. Retried as the tool says.",
        "Correct the image in the catalog, or the registry's credentials, then retry the run.",
    ),
    Reason(
        "NameTaken",
        "An object of the name that the attempt needs is there already, and is not its own.",
        "Somebody created a Job, or an Execution, of that name. Not retried.",
        "Delete that object, then retry the run.",
    ),
    Reason(
        "Refused",
        "The API server refused the Job or the child execution as such.",
        "What the catalog says of the container is no valid pod, or an admission policy of the cluster forbids it. What may be set right, as a missing right or a full quota, is tried again for as long as an image is. Not retried.",
        "Correct the catalog, or the cluster's policy, as the message says.",
    ),
)
RUN_REASONS = (
    Reason(
        "LedgerFull",
        "The API server does not take the record any more, because it is too large.",
        "What a run holds at one time is too much for one object: very many tasks that have not ended, or very large reasons. Older events are sealed into LedgerSegments before that.",
        "Return references to large data; split the run into child executions, each with a record of its own.",
    ),
    Reason(
        "Rejected",
        "There are as many runs of the workflow as there may be at a time.",
        "`concurrency` of the Workflow, with `policy: REJECT`. The run has never started.",
        "Create it again later, or let runs wait: `policy: QUEUE`.",
    ),
    Reason(
        "Deadlock",
        "Nothing can follow any more: what is open waits for tasks that cannot start before it.",
        "A JOIN in front of what it waits for.",
        "Correct `joinOn` or the order. A retry of the run stands still again.",
    ),
    Reason(
        "CannotDecide",
        "The engine failed on this run. That is a defect of the operator.",
        "The operator's log has the traceback.",
        "Report it, with the ledger. The run can be retried with a mended operator.",
    ),
)
CONDITION_REASONS = (
    Reason(
        "InvalidSpec",
        "The Execution itself is not valid.",
        "Something has passed the API server that the models refuse, for example an unknown field of an inline workflow. Phase Failed.",
        "Correct it and create the run anew.",
    ),
    Reason(
        "Unvouched",
        "Nobody has vouched for who asks for the run.",
        "It was created before the chart's admission policies stood. Phase Failed.",
        "Create it again.",
    ),
    Reason(
        "LedgerCorrupt",
        "The record does not fit together: the message names the first event that does not.",
        "The status was changed by something else than the operator. The phase stays; nothing is done for the run any more.",
        "Find out who may write the status. Restore the object, or create the run anew.",
    ),
)
ALL = (*TASK_REASONS, *RUN_REASONS, *CONDITION_REASONS)

#: What each check of governance looks at, and its rules.
CHECKS: dict[Check, str] = {
    Check.SHAPE: "the proposal makes sense, and names only what may be proposed and what its author was shown; "
    "`arguments`: the worker could not read a model's call, and says why",
    Check.CATALOG: "`exists`: the tool is in one of the catalogs; `drifted`: its MCP server offers it as it was pinned; `agent-tools`: the Agent may name it; `input-schema`: the input fits; "
    "`retry`: no more retries than the catalog says",
    Check.POLICY: "the rule of the Policy that denies it, `default-deny` where none allows it, `policy-unusable` where the Policy is missing or not valid",
    Check.LIMITS: "the budget that it would exceed: `tasks`, `tasksPerProposal`, `depth`, `tokens`, `durationSeconds`",
    Check.ACCESS: "`use`: the execution's service account may use the tool",
    Check.DEPENDENCY: "`DependencyDenied`: an item that it depends on is denied",
    Check.ATOMIC: "`atomic`: another item is denied, and the proposal wants all or nothing. What comes from data always does",
}

_INTRO = f"""# Why something failed

{GENERATED}

The reason of a task stands in the event that ended it and in `status.tasks.REF.reason`, that of a run in `status.reason`; both are sentences
for people. A word at the beginning, with a colon behind it, says what kind of failure it is. A reason without one is
a worker's own, a script's error, or a timeout, which names the limit by its field. `openworld ledger NAME` shows what came before.

A run that failed because of a task says `task REF failed: ` and the task's reason; a SUB_WORKFLOW says
`the child execution ended as PHASE: ` and the child's reason; a JOIN says `joined task REF failed: ` and that task's reason.
"""


def page() -> str:
    """The page."""
    head = ("word", "meaning", "when", "what to do")
    parts = [
        _INTRO,
        "## Of a task\n",
        table(head, map(_row, TASK_REASONS)),
        "## Of a run\n",
        table(head, map(_row, RUN_REASONS)),
        "A run also fails with the reason that a definition it needs is missing or not valid, that its input or output breaks a schema, or with a\n"
        "`Changed` where the Workflow of a child is not the approved one.\n",
        "## Of an Execution that is not worked\n",
        "These stand as the reason of a condition of the Execution, and as a Kubernetes Event:\n",
        table(head, map(_row, CONDITION_REASONS)),
        "## Checks\n",
        "The checks of `Denied (check, rule)` and of a verdict, in the order in which they are asked:\n",
        table(("check", "rules"), ((code(check.value), text) for check, text in CHECKS.items())),
    ]
    return "\n".join(parts)


def _row(reason: Reason) -> tuple[str, str, str, str]:
    return code(reason.word), reason.meaning, reason.when, reason.cure
