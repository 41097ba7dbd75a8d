"""One call of a model: what it says for and against its target, and to the user.

What is a failure, what is none and what is of no use is as the workers have it.
"""

from typing import Final

from inference_worker_asl import clock
from inference_worker_asl.asl import (
    EVERY,
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
    plus,
    table,
    task,
    there,
)
from inference_worker_asl.job import conclude
from worker.core.answer import BLOCKED
from worker.core.policy import BreakerPolicy

BACKOFFS: Final = (3, 5)  # seconds: the pause before each further call of a target is shorter
MAX_TOKENS: Final = 1024
CALL_S: Final = 60
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
        "Want verdict": lay("want", conclude(overdue=False, then="outcome"), "Look"),
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
