"""Bugs to plant in the state machine: each is a small change of its states."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.deploy.statemachine.mixed_fleet import Story
from worker.sim.service import HEALTHY, Phase

States = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, and who must find it: the orders, or a fleet with this story.

    Attributes:
        promise: How the complaint begins.
    """

    name: str
    plant: Callable[[States], None]
    promise: str
    story: Story | None = None


def _forget_the_nonce(states: States) -> None:
    one = states["Named"]["Parameters"]
    one["condition"] = "#version = :was AND (#nonce = :its OR #version = :was)"


def _write_always(states: States) -> None:
    one = states["Named"]["Parameters"]
    one["condition"] = "#version = :was OR NOT #nonce = :its"


def _ignore_claims(states: States) -> None:
    for choice in states["Wanted"]["Choices"]:
        if choice["Next"] == "Claim":
            choice["And"] = [one for one in choice["And"] if "LessThan" not in str(one)]


def _any_stage(order: str) -> Callable[[States], None]:
    def plant(states: States) -> None:
        for choice in states["Wanted"]["Choices"]:
            if choice["Next"] == order:
                choice["And"] = [one for one in choice["And"] if one["Variable"] != "$.v.stage"]

    return plant


def _lose_the_claims(states: States) -> None:
    for name in ("Claim", "Report"):
        item = states[name]["Parameters"]["claims"]
        item["S.$"] = item["S.$"].replace("States.StringToJson($.v.claims)", "$.empty")
    states["Named"]["Next"] = "Empty"
    states["Empty"] = {"Type": "Pass", "Result": {}, "ResultPath": "$.empty", "Next": "Read"}


def _no_ticket_needed(states: States) -> None:
    for choice in states["After"]["Choices"]:
        if choice["Next"] == "Probe":
            choice["And"] = choice["And"][:1]


def _all_is_well(states: States) -> None:
    states["Report bad"]["Parameters"]["good"] = "true"


def _no_rest(states: States) -> None:
    states["Cooldown"]["Parameters"] = {"s": 0}


def _alone_always(states: States) -> None:
    states["Alone"]["Default"] = "Look"


def _whose_does_not_matter(states: States) -> None:
    states["Whose"]["Choices"] = states["Whose"]["Choices"][1:]


def _another_nonce_each_time(states: States) -> None:
    item = states["Write"]["Parameters"]
    opened, closed = "$.k.open", "$.k.close"
    values = f"{opened}, {opened}, States.UUID(), {closed}, {closed}"
    word = 'States.Format(\'{}"nonce":{}"S":"{}"{}{}\', ' + values + ")"
    nonce = f"States.StringToJson({word})"
    item["Item.$"] = f"States.JsonMerge({item['Item.$']}, {nonce}, false)"


def _no_epoch(states: States) -> None:
    del states["Trip"]["Parameters"]["epoch"]


def _no_history(states: States) -> None:
    states["Landed"]["Next"] = "After"


def _drop_the_unknown(states: States) -> None:
    item = states["Write"]["Parameters"]
    item["Item.$"] = item["Item.$"].replace("$.base.raw", "$.n.keep")


BROKEN_FOR_MACHINES: Final = Story(broken_machines=True, phases=(HEALTHY,), lasts_s=40.0)
CROWDED: Final = Story(
    workers=2,
    machines_per_s=5.0,
    lasts_s=30.0,
    phases=(Phase(lasts_s=2.0), Phase(lasts_s=20.0, errors=1.0), HEALTHY),
)
BUGS: Final = (
    Bug("a write knows no nonce", _forget_the_nonce, "sequence"),
    Bug("a write stands whatever is there", _write_always, "sequence"),
    Bug("there is always one more ticket", _ignore_claims, "sequence"),
    Bug("a late end of a round ends the next one", _any_stage("Round"), "sequence"),
    Bug("a late trip opens", _any_stage("Calm"), "sequence"),
    Bug("a ticket takes the others away", _lose_the_claims, "sequence"),
    Bug("a write that stands is not known as ours", _whose_does_not_matter, "sequence"),
    Bug("each try has a nonce of its own", _another_nonce_each_time, "sequence"),
    Bug("a trip begins no epoch", _no_epoch, "sequence"),
    Bug("history does not tell", _no_history, "sequence"),
    Bug("what it does not know is lost", _drop_the_unknown, "sequence"),
    Bug("who gets no ticket probes all the same", _no_ticket_needed, "I-11", CROWDED),
    Bug("every probe is told as good", _all_is_well, "I-7", CROWDED),
    Bug("a rest is not kept", _no_rest, "a round began", CROWDED),
    Bug("a machine opens among workers", _alone_always, "I-9", BROKEN_FOR_MACHINES),
)
