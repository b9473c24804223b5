"""The verbs against a cluster in memory: what they create, print and refuse."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from rich.console import Console

from openworld.api.crd import KINDS
from openworld.cli import kinds
from openworld.cli.app import VERBS, cli
from openworld.cli.completions import for_kubectl
from openworld.cli.errors import CliError
from openworld.cli.output import yaml_text
from openworld.cli.session import Connection, Session
from openworld.cli.verbs.tree import _follow
from openworld.controller.names import job_name
from openworld.kube import resources
from openworld.ledger import rfc3339
from tests.support.verbs import WHERE, cluster, unserved
from tests.support.world import START_MS
from tests.unit.cli_double import NOW, FakeCluster, execution, invoke, oncall, oncall_done, oncall_waiting


def test_run_creates_an_execution_as_the_caller_and_prints_its_name() -> None:
    c = cluster()
    result = invoke(
        c, "run", "main", "-i", "service=checkout", "-i", "count=3", "-i", "tags=[1]", "-i", "x=NaN"
    )
    assert (result.exit_code, result.output) == (0, "main-x1\n")
    assert c.created == [
        {
            "apiVersion": "openworld.dev/v1alpha1",
            "kind": "Execution",
            "metadata": {"generateName": "main-", "namespace": "team"},
            "spec": {
                "workflowRef": {"name": "main"},
                "input": {"service": "checkout", "count": 3, "tags": [1], "x": "NaN"},
                "requestedBy": "bob@example.com",
            },
        }
    ]


def test_run_with_everything_given(tmp_path: Path) -> None:
    file = tmp_path / "input.yaml"
    file.write_text("service: checkout\nat: 2026-01-01\n")
    c = cluster()
    options = ("--name", "r1", "--service-account", "runner", "--correlation-id", "c-1", "-o", "json")
    result = invoke(c, "-n", "other", "run", "main", "--input-file", str(file), *options)
    assert c.created[0]["metadata"] == {"name": "r1", "namespace": "other"}
    assert c.created[0]["spec"]["input"] == {"service": "checkout", "at": "2026-01-01"}
    assert c.created[0]["spec"]["serviceAccountName"] == "runner"
    assert c.created[0]["spec"]["correlationId"] == "c-1"
    assert json.loads(result.output)["metadata"]["name"] == "r1"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-i", "service"), "-i takes KEY=VALUE, not 'service'"),
        (("-i", "a=1", "-i", "a=2"), "-i a is given twice"),
        (
            ("--input", "{"),
            "--input is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char "
            "1)",
        ),
        (("--input", "[1]"), '--input must be a JSON object, such as {"key": "value"}'),
        (("--input", '{"a": NaN}'), "--input is not JSON: NaN is not a JSON number"),
        (("--input-file", "/nonexistent"), "/nonexistent cannot be read: No such file or directory"),
    ],
)
def test_run_refuses_inputs_that_are_none(args: tuple[str, ...], message: str) -> None:
    c = cluster()
    result = invoke(c, "run", "main", *args)
    assert (result.exit_code, result.stderr, c.created) == (1, f"Error: {message}\n", [])


def test_an_input_file_that_is_not_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "input.yaml"
    file.write_text("a: 1\nb: [1\nc: 2\n")
    result = invoke(cluster(), "run", "main", "--input-file", str(file))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {file}:3 is neither JSON nor YAML: ")


def test_run_takes_one_kind_of_input() -> None:
    result = invoke(cluster(), "run", "main", "-i", "a=1", "--input", "{}")
    assert result.exit_code == 2
    assert "give the input once: -i, --input or --input-file" in result.stderr


def test_run_waits_for_the_end_and_says_what_it_waits_for() -> None:
    c = cluster()
    c.changes[("Execution", "r")] = [execution(oncall_waiting(), "r"), execution(oncall_done(), "r")]
    result = invoke(c, "run", "main", "--name", "r", "--wait")
    assert (result.exit_code, result.stdout) == (0, "r\nCompleted: {id: INC-1}\n")
    assert result.stderr == "r waits for approval of triage__2__rollback (rollback)\n"


def test_run_fails_as_the_execution_does() -> None:
    c = cluster()
    c.changes[("Execution", "r")] = [execution(oncall().fails("triage", "no idea", terminal=True), "r")]
    result = invoke(c, "run", "main", "--name", "r", "--wait")
    assert (result.exit_code, result.stderr) == (1, "Error: r Failed: task triage failed: no idea\n")


def test_run_stops_waiting_in_time() -> None:
    c = cluster()
    c.changes[("Execution", "r")] = [execution(oncall_waiting(), "r")]
    result = invoke(c, "run", "main", "--name", "r", "--wait", "--timeout", "5")
    assert c.watched == [("Execution", "r", 5.0)]
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "Error: r is still Running after 5 s, waits for approval of triage__2__rollback (rollback); it "
        "goes on"
    )


def test_get_lists_and_shows() -> None:
    c = cluster(execution(oncall_done()), execution(oncall_waiting(), "run-2"))
    assert [line.split() for line in invoke(c, "get").output.splitlines()] == [
        ["NAME", "WORKFLOW", "PHASE", "ACTIVE/DONE/ALL", "WAITING-FOR", "AGE"],
        ["run-1", "main", "Completed", "0/4/4", "90s"],
        ["run-2", "main", "Running", "2/1/3", "approval", "of", "triage__2__rollback", "(rollback)", "90s"],
    ]
    assert len(invoke(c, "get", "run-2").output.splitlines()) == 2
    assert yaml.safe_load(invoke(c, "get", "run-1", "-o", "yaml").output)["status"]["phase"] == "Completed"
    listed = json.loads(invoke(c, "get", "-o", "json").output)
    assert (listed["kind"], len(listed["items"])) == ("List", 2)
    assert "NAMESPACE" in invoke(c, "get", "-A").output


def test_get_has_the_columns_of_kubectl() -> None:
    [kind] = [kind for kind in KINDS if kind.name == "Execution"]
    columns = [name.upper() for name, _, _, priority in kind.columns if priority == 0]
    head = invoke(cluster(execution(oncall_done())), "get").output.splitlines()[0]
    assert head.split() == ["NAME", *columns]


def test_get_says_what_is_not_there() -> None:
    result = invoke(cluster(), "get", "-n", "empty")
    assert (result.exit_code, result.stderr) == (0, "no executions in empty\n")
    result = invoke(cluster(), "get", "nope")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: Execution 'nope' does not exist in namespace 'team'\n",
    )


def test_an_execution_that_the_operator_has_not_seen_is_pending() -> None:
    body = execution(oncall())
    del body["status"]
    assert invoke(cluster(body), "get").output.splitlines()[1].split()[:4] == [
        "run-1",
        "main",
        "Pending",
        "0/0/0",
    ]
    body["metadata"]["creationTimestamp"] = rfc3339(START_MS + 80_000)
    assert invoke(cluster(body), "tree", "run-1").output == "· run-1  workflow main  Pending\n"
    assert invoke(cluster(body), "ledger", "run-1").stderr == "run-1 has not started\n"


HINT = "{}: Pending for more than 15 s and not begun. " + WHERE


@pytest.mark.parametrize("verb", [("get",), ("get", "run-1"), ("tree", "run-1"), ("ledger", "run-1")])
def test_an_execution_that_nobody_works_is_pointed_out(verb: tuple[str, ...]) -> None:
    result = invoke(cluster(unserved()), *verb)
    assert (result.exit_code, result.stderr.removesuffix("run-1 has not started\n")) == (
        0,
        HINT.format("run-1"),
    )
    assert "openworld-system" not in invoke(cluster(unserved(after_seconds=75)), *verb).stderr
    assert "openworld-system" not in invoke(cluster(execution(oncall())), *verb).stderr


def test_what_nobody_works_is_pointed_out_above_a_live_tree() -> None:
    c = cluster(unserved())
    c.changes[("Execution", "run-1")] = [execution(oncall_done())]
    screen = io.StringIO()
    session = Session(connect=lambda _: c, now=lambda: NOW)
    _follow(session, Console(file=screen, force_terminal=True, width=200, color_system=None), "run-1")
    assert screen.getvalue().count("kubectl -n openworld-system get pods") == 1


def test_several_that_nobody_works_are_one_hint() -> None:
    bodies = [unserved(f"r{number}") for number in range(5)]
    result = invoke(cluster(*bodies, execution(oncall())), "get")
    assert result.stderr == HINT.format("r0, r1, r2 and 2 more")


def test_waiting_for_what_nobody_works_says_so_once_and_goes_on() -> None:
    c = cluster()
    c.changes[("Execution", "r")] = [unserved("r", 76), unserved("r", 76)]
    result = invoke(c, "run", "main", "--name", "r", "--wait", "--timeout", "60")
    assert result.stderr == HINT.format("r") + "Error: r is still Pending after 60 s; it goes on\n"
    assert c.watched == [("Execution", "r", 15), ("Execution", "r", 45.0)]


def test_following_what_nobody_works_says_so_at_once_and_only_once() -> None:
    c = cluster(unserved())
    c.changes[("Execution", "run-1")] = [unserved(), unserved()]
    result = invoke(c, "ledger", "run-1", "--follow")
    assert result.stderr == HINT.format("run-1") + "run-1 has not started\n"


def test_what_begins_in_time_is_waited_for_without_a_word() -> None:
    c = cluster()
    c.changes[("Execution", "r")] = [unserved("r", 85), execution(oncall(), "r")]
    result = invoke(c, "run", "main", "--name", "r", "--wait", "--timeout", "60")
    assert result.stderr == "Error: r is still Running after 60 s; it goes on\n"


def test_ledger_tells_follows_and_prints_raw() -> None:
    world = oncall_done()
    c = cluster(execution(world))
    told = invoke(c, "ledger", "run-1").output.splitlines()
    assert told[0] == "  +00:00.0  alice@example.com     started main v1 with service=checkout, as runner"
    assert "                                    - delete(service=checkout)" in told
    assert told[-1] == "  +00:20.1  execution             completed after 20.1 s: {id: INC-1}"
    assert json.loads(invoke(c, "ledger", "run-1", "-o", "json").output) == world.events
    assert yaml.safe_load(invoke(c, "ledger", "run-1", "-o", "yaml").output) == world.events


def test_ledger_names_the_job_whose_log_tells_more() -> None:
    world = oncall_waiting()
    world.approve("triage__2__rollback")
    world.fails("triage__2__rollback", "the container ended with exit code 64", terminal=True)
    c = cluster(execution(world))
    seq = next(e["seq"] for e in world.of_type("TaskScheduled") if e["ref"] == "triage__2__rollback")
    wanted = f"exit code 64; logs: kubectl logs job/{job_name('uid-1', seq)} -n team"
    assert wanted in invoke(c, "ledger", "run-1").stdout
    assert wanted in invoke(c, "tree", "run-1").stdout


def test_ledger_follow_tells_every_event_once_up_to_the_end() -> None:
    done = oncall_done()
    c = cluster(execution(oncall()))
    c.changes[("Execution", "run-1")] = [execution(oncall_waiting()), execution(done), execution(done)]
    result = invoke(c, "ledger", "run-1", "--follow", "-o", "json")
    assert [json.loads(line)["seq"] for line in result.output.splitlines()] == list(range(len(done.events)))


def test_connection_options_stand_before_or_after_the_verb_and_the_last_counts() -> None:
    seen: list[Connection] = []

    def connect(connection: Connection) -> FakeCluster:
        seen.append(connection)
        return FakeCluster()

    before = ["-n", "a", "--context", "c", "--as", "eve@example.com"]
    after = ["-n", "b", "--kubeconfig", "k", "--as-group", "g1", "--as-group", "g2"]
    CliRunner().invoke(cli, [*before, "get", *after], obj=Session(connect=connect))
    assert seen == [Connection("b", "c", "k", "eve@example.com", ("g1", "g2"))]


def test_every_verb_can_be_loaded_and_explains_itself() -> None:
    for verb in VERBS:
        result = CliRunner().invoke(cli, [verb, "--help"])
        assert result.exit_code == 0
        assert result.output.startswith(f"Usage: cli {verb}")


def test_help_is_a_verb_too() -> None:
    runner = CliRunner()
    for words in ([], ["tree"], ["import"]):
        said = runner.invoke(cli, ["help", *words], prog_name="openworld")
        assert (said.exit_code, said.output) == (
            0,
            runner.invoke(cli, [*words, "--help"], prog_name="openworld").output,
        )
    result = runner.invoke(cli, ["help", "aprove"])
    assert result.exit_code == 2
    assert "there is no verb 'aprove'; did you mean 'approve'?" in result.output


def test_a_verb_that_is_misspelt() -> None:
    result = CliRunner().invoke(cli, ["aprove"])
    assert result.exit_code == 2
    assert "there is no verb 'aprove'; did you mean 'approve'?" in result.output


def test_version_and_completion() -> None:
    assert CliRunner().invoke(cli, ["version"]).output == "openworld 0.1.0\n"
    for shell in ("bash", "zsh", "fish"):
        assert "_OPENWORLD_COMPLETE" in CliRunner().invoke(cli, ["completion", shell]).output


def test_completions_for_kubectl_end_with_the_directive() -> None:
    assert for_kubectl(["te"]) == ["terminate\tEnd an execution now.", ":4"]
    assert for_kubectl(["get", "-o", "j"]) == ["json", ":4"]
    assert for_kubectl(["lint", "x"])[-1] == ":0"
    assert "run\tStart a workflow." in for_kubectl([])


def test_the_paths_are_those_of_the_async_client() -> None:
    for own, known in ((kinds.EXECUTIONS, resources.EXECUTIONS), (kinds.SIGNALS, resources.SIGNALS)):
        assert own.path("ns", "n") == known.path("ns", "n")
        assert (own.api_version, own.kind) == (known.api_version, known.kind)
    assert kinds.EXECUTIONS.path("ns", "../x").endswith("/executions/..%2Fx")


def test_error_messages_are_harmless_too(capsys: pytest.CaptureFixture[str]) -> None:
    CliError("bad \x1b[2J").show()
    assert capsys.readouterr().err == "Error: bad \\x1b[2J\n"


def test_yaml_says_exactly_the_value_and_is_harmless() -> None:
    value = {"a": "b\u202ec\x1b[2J\x85", "ü": "é"}
    text = yaml_text(value)
    assert yaml.safe_load(text) == value
    assert text.isascii()
    assert yaml_text({"ü": "é"}) == "ü: é\n"
