"""The codes of silence: one vocabulary for all that tells of it."""

from saltapi.bridge.jobs.states import MinionState
from saltapi.engine.fleet.codes import SENTENCES, Code
from saltapi.engine.fleet.why import told


def test_one_vocabulary() -> None:
    """Every code has a sentence, and what `missing` says are such codes."""
    assert set(Code) == SENTENCES.keys()
    reasons = set(MinionState) - {MinionState.FAILED, MinionState.NO_ANSWER}
    assert {str(state) for state in reasons} <= set(Code)


def test_names_are_no_templates() -> None:
    """Whatever a minion is called stands in the sentences as it is, and is quoted in URLs."""
    name = "{jid}/../%s"
    for code in Code:
        found = told(code, name, "20260101000000000001")
        assert {"code", "sentence", "facts", "next"} == found.keys()
        assert "{minion}" not in found["sentence"] + found["next"]
    assert "/v1/keys/%7Bjid%7D%2F..%2F%25s/accept" in told(Code.KEY_PENDING, name, None)["next"]
