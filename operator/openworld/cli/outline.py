"""An execution as a tree: what was authored, and below each agent's turn what it proposed. Pure.

Built from the ledger's events (a denied item stands nowhere else) and from the projection, which says
where each task stands now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from openworld.api import JsonObject
from openworld.engine.tasks import WITH_JOB
from openworld.ledger import EventType, epoch_ms

from .logs import logs_text
from .phrases import CROP, begins_an_attempt, call_text, ruling_text
from .plain import arguments, one_line, prose, value_text
from .questions import Askers, asking, question_text
from .times import duration_text

PENDING, DENIED = "Pending", "Denied"
#: Statuses after which nothing changes below a node.
_OPEN = frozenset(
    {PENDING, "Scheduled", "InProgress", "AwaitingApproval", "Running", "Compensating", "Paused", ""}
)
_FAILED = frozenset({"Failed", "FailedWithTerminalError", "CompletedWithErrors"})


@dataclass(slots=True)
class Node:
    """One line of the tree. `what` is a tool, an agent, a task type; `notes` are sentences.

    `hidden` counts what is below it and not shown.
    """

    name: str
    what: str = ""
    status: str = ""
    notes: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    hidden: int = 0

    @property
    def is_settled(self) -> bool:
        """Whether nothing at or below it can change."""
        return self.status not in _OPEN and all(child.is_settled for child in self.children)

    def rows(self) -> int:
        """Lines it takes with everything below it."""
        return 1 + sum(child.rows() for child in self.children)

    def fold(self) -> int:
        """Hide what is below it; returns how many lines that saves."""
        saved = self.rows() - 1
        self.hidden = self._below()
        self.children = []
        return saved

    def _below(self) -> int:
        return self.hidden + sum(1 + child._below() for child in self.children)


def outline(execution: JsonObject) -> Node:
    """The tree of an Execution, as the API server returns it."""
    return _Outline(execution).root


def fitted(root: Node, rows: int) -> Node:
    """The tree with its oldest settled branches folded, inner ones first, until it takes `rows` lines."""
    excess = root.rows() - rows
    for node in list(_settled_branches(root)):
        if excess <= 0:
            break
        excess -= node.fold()
    return root


def _settled_branches(node: Node) -> Iterator[Node]:
    for child in node.children:
        yield from _settled_branches(child)
        if child.children and child.is_settled:
            yield child


class _Outline:
    """Reads the events once, in order; a node is found again by its ref, a turn by its scope."""

    def __init__(self, execution: JsonObject) -> None:
        status = execution.get("status") or {}
        metadata = execution["metadata"]
        workflow = (status.get("workflow") or {}).get("name") or (
            execution["spec"].get("workflowRef") or {}
        ).get("name", "(inline)")
        self._tasks: JsonObject = status.get("tasks") or {}
        self._nodes: dict[str, Node] = {}
        self._turns: dict[str, Node] = {}
        self._scheduled_at: dict[str, str] = {}
        self._attempt_seq: dict[str, int] = {}
        self._askers = Askers()
        self._uid, self._namespace = str(metadata.get("uid", "")), str(metadata.get("namespace", ""))
        self._phase = str(status.get("phase") or PENDING)
        self.root = Node(one_line(metadata["name"]), f"workflow {one_line(workflow, 80)}", self._phase)
        for key, words in (("waitingFor", "waits for "), ("reason", "")):
            if status.get(key):
                self.root.notes.append(words + one_line(status[key], 300))
        for event in (status.get("ledger") or {}).get("events") or ():
            self._read(event)
        for ref, node in self._nodes.items():
            self._describe(ref, node)
        if self._is_over:
            self.root.children = [node for node in self.root.children if node.status != PENDING]
        if status.get("output") is not None:
            self.root.notes.append(f"output {value_text(status['output'], CROP)}")

    @property
    def _is_over(self) -> bool:
        return self._phase in ("Completed", "Failed", "TimedOut", "Terminated")

    def _read(self, event: JsonObject) -> None:
        kind, ref = event.get("type"), str(event.get("ref", ""))
        self._askers.read(event)
        if begins_an_attempt(event):
            self._attempt_seq[ref] = event["seq"]
        if kind == EventType.EXECUTION_STARTED:
            for task in (event.get("definition") or {}).get("tasks") or ():
                self._task(str(task.get("taskReferenceName")), "").what = str(task.get("type") or "SIMPLE")
        elif kind == EventType.TASK_SCHEDULED:
            self._scheduled_at.setdefault(ref, str(event.get("at", "")))
            node = self._task(ref, str(event.get("scope", "")))
            tool = event.get("tool")
            values = event.get("input") or {}
            asker = self._askers.of(ref)
            if asker:
                node.what = question_text(asker, values)
            elif isinstance(tool, dict):
                node.what = call_text(tool.get("name"), values, 80)
            elif event.get("taskType") == "AGENT":
                node.what = f"agent {one_line(values.get('agent'), 80)}"
            else:
                node.what = one_line(event.get("taskType"), 40)
        elif kind == EventType.APPROVAL_REQUESTED and "budget" not in event:
            node = self._task(ref, str(event.get("scope", "")))
            node.what = call_text(event.get("tool"), event.get("input"), 80, self._askers.of(ref))
        elif kind == EventType.APPROVAL_GIVEN:
            self._task(ref, "").notes.append(_approval_text(event))
        elif kind == EventType.BUDGET_EXTENDED:
            self._task(ref, "").notes.append(f"granted more {one_line(event.get('limit'), 40)}")
        elif kind in (EventType.TASK_FAILED, EventType.TASK_SKIPPED):
            self._task(ref, str(event.get("scope", "")))
        elif kind == EventType.TURN_STARTED:
            self._turn(ref, event)
        elif kind == EventType.PROPOSAL_RECEIVED:
            self._proposed(ref, event)
        elif kind == EventType.PROPOSAL_JUDGED and event.get("proposal"):
            self._judged(ref, event)

    def _task(self, ref: str, scope: str) -> Node:
        """The node of a task; new ones go below the turn or the task that their scope belongs to."""
        node = self._nodes.get(ref)
        if node is None:
            node = self._nodes[ref] = Node(one_line(ref, 130), status=PENDING)
            owner = scope.partition("/")[0]
            parent = self._turns.get(scope) or self._nodes.get(owner) or self.root
            parent.children.append(node)
        return node

    def _turn(self, ref: str, event: JsonObject) -> Node:
        scope = f"{ref}/{event.get('turn')}"
        turn = self._turns.get(scope)
        if turn is None:
            turn = self._turns[scope] = Node(f"turn {event.get('turn')}", status="InProgress")
            self._task(ref, "").children.append(turn)
        return turn

    def _proposed(self, ref: str, event: JsonObject) -> None:
        turn, content = self._turn(ref, event), event.get("content")
        turn.what = one_line(event.get("proposal"), 20)
        turn.status = ""
        if isinstance(content, dict) and content.get("rationale"):
            turn.notes.append(prose(content["rationale"], 200))

    def _judged(self, ref: str, event: JsonObject) -> None:
        turn = self._turn(ref, event)
        turn.status = "Judged"
        if event.get("problem"):
            turn.status = DENIED
            turn.notes.append(one_line(event["problem"], 300))
        if event.get("answer") is not None:
            turn.notes.append(f"answered {value_text(event['answer'], CROP)}")
        for item in event.get("items") or ():
            if item.get("decision") == "Denied":
                tool = one_line(item.get("tool") or "", 80)
                ref_shown = one_line(item.get("ref") or f"item {item.get('item')}", 130)
                turn.children.append(Node(ref_shown, tool, DENIED, [ruling_text(item)]))
            else:
                self._task(str(item.get("ref")), f"{ref}/{event.get('turn')}").notes.append(ruling_text(item))

    def _describe(self, ref: str, node: Node) -> None:
        task, asker = self._tasks.get(ref), self._askers.of(ref)
        if asker and not node.what:
            node.what = asking(asker)
        if task is None:
            return
        node.status = str(task.get("status") or "")
        if not node.what:
            node.what = one_line(task.get("tool") or task.get("type") or "", 80)
        if task.get("attempt"):
            node.notes.append(f"attempt {task['attempt'] + 1}")
        # An agent's startedAt is that of its last turn.
        began = self._scheduled_at.get(ref) if task.get("type") == "AGENT" else task.get("startedAt")
        if began and task.get("endedAt"):
            node.notes.append(duration_text(epoch_ms(task["endedAt"]) - epoch_ms(began)))
        gate = task.get("approval")
        if gate:
            given, wanted = len(gate.get("approvedBy") or ()), gate.get("count", 1)
            node.notes.append(
                f"{given} of {wanted} approvals, waits until {one_line(gate.get('expiresAt'), 40)}"
            )
        if task.get("reason"):
            node.notes.append(one_line(task["reason"], 300))
        if task.get("status") in _FAILED:
            logs = logs_text(
                task.get("reason"),
                uid=self._uid,
                namespace=self._namespace,
                seq=self._attempt_seq.get(ref),
                had_pod=task.get("type") in WITH_JOB and bool(task.get("pod")),
            )
            node.notes += [logs] if logs else []


def _approval_text(event: JsonObject) -> str:
    """Who consented; and to what, where that is not what was asked for."""
    by = f"approved by {one_line(event.get('by'), 80)}"
    if "input" not in event:
        return by
    return f"{by} with another input: {arguments(event['input'], CROP) or '(empty)'}"
