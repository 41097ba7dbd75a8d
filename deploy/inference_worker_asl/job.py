"""A job's way through the machine: to a model, to the workers, or to what is left.

Through the queue the workers' breaker decides, and the machine waits for their word. Called
directly, each target is asked about by its verdict first, and told of by its outcome after.
"""

from typing import Final

from inference_worker_asl import orders
from inference_worker_asl.asl import (
    EVERY,
    K,
    State,
    States,
    at,
    both,
    call,
    choose,
    compare,
    either,
    is_,
    lay,
    merged,
    number,
    plus,
    put,
    task,
    text,
)
from worker.core.policy import BreakerPolicy

RESTS_MAX: Final = 20
ROUND_MARGIN_S: Final = 6  # behind the probes' own limit, as workers wait, and one to be sure

_PLAN: Final = [
    {"breaker": "${Target}", "model": "${ModelId}"},
    {"breaker": "${AlternateTarget}", "model": "${AlternateModelId}"},
    {"breaker": "${ElsewhereTarget}", "model": "${ElsewhereModelId}"},
]
_INPUT: Final = {
    "prompt": "",
    "through": "${Through}",
    "wait": False,
    "errand": "none",
    "plan": _PLAN,
    "want": {"stage": -1},
}

CONSTANTS: Final = K | {"input": _INPUT, "item": orders.DEFAULTS, "order": orders.NO_ORDER}


def beginning() -> States:
    """What is asked, with defaults; then one target after the other."""
    return {
        "Begin": {"Type": "Pass", "Result": CONSTANTS, "ResultPath": "$.k", "Next": "Start"},
        "Start": {
            "Type": "Pass",
            "Parameters": {
                "k.$": "$.k",
                "in.$": merged("$.k.input", "$$.Execution.Input"),
                "aim": {"target": {}, "next": 0, "tried": 0},
                "races": {"lost": 0},
                "rests": {"taken": 0},
                "seen": {"stage": -1},
                "said": {"word": "none"},
            },
            "Next": "Size",
        },
        "Size": lay("size", {"plan.$": call("ArrayLength", "$.in.plan")}, "How"),
        "How": choose(
            (both(is_("$.in.through", "queue"), is_("$.in.errand", "none")), "Hand over"),
            otherwise="Pick",
        ),
        "Pick": choose((compare("$.aim.next", "<", "$.size.plan"), "Aim"), otherwise="Fall back"),
        "Aim": lay(
            "aim",
            {
                "target.$": at("$.in.plan", "$.aim.next"),
                "next.$": plus("$.aim.next", 1),
                "tried": 0,
            },
            "Named target",
        ),
        "Named target": choose(
            (is_("$.aim.target.model", ""), "Pick"),
            (is_("$.in.errand", "judge"), "Judge"),
            otherwise="Ask",
        ),
        "Ask": lay("want", {"order": "look", "claim": ""}, "Look"),
        # The store is out of reach, and keeps no job from its model.
        "Blind": choose((is_("$.want.order", "look"), "Unseen"), otherwise="Not held"),
        "Unseen": lay("phase", {"name": "unseen"}, "Admitted"),
    }


def standing() -> States:
    """What the verdict allows: `worker/core/gate.py`, for one job."""
    in_force = compare("$.v.override.until_at", ">", "$.n.at")
    rested = compare("$.seen.stage", "=", "$.v.stage")
    half_open = is_("$.v.state", "half_open")
    return {
        "Standing": choose(
            (both(in_force, is_("$.v.override.mode", "hold_open")), "Held"),
            (both(in_force, is_("$.v.override.mode", "hold_closed")), "Passing"),
            (is_("$.v.state", "closed"), "Asking"),
            (is_("$.v.state", "ramp"), "Draw"),
            (both(half_open, compare("$.v.claimed", "<", "$.v.tickets")), "Want ticket"),
            (both(half_open, rested), "Want end"),
            (both(is_("$.v.state", "open"), rested), "Want round"),
            otherwise="Refused",
        ),
        "Asking": lay("phase", {"name": "asking"}, "Window"),
        "Passing": lay("phase", {"name": "passing"}, "Window"),
        "Draw": lay(
            "drawn",
            {"roll.$": number(put("{}e-3", call("MathRandom", 0, 1000)))},
            "Drawn",
        ),
        "Drawn": choose((compare("$.drawn.roll", "<", "$.v.share"), "Asking"), otherwise="Refused"),
        "Want round": lay(
            "want", {"order": "begin", "stage.$": "$.v.stage", "claim": ""}, "Wanted"
        ),
        "Want ticket": lay(
            "want",
            {
                "order": "claim",
                "epoch.$": "$.v.epoch",
                "round.$": "$.v.round",
                "claim.$": call("UUID"),
            },
            "Wanted",
        ),
        "Want end": lay("want", conclude(overdue=True, then="look"), "Wanted"),
        "After": choose(
            (is_("$.want.order", "begin"), "Ask"),
            (both(is_("$.want.order", "claim"), is_("$.landed.ok", value=True)), "Probe"),
            (is_("$.want.order", "claim"), "Refused"),
            (is_("$.want.order", "report"), "Want verdict"),
            (both(is_("$.want.order", "conclude"), is_("$.want.then", "look")), "Ask"),
            (is_("$.in.errand", "judge"), "Errand done"),
            otherwise="Outcome",
        ),
        # An order to observe: all is decided as ever, and every call passes.
        "Refused": choose(
            (both(in_force, is_("$.v.override.mode", "observe")), "Unseen"),
            (
                both(is_("$.in.wait", value=True), compare("$.rests.taken", "<", RESTS_MAX)),
                "Rest",
            ),
            (is_("$.in.errand", "recover"), "Errand done"),
            (either(is_("$.v.state", "open"), half_open), "Want recovery"),
            otherwise="Pick",
        ),
        "Held": choose((is_("$.in.errand", "recover"), "Errand done"), otherwise="Pick"),
    }


def conclude(*, overdue: bool, then: str) -> State:
    """The order to end a round of probes, about the stage as it was seen."""
    stage = {"stage.$": "$.v.stage", "claim": ""}
    return {"order": "conclude", "overdue": overdue, "then": then, **stage}


def resting(policy: BreakerPolicy) -> States:
    """A length of time, counted here from when the stage was seen here."""
    return {
        "Rest": lay("rests", {"taken.$": plus("$.rests.taken", 1)}, "How long"),
        "How long": choose(
            (is_("$.v.state", "open"), "Cooldown"),
            (is_("$.v.state", "half_open"), "Round end"),
            otherwise="A moment",
        ),
        "Cooldown": lay("rest", {"s.$": plus("$.v.cooldown_s", 1)}, "Resting"),
        "Round end": lay("rest", {"s": int(policy.probe_s) + ROUND_MARGIN_S}, "Resting"),
        "A moment": lay("rest", {"s": 2}, "Resting"),
        "Resting": {"Type": "Wait", "SecondsPath": "$.rest.s", "Next": "Rested"},
        "Rested": lay("seen", {"stage.$": "$.v.stage"}, "Ask"),
    }


def errands() -> States:
    """What no job is to wait for, in an execution of its own: one a minute of a stage.

    Its name says what it is about; a second one finds the name taken. An execution that died
    holds nobody up for longer than that minute.
    """
    states: States = {"Errand done": {"Type": "Pass", "Result": {"status": "errand"}, "End": True}}
    # Where it leads on: a job that was refused to the next target, one that was served to its end.
    for errand, lay_name, start, then in (
        ("recover", "Want recovery", "Start recovery", "Pick"),
        ("judge", "Want judge", "Start judge", "Outcome"),
    ):
        minute = [f"$.entered.parts[{part}]" for part in range(5)]
        name = put(
            f"{errand}-" + "-".join(["{}"] * 7),
            call("Hash", "$.aim.target.breaker", text("MD5")),
            "$.v.stage",
            *minute,
        )
        states |= {
            lay_name: lay(
                "entered",
                {"parts.$": call("StringSplit", "$$.State.EnteredTime", text("-T:.Z+"))},
                start,
            ),
            start: task(
                "states:startExecution",
                {
                    "StateMachineArn.$": "$$.StateMachine.Id",
                    "Name.$": name,
                    "Input": {
                        "errand": errand,
                        "wait": errand == "recover",
                        "prompt.$": "$.in.prompt",
                        "plan.$": call("Array", "$.aim.target"),
                        "want.$": "$.want",
                    },
                },
                then,
                to=None,
                catch=[(EVERY, then)],
                tries=0,
            ),
        }
    return states
