"""Gates that look at a whole proposal are asked again, and hold, when an item starts."""

from tests.support.governance import rule
from tests.unit.test_engine_agent import agent_world, propose


def test_a_gate_on_the_size_of_a_proposal_holds() -> None:
    rules = [rule("all"), rule("many", "RequireApproval", when="proposal.count('look') > 1")]
    w = agent_world({"rules": rules})
    propose(w, {"type": "look"}, {"type": "look"})
    assert w.jobs == {}
    assert w.statuses["triage__1__look"] == "AwaitingApproval"


def test_a_gate_on_a_ref_holds() -> None:
    rules = [rule("all"), rule("many", "RequireApproval", when="item.ref == 'x'")]
    w = agent_world({"rules": rules})
    propose(w, {"type": "look", "ref": "x"})
    assert w.jobs == {}
