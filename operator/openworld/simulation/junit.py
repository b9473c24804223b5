"""A simulated namespace as a JUnit report, as continuous integration reads it: a suite for each execution.

A task that failed in an execution that completed all the same is no failure: its reason is only told.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from openworld.api import Phase, TaskStatus
from openworld.engine.state import TaskState

from .executions import SimulatedExecution

#: What XML 1.0 cannot hold.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FAILED = (TaskStatus.FAILED, TaskStatus.FAILED_WITH_TERMINAL_ERROR, TaskStatus.TIMED_OUT)
_PASSED_OVER = (TaskStatus.SKIPPED, TaskStatus.CANCELED)


def junit(executions: list[SimulatedExecution], now_ms: int) -> str:
    """The report as XML. The run itself is a case of its suite, named after its workflow."""
    root = ElementTree.Element("testsuites", name="openworld simulate")
    for execution in executions:
        state = execution.state
        workflow = state.workflow_name or (
            state.spec.workflow_ref.name if state.spec.workflow_ref else "inline"
        )
        suite = ElementTree.SubElement(root, "testsuite", name=text_of(f"{workflow} ({execution.name})"))
        for task in state.tasks.values():
            _case(suite, execution, task, now_ms)
        ended_ms = state.ended_at_ms if state.ended_at_ms is not None else now_ms
        seconds = _seconds(state.started_at_ms or ended_ms, ended_ms)
        whole = ElementTree.SubElement(
            suite, "testcase", name=text_of(workflow), classname=execution.name, time=seconds
        )
        if state.phase is not Phase.COMPLETED:
            ElementTree.SubElement(
                whole, "failure", type=state.phase.value, message=text_of(state.reason or "it did not end")
            )
        with_counts(suite)
        suite.set("time", seconds)
    return document(root)


def with_counts(suite: ElementTree.Element) -> None:
    """Have a suite say how many of its cases there are, failed and were passed over."""
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))


def document(root: ElementTree.Element) -> str:
    """The report as text."""
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def text_of(text: str) -> str:
    """The text without what XML 1.0 cannot hold."""
    return _FORBIDDEN.sub("\ufffd", text)


def _case(suite: ElementTree.Element, execution: SimulatedExecution, task: TaskState, now_ms: int) -> None:
    began = task.first_scheduled_at_ms or now_ms
    ended = task.ended_at_ms if task.ended_at_ms is not None else now_ms
    case = ElementTree.SubElement(
        suite, "testcase", name=text_of(task.ref), classname=execution.name, time=_seconds(began, ended)
    )
    if task.status in _FAILED and execution.state.phase is Phase.COMPLETED:
        ElementTree.SubElement(case, "system-out").text = text_of(f"{task.status.value}: {task.reason}")
    elif task.status in _FAILED:
        ElementTree.SubElement(case, "failure", type=task.status.value, message=text_of(task.reason))
    elif task.status in _PASSED_OVER:
        ElementTree.SubElement(case, "skipped", message=text_of(task.reason))


def _seconds(began_ms: int, ended_ms: int) -> str:
    return f"{max(0, ended_ms - began_ms) / 1000:.3f}"
