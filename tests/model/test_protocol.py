"""The fleet's protocol keeps its promises wherever it can get, and each planted bug is seen.

`python -m tests.model --large` looks further. What is not in the model: the seats'
own writes, the endpoint's breaker, changes of the policy, probes of a blind worker
(I-13), an operator's write that is slow, several tickets of one worker. Where every
probe must be good, a liar that takes a ticket of each round keeps the circuit open:
I-14 is about honest workers.
"""

import sys
from functools import cache

import pytest

from tests.model.checker import Found, admissions, search
from tests.model.planted import BUGS, Bug
from tests.model.protocol import Protocol
from tests.model.rules import Book
from tests.model.scenes import CALM, SCENES, Scene, policy
from worker.core.moves import MOVES
from worker.core.verdict import State


@cache
def looked_at(scene: Scene) -> tuple[Found, str | None]:
    book = scene.book()
    found = scene.search(book)
    sys.stdout.write(f"{scene.name}: {found}\n")
    return found, admissions(book)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_every_promise_holds_wherever_the_fleet_can_get(scene: Scene) -> None:
    found, admitted = looked_at(scene)

    assert found.broken is None, str(found)
    assert admitted is None
    assert found.whole


def test_one_liar_of_three_never_opens_the_circuit_of_a_healthy_target() -> None:
    found, _ = looked_at(CALM)

    assert found.broken is None, str(found)
    assert found.circuits == {State.CLOSED}


def test_the_model_reaches_every_state_and_every_move() -> None:
    found = [looked_at(scene)[0] for scene in SCENES]

    assert frozenset.union(*[one.circuits for one in found]) == frozenset(State)
    assert frozenset.union(*[one.moves for one in found]) == frozenset(MOVES)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_seen(bug: Bug) -> None:
    book = Book(bug.rules, policy(bug.probes_good))

    found = search(Protocol(book, bug.limits), states_max=50_000)

    sys.stdout.write(f"{bug.name}: {found}\n")
    assert found.broken is not None, "the bug was not seen"
    assert found.broken.startswith(bug.breaks), str(found)
    assert found.story
