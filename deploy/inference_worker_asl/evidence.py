"""What the executions of one machine see together: a sliding window in one item.

    <service>#machines   w#<breaker>   three slices of calls (c0 the newest) and failures (f0),
                                       successes of this stage (good), and when it was first seen

A slice begins with its first call. Whoever counts moves them on first, in the same conditional
write, so that none is counted twice or lost. Evidence is of the stage in which its call was
admitted, and of no other. The clock is that of Step Functions, the same for all.
"""

from typing import Final

from inference_worker_asl import tables
from inference_worker_asl.asl import (
    EVERY,
    LOST,
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
    n,
    number,
    plus,
    put,
    s,
    table,
    task,
    there,
)
from worker.core.policy import BreakerPolicy

PRESENT_S: Final = 21  # a little more than jurors wait for one another
ERRAND_RACES: Final = 3
_NUMBERS: Final = ("w_stage", "w_since", "w_began", "w_good", "c0", "c1", "c2", "f0", "f1", "f2")
_NOTHING: Final = {name: {"N": "0"} for name in _NUMBERS} | {"w_stage": {"N": "-1"}}


def _key() -> State:
    return {
        "pk": {"S": "${Service}#machines"},
        "sk": s(put("w#{}", "$.aim.target.breaker")),
    }


def window(policy: BreakerPolicy) -> States:
    """Read it, and add to it."""
    slice_s = policy.window_s // tables.SLICES
    most = tables.CALLS_MAX
    proof = table(tables.proofs(policy))
    recent, whole = ("$.w.c0", "$.w.c1"), ("$.w.c0", "$.w.c1", "$.w.c2")

    def add(name: str, update: str, condition: str, **values: State) -> State:
        asks = {":one": n(1), ":failed": {"N.$": "$.said.failed"}, ":good": {"N.$": "$.said.good"}}
        return lay(
            "add",
            {
                "name": name,
                "update": update,
                "condition": condition,
                "values": asks | {f":{key}": value for key, value in values.items()},
            },
            "Count",
        )

    same = {"stage": n("$.v.stage"), "began": n("$.w.w_began")}
    here = "w_stage = :stage AND w_began = :began"
    moved = "w_began = :at, c2 = {}, f2 = {}, c1 = {}, f1 = {}, c0 = :one, f0 = :failed"
    later = {**same, "at": n("$.now.at")}
    anew = f"SET w_stage = :stage, w_since = :at, w_good = :good, {moved.format(*[':zero'] * 4)}"
    fresh = {"stage": n("$.v.stage"), "at": n("$.now.at"), "zero": n(0)}
    return {
        "Window": task(
            "dynamodb:getItem",
            {"TableName": "${BreakersTable}", "Key": _key(), "ConsistentRead": True},
            "Any window",
            to="window",
            catch=[(EVERY, "No view")],
        ),
        "No view": choose(
            (is_("$.phase.name", "asking"), "Unseen"),
            (is_("$.phase.name", "passing"), "Unseen"),
            otherwise="Outcome",
        ),
        "Any window": choose((there("$.window.Item"), "Seen window"), otherwise="No window"),
        "No window": {
            "Type": "Pass",
            "Result": {"Item": _NOTHING},
            "ResultPath": "$.window",
            "Next": "Seen window",
        },
        "Seen window": lay(
            "w",
            {f"{name}.$": number(f"$.window.Item.{name}.N") for name in _NUMBERS},
            "Weigh",
        ),
        "Weigh": lay(
            "x",
            {
                "ends.$": plus("$.w.w_began", slice_s),
                "fades.$": plus("$.w.w_began", 2 * slice_s),
                "passes.$": plus("$.w.w_began", 3 * slice_s),
                "calls.$": plus(*whole),
                "failures.$": plus("$.w.f0", "$.w.f1", "$.w.f2"),
                "newest.$": plus("$.w.f0", "$.w.f1"),
                "newest_proof.$": at(proof, plus(*recent)),
                "proof.$": at(proof, plus(*whole)),
            },
            "Weighed",
        ),
        "Weighed": choose(
            (is_("$.phase.name", "learning"), "Slice"),
            (is_("$.phase.name", "learned"), "Weigh up"),
            (is_("$.phase.name", "errand"), "Still bad"),
            otherwise="Sick",
        ),
        # --- adding
        "Slice": choose(
            (
                both(
                    compare("$.w.w_stage", "=", "$.v.stage"),
                    compare("$.now.at", "<", "$.x.ends"),
                    compare("$.w.c0", "<", most),
                ),
                "Same slice",
            ),
            (
                both(
                    compare("$.w.w_stage", "=", "$.v.stage"),
                    compare("$.now.at", "<", "$.x.fades"),
                ),
                "Next slice",
            ),
            (
                both(
                    compare("$.w.w_stage", "=", "$.v.stage"),
                    compare("$.now.at", "<", "$.x.passes"),
                ),
                "Slice after",
            ),
            (
                compare("$.w.w_stage", "=", "$.v.stage"),
                "Long after",
            ),
            # Of a stage that is neither ours nor the one that was there as the call began.
            (
                both(
                    compare("$.phase.raced", ">", 0),
                    {"Not": compare("$.w.w_stage", "=", "$.phase.stage")},
                ),
                "Outcome",
            ),
            (compare("$.w.w_stage", "=", -1), "First stage"),
            # Of a later stage: others are ahead of what was read here. In the end it is nobody's:
            # a verdict that was lost begins anew.
            (
                both(
                    compare("$.w.w_stage", ">", "$.v.stage"),
                    compare("$.now.at", "<", "$.x.passes"),
                ),
                "Outcome",
            ),
            otherwise="Another stage",
        ),
        "Same slice": add(
            "same",
            "ADD c0 :one, f0 :failed, w_good :good",
            f"{here} AND c0 < :most",
            **same,
            most=n(most),
        ),
        "Next slice": add(
            "next", f"SET {moved.format('c1', 'f1', 'c0', 'f0')} ADD w_good :good", here, **later
        ),
        "Slice after": add(
            "after",
            f"SET {moved.format('c0', 'f0', ':zero', ':zero')} ADD w_good :good",
            here,
            **later,
            zero=n(0),
        ),
        "Long after": add(
            "long",
            f"SET {moved.format(*[':zero'] * 4)} ADD w_good :good",
            here,
            **later,
            zero=n(0),
        ),
        "First stage": add("first", anew, "attribute_not_exists(pk)", **fresh),
        "Another stage": add(
            "another",
            anew,
            "w_stage = :was AND w_began = :began",
            **fresh,
            was=n("$.w.w_stage"),
            began=n("$.w.w_began"),
        ),
        "Count": task(
            "dynamodb:updateItem",
            {
                "TableName": "${BreakersTable}",
                "Key": _key(),
                "UpdateExpression.$": "$.add.update",
                "ConditionExpression.$": "$.add.condition",
                "ExpressionAttributeValues.$": "$.add.values",
                "ReturnValues": "ALL_NEW",
            },
            "Counted",
            to="counted",
            catch=[(LOST, "Miscounted"), (EVERY, "Outcome")],
            # It adds: a try whose answer is lost may have counted, and is not made again.
            tries=0,
        ),
        "Miscounted": choose(
            (compare("$.phase.raced", ">=", ERRAND_RACES), "Outcome"), otherwise="Count again"
        ),
        "Count again": lay(
            "phase",
            {
                "name": "learning",
                "raced.$": plus("$.phase.raced", 1),
                "stage.$": "$.phase.stage",
            },
            "Window",
        ),
        "Counted": lay("window", {"Item.$": "$.counted.Attributes"}, "Learned"),
        "Learned": lay("phase", {"name": "learned"}, "Seen window"),
    }


def judging(policy: BreakerPolicy) -> States:
    """What the window says: an order, or none."""
    bad = either(
        compare("$.x.newest", ">=", "$.x.newest_proof"),
        compare("$.x.failures", ">=", "$.x.proof"),
    )
    good = both(
        is_("$.v.state", "ramp"),
        compare("$.w.w_good", ">=", policy.ramp_calls),
        compare("$.w.w_good", ">=", "$.earned.good"),
    )
    return {
        # Before a call: what is surely bad is not called, whoever may open the circuit.
        "Sick": choose(
            (
                both(
                    is_("$.phase.name", "asking"),
                    compare("$.w.w_stage", "=", "$.v.stage"),
                    compare("$.n.at", "<", "$.x.fades"),
                    bad,
                ),
                "Refused",
            ),
            otherwise="Admitted",
        ),
        "Weigh up": lay(
            "earned",
            {"good.$": at(table(tables.earned(policy)), "$.x.failures")},
            "Judged",
        ),
        "Judged": choose(
            (both(bad, is_("$.v.state", "ramp")), "Worse step"),
            (bad, "Bad target"),
            (good, "Better step"),
            otherwise="Outcome",
        ),
        "Bad target": _want("trip", "Seats"),
        "Worse step": _want("step_down", "Seats"),
        "Better step": _want("step_up", "Look"),
        "Judge": {
            "Type": "Pass",
            "InputPath": "$.in.want",
            "ResultPath": "$.want",
            "Next": "Seats",
        },
        # Who opens by the word of machines alone must know that there is no other juror.
        "Seats": _seats("seats", "Alone"),
        "Alone": choose(
            (compare("$.seats.Count", "=", 0), "Look"),
            (is_("$.in.errand", "judge"), "Watch"),
            otherwise="Want judge",
        ),
        "Watch": {"Type": "Wait", "Seconds": PRESENT_S, "Next": "Watched"},
        "Watched": _seats("seen", "Compare"),
        "Compare": lay(
            "beats",
            {
                "before.$": call("JsonToString", "$.seats.Items"),
                "after.$": call("JsonToString", "$.seen.Items"),
            },
            "Anybody",
        ),
        "Anybody": choose(
            ({"Variable": "$.beats.before", "StringEqualsPath": "$.beats.after"}, "Nobody"),
            otherwise="Errand done",
        ),
        "Nobody": lay("phase", {"name": "errand"}, "Window"),
        "Still bad": choose(
            (
                both(compare("$.w.w_stage", "=", "$.want.stage"), bad),
                "Look",
            ),
            otherwise="Errand done",
        ),
    }


def _want(order: str, then: str) -> State:
    since = f"States.MathAdd($.now.at, {number(put('-{}', '$.w.w_since'))})"
    return lay(
        "want",
        {
            "order": order,
            "stage.$": "$.v.stage",
            "calm_s.$": since,
            "why.$": put(
                "{} of {} calls of state machines "
                + ("ended well" if order == "step_up" else "failed"),
                "$.w.w_good" if order == "step_up" else "$.x.failures",
                "$.x.calls",
            ),
            "claim": "",
            "then": "outcome",
        },
        then,
    )


def _seats(to: str, then: str) -> State:
    return task(
        "aws-sdk:dynamodb:query",
        {
            "TableName": "${BreakersTable}",
            "ConsistentRead": True,
            "KeyConditionExpression": "pk = :pk",
            "FilterExpression": "holder <> :nobody",
            "ProjectionExpression": "beat",
            "ExpressionAttributeValues": {
                ":pk": {"S": "${Service}#jury"},
                ":nobody": {"S": ""},
            },
        },
        then,
        to=to,
        catch=[(EVERY, "Outcome")],
    )
