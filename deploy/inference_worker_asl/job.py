"""A job's way through the machine: to a model, to the workers, or to what is left.

Through the queue the workers' breaker decides, and the machine waits for their word. Called
directly, each target is asked about by its verdict first, and told of by its outcome after.
"""

from typing import Final

from inference_worker_asl import clock, orders
from inference_worker_asl.asl import (
    EVERY,
    K,
    State,
    States,
    alike,
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
    s,
    table,
    task,
    text,
    there,
)
from worker.core.answer import BLOCKED
from worker.core.policy import BreakerPolicy

BACKOFFS: Final = (3, 5)  # seconds: the pause before each further call of a target is shorter
RESTS_MAX: Final = 20
MAX_TOKENS: Final = 1024
CALL_S: Final = 60
ROUND_MARGIN_S: Final = 6  # behind the probes' own limit, as workers wait, and one to be sure
DEADLINE_S: Final = 300  # of a job that goes to the workers
ANSWER_S: Final = DEADLINE_S + 60  # for them to say that it is late
TOO_LONG: Final = "model_context_window_exceeded"
BLOCKS: Final = 3  # of an answer, among which a text is looked for: thoughts may stand before it

# Parts of the names of errors that say nothing against a target: `core/fault.py` has their votes.
PACED: Final = ("Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown")
SILENT: Final = (
    "AccessDenied",
    "Conflict",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignature",
    "MPAgreement",
    "MissingAuthentication",
    "NotAuthorized",
    "OptInRequired",
    "Permissions",
    "RequestExpired",
    "RequestInTheFuture",
    "ResourceNotFound",
    "Serialization",
    "ServiceQuotaExceeded",
    "SignatureDoesNotMatch",
    "UnknownOperation",
    "UnrecognizedClient",
    "Validation",
)
_PLAN: Final = [
    {"breaker": "${Target}", "model": "${ModelId}"},
    {"breaker": "${AlternateTarget}", "model": "${AlternateModelId}"},
    {"breaker": "${ElsewhereTarget}", "model": "${ElsewhereModelId}"},
]
_INPUT: Final = {
    "prompt": "",
    "tenant": "",
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
        "Want end": lay("want", _conclude(overdue=True, then="look"), "Wanted"),
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


def _conclude(*, overdue: bool, then: str) -> State:
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


def calling(policy: BreakerPolicy) -> States:
    """One call of a model, and what it says for and against it."""

    def converse(then: str, otherwise: str, timeout_s: int) -> State:
        return task(
            "aws-sdk:bedrockruntime:converse",
            {
                "ModelId.$": "$.aim.target.model",
                "Messages": [{"Role": "user", "Content": [{"Text.$": "$.in.prompt"}]}],
                "InferenceConfig": {"MaxTokens": MAX_TOKENS},
            },
            then,
            to="reply",
            catch=[(EVERY, otherwise)],
            timeout_s=timeout_s,
            tries=0,  # each call is asked for and told of by itself
        )

    # 200 is not success: without an answer, a reason to stop or its price it is none.
    whole = both(
        there("$.reply.Output.Message.Content"),
        there("$.reply.StopReason"),
        there("$.reply.Usage"),
    )
    too_long = both(whole, is_("$.reply.StopReason", TOO_LONG))
    paced = either(*(alike("$.error.Error", f"*{part}*") for part in PACED))
    silent = either(*(alike("$.error.Error", f"*{part}*") for part in SILENT))

    def said(word: str, failed: int, then: str) -> State:
        return lay("said", {"word": word, "failed": str(failed), "good": str(1 - failed)}, then)

    def report(good: str) -> State:
        want = {
            "order": "report",
            "epoch.$": "$.want.epoch",
            "round.$": "$.want.round",
            "claim.$": "$.want.claim",
            "good": good,
        }
        return lay("want", want, "Look")

    return {
        "Admitted": choose((is_("$.in.errand", "recover"), "Errand done"), otherwise="Call"),
        "Call": converse("Answer", "Fault", CALL_S),
        "Answer": choose((too_long, "Silent"), (whole, "Good"), otherwise="Bad"),
        "Fault": choose((paced, "Paced"), (silent, "Silent"), otherwise="Bad"),
        "Good": said("good", 0, "Learn"),
        "Bad": said("bad", 1, "Learn"),
        "Paced": lay("said", {"word": "bad"}, "Outcome"),
        "Silent": lay("said", {"word": "silent"}, "Outcome"),
        "Learn": choose((is_("$.phase.name", "unseen"), "Outcome"), otherwise="Clock"),
        "Clock": lay("clock", clock.parts(), "Now"),
        "Now": lay("now", {"at.$": clock.total("$.clock")}, "Learning"),
        "Learning": lay(
            "phase", {"name": "learning", "raced": 0, "stage.$": "$.w.w_stage"}, "Slice"
        ),
        "Probe": converse("Probe answer", "Probe fault", int(policy.probe_s)),
        "Probe answer": choose((too_long, "Silent"), (whole, "Good probe"), otherwise="Bad probe"),
        # What tells nothing leaves the ticket to the end of its round.
        "Probe fault": choose((paced, "Paced"), (silent, "Silent"), otherwise="Bad probe"),
        "Good probe": said("good", 0, "Report good"),
        "Bad probe": said("bad", 1, "Report bad"),
        "Report good": report("true"),
        "Report bad": report("false"),
        "Want verdict": lay("want", _conclude(overdue=False, then="outcome"), "Look"),
        "Outcome": choose(
            (is_("$.in.errand", "recover"), "Errand done"),
            (is_("$.in.errand", "judge"), "Errand done"),
            (is_("$.said.word", "good"), "Any text"),
            (
                both(is_("$.said.word", "bad"), compare("$.aim.tried", "<", len(BACKOFFS))),
                "Back off",
            ),
            otherwise="Pick",
        ),
        "Back off": lay(
            "rest",
            {"s.$": call("MathRandom", 1, at(table(BACKOFFS), "$.aim.tried"))},
            "Backing off",
        ),
        "Backing off": {"Type": "Wait", "SecondsPath": "$.rest.s", "Next": "Again"},
        "Again": lay(
            "aim",
            {
                "target.$": "$.aim.target",
                "next.$": "$.aim.next",
                "tried.$": plus("$.aim.tried", 1),
            },
            "Ask",
        ),
        **_answering(),
    }


def _answering() -> States:
    """From a model that is well to its user: not all that it says is of use there."""
    reply, text_at = "$.reply.StopReason", "$.reply.Output.Message.Content[{}].Text"
    about = {
        "stop_reason.$": reply,
        "usage.$": "$.reply.Usage",
        "served_by.$": "$.aim.target.breaker",
    }

    def done(**told: str) -> State:
        return {"Type": "Pass", "Parameters": {**told, **about}, "End": True}

    # A path with a number in it is a list to some interpreters.
    places = range(BLOCKS)
    blocks = {
        f"Block {n}": lay("first", {"block.$": at("$.reply.Output.Message.Content", n)}, "Done")
        for n in places
    }
    return {
        "Any text": choose(
            (either(*(is_(reply, stop) for stop in sorted(BLOCKED))), "Blocked"),
            (alike(reply, "malformed_*"), "Pick"),
            *((there(text_at.format(n)), f"Block {n}") for n in places),
            otherwise="Pick",
        ),
        "Blocked": done(status="blocked"),
        **blocks,
        "Done": done(**{"status": "ok", "text.$": "$.first.block.Text"}),
    }


def through_the_queue() -> States:
    """To the workers, and wait for their word."""
    return {
        "Hand over": task(
            "sqs:sendMessage.waitForTaskToken",
            {
                "QueueUrl": "${JobsQueueUrl}",
                "MessageBody": {
                    "id.$": put("{}:ask", "$$.Execution.Name"),
                    "prompt.$": "$.in.prompt",
                    "deadline_s": DEADLINE_S,
                    "task_token.$": "$$.Task.Token",
                },
            },
            "Handed over",
            # In the place of all that is there: a result may be as large as a state can be.
            to="",
            catch=[(EVERY, "Fall back")],
            timeout_s=ANSWER_S,
            tries=0,
        ),
        "Handed over": {
            "Type": "Pass",
            "Parameters": {"status.$": "$.status", "result.$": "$"},
            "End": True,
        },
    }


def falling_back() -> States:
    """No model: the answer that a worker got to the same request, else a text of yours."""
    opened, closed = "$.k.open", "$.k.close"
    asked = put(
        '[1,"",[{}"content":[{}"text":{}{}],"role":"user"{}],[],{}{},null,null]',
        *(opened, opened, call("JsonToString", "$.in.prompt"), closed, closed, opened, closed),
    )
    fresh = both(
        there("$.cache.Item"),
        there("$.cache.Item.ttl"),
        there("$.cache.Item.content"),
    )
    branch: States = {
        "Cached": task(
            "dynamodb:getItem",
            {
                "TableName": "${CacheTable}",
                "Key": {"key": s(call("Hash", asked, text("SHA-256")))},
            },
            "Any entry",
            to="cache",
        ),
        "Any entry": choose((fresh, "Entry"), otherwise="No entry"),
        "Entry": lay(
            "entry",
            {
                "content.$": number(call("Base64Decode", "$.cache.Item.content.B")),
                "ttl.$": number("$.cache.Item.ttl.N"),
                "clock": clock.parts(),
            },
            "Entry now",
        ),
        "Entry now": lay("now", {"at.$": clock.total("$.entry.clock")}, "Entry age"),
        "Entry age": choose(
            (compare("$.entry.ttl", ">", "$.now.at"), "Entry block"), otherwise="No entry"
        ),
        "Entry block": lay("first", {"block.$": at("$.entry.content", 0)}, "Read entry"),
        "Read entry": {
            "Type": "Pass",
            "Parameters": {"text.$": "$.first.block.text"},
            "End": True,
        },
        "No entry": {"Type": "Fail", "Error": "NoEntry", "Cause": "The cache has no such answer."},
    }
    return {
        "Fall back": choose((is_("$.in.errand", "none"), "Cache"), otherwise="Errand done"),
        # Whatever goes wrong in it, the next thing is tried.
        "Cache": {
            "Type": "Parallel",
            "Branches": [{"StartAt": "Cached", "States": branch}],
            "ResultSelector": {"one.$": "$[0]"},
            "ResultPath": "$.cached",
            "Catch": [{"ErrorEquals": [EVERY], "ResultPath": "$.error", "Next": "Rule"}],
            "Next": "From cache",
        },
        "From cache": {
            "Type": "Pass",
            "Parameters": {
                "status": "degraded",
                "handler": "cache",
                "text.$": "$.cached.one.text",
            },
            "End": True,
        },
        "Rule": {
            "Type": "Pass",
            "Result": {"text": "${Sorry}"},
            "ResultPath": "$.rule",
            "Next": "Any rule",
        },
        "Any rule": choose((is_("$.rule.text", ""), "Unserved"), otherwise="From rule"),
        "From rule": {
            "Type": "Pass",
            "Parameters": {"status": "degraded", "handler": "rule", "text.$": "$.rule.text"},
            "End": True,
        },
        "Unserved": {
            "Type": "Fail",
            "Error": "InferenceWorker.unserved",
            "Cause": "No target could serve the job, and nothing else had an answer.",
        },
    }
