"""Every order that the machine gives, as states: `worker/core/moves.py` in another language.

    Look     read the verdict, and lay its values out, absent ones as their defaults
    Wanted   does `$.want` hold of what is there? If it does: what it makes of it, `$.change`
    Write    one conditional write of everything that moves; what it does not know stays
    Doubted  refused, or no answer: whose write is there now? Ours by its nonce, or ask again
    Tell     a change of the stage is a row of the history

So it is `Orders.give` of the runtime. `After` leads on, by what was wanted; `$.landed.ok` says
whether it stands.
"""

from typing import Final

from inference_worker_asl import clock, tables
from inference_worker_asl.asl import (
    EVERY,
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
    minus,
    n,
    number,
    plus,
    put,
    s,
    table,
    task,
    text,
    there,
)
from worker.core.policy import LEVEL_MAX, BreakerPolicy

RACES_MAX: Final = 8  # as the runtime's
KEEP_S: Final = 90 * 86_400  # a row of the history
_DIGITS: Final = 12
DEFAULTS: Final = {
    "state": {"S": "closed"},
    "share": {"N": "1.0"},
    "stage": {"N": "0"},
    "epoch": {"N": "0"},
    "round": {"N": "0"},
    "level": {"N": "0"},
    "cooldown_s": {"N": "0.0"},
    "tickets": {"N": "0"},
    "claims": {"S": "{}"},
    "why": {"S": ""},
    "at": {"N": "0.0"},
    "override": {"S": "{}"},
}
NO_ORDER: Final = {"mode": "enforce", "until_at": 0}
_COUNTS: Final = ("version", "stage", "epoch", "round", "level", "tickets")
_FOUND: Final = "$.base.item"


def _key() -> State:
    return {
        "pk": {"S": "${Service}#verdicts"},
        "sk": s(put("v#{}", "$.aim.target.breaker")),
    }


def _read() -> State:
    return {
        "TableName": "${BreakersTable}",
        "Key": _key(),
        "ConsistentRead": True,
    }


def looking() -> States:
    """From the store to `$.v` and `$.n`: what is there, and what a write of ours would keep."""
    return {
        "Look": task("dynamodb:getItem", _read(), "Found", to="got", catch=[(EVERY, "Blind")]),
        "Found": choose(
            # A later schema is left alone: to us it is absent, and a write is refused.
            (
                both(
                    there("$.got.Item"),
                    there("$.got.Item.version"),
                    {"Not": there("$.got.Item.schema")},
                ),
                "Stored",
            ),
            otherwise="Absent",
        ),
        "Absent": {
            "Type": "Pass",
            "Result": {
                "item": DEFAULTS | {"version": {"N": "0"}},
                "raw": {},
                # Nothing is there. An expression must use a value, and no key is this one.
                "condition": "attribute_not_exists(#pk) OR #pk = :nobody",
                "names": {"#pk": "pk"},
                "values": {":nobody": {"S": "nobody"}},
            },
            "ResultPath": "$.base",
            "Next": "Read",
        },
        "Stored": choose((there("$.got.Item.nonce"), "Named"), otherwise="Nameless"),
        "Named": lay("base", _base("#version = :was AND #nonce = :its", named=True), "Read"),
        "Nameless": lay(
            "base", _base("#version = :was AND attribute_not_exists(#nonce)", named=False), "Read"
        ),
        "Read": lay("v", _verdict(), "Keep"),
        "Keep": lay(
            "n",
            {
                "at.$": clock.total("$.v.clock"),
                "version.$": plus("$.v.version", 1),
                "keep": _kept(),
            },
            "Wanted",
        ),
    }


def _base(condition: str, *, named: bool) -> State:
    values: State = {":was": {"N.$": "$.got.Item.version.N"}}
    if named:
        values[":its"] = s("$.got.Item.nonce.S")
    return {
        "item.$": merged("$.k.item", "$.got.Item"),
        "raw.$": "$.got.Item",
        "condition": condition,
        "names": {"#version": "version", "#nonce": "nonce"},
        "values": values,
    }


def _verdict() -> State:
    claims = f"{_FOUND}.claims.S"
    # Claims are hex: of all texts in it, "t" stands in each true alone, and "s" in each false.
    ours = put('"{}":null', "$.want.claim")
    return {
        "state.$": f"{_FOUND}.state.S",
        **{f"{name}.$": number(f"{_FOUND}.{name}.N") for name in (*_COUNTS, "share", "cooldown_s")},
        "claims.$": claims,
        "claimed.$": plus(call("ArrayLength", call("StringSplit", claims, text(":"))), -1),
        "good.$": plus(call("ArrayLength", call("StringSplit", claims, text("t"))), -1),
        "bad.$": plus(call("ArrayLength", call("StringSplit", claims, text("s"))), -1),
        "ours.$": call("ArrayContains", call("StringSplit", claims, "$.k.words"), "$.want.claim"),
        "unsaid.$": call("ArrayContains", call("StringSplit", claims, "$.k.pairs"), ours),
        "override.$": merged("$.k.order", number(f"{_FOUND}.override.S")),
        "nonce.$": call("UUID"),
        "clock": clock.parts(),
    }


def _kept() -> State:
    return {
        **_key(),
        "state": s("$.v.state"),
        "share": {"N.$": f"{_FOUND}.share.N"},
        "version": n(plus("$.v.version", 1)),
        **{name: n(f"$.v.{name}") for name in _COUNTS if name != "version"},
        "cooldown_s": {"N.$": f"{_FOUND}.cooldown_s.N"},
        "claims": s("$.v.claims"),
        "why": s(f"{_FOUND}.why.S"),
        "writer": {"S": "${Machine}"},
        "nonce": s("$.v.nonce"),
        "at": {"N.$": f"{_FOUND}.at.N"},
    }


# --- what holds, and what it makes -----------------------------------------------


def _about(order: str, state: str, *more: State) -> State:
    return both(is_("$.want.order", order), is_("$.v.state", state), *more)


def moves(policy: BreakerPolicy) -> States:
    """From `Wanted` to `Write`, or to `Not held`."""
    this_stage = compare("$.v.stage", "=", "$.want.stage")
    this_round = (
        compare("$.v.epoch", "=", "$.want.epoch"),
        compare("$.v.round", "=", "$.want.round"),
    )
    return {
        "Wanted": choose(
            (is_("$.want.order", "look"), "Standing"),
            (_about("trip", "closed", this_stage), "Calm"),
            (_about("begin", "open", this_stage), "Begin round"),
            (
                _about(
                    "claim",
                    "half_open",
                    *this_round,
                    compare("$.v.claimed", "<", "$.v.tickets"),
                    is_("$.v.ours", value=False),
                ),
                "Claim",
            ),
            (
                _about("report", "half_open", *this_round, is_("$.v.unsaid", value=True)),
                "Report",
            ),
            (_about("conclude", "half_open", this_stage), "Round"),
            (_about("step_up", "ramp", this_stage), "Step up"),
            (_about("step_down", "ramp", this_stage), "Step down"),
            otherwise="Not held",
        ),
        "Not held": {
            "Type": "Pass",
            "Result": {"ok": False},
            "ResultPath": "$.landed",
            "Next": "After",
        },
        **_opening(policy),
        **_probing(policy),
        **_ramp(policy),
    }


def _changes(state: str, share: object, why: str, **more: State) -> State:
    """Another stage."""
    return {
        "state": s(state),
        "share": n(share),
        "stage": n(plus("$.v.stage", 1)),
        "at": n("$.n.at"),
        "why": s(why),
        "tickets": n(0),
        "claims": s("{}"),
        **more,
    }


def _opening(policy: BreakerPolicy) -> States:
    forgive_s = int(policy.forgive_s)
    rest = at(at(table(tables.rests(policy)), "$.row.number"), call("MathRandom", 0, tables.ROLLS))

    def opens(why: str, **more: State) -> State:
        return _changes(
            "open",
            0.0,
            why,
            level=n("$.level.number"),
            cooldown_s={"N.$": rest},
            **more,
        )

    epoch = {"epoch": n(plus("$.v.epoch", 1))}
    left = plus("$.v.level", LEVEL_MAX, minus("$.forgiven.steps"))
    return {
        "Calm": choose(
            (compare("$.want.calm_s", "<", forgive_s), "Forgive nothing"),
            (compare("$.want.calm_s", ">=", LEVEL_MAX * forgive_s), "Forgive all"),
            otherwise="Forgive some",
        ),
        "Forgive nothing": lay("forgiven", {"steps": 0}, "Lower"),
        "Forgive all": lay("forgiven", {"steps": LEVEL_MAX}, "Lower"),
        "Forgive some": lay(
            "forgiven",
            {
                "steps.$": call(
                    "ArrayLength", call("ArrayRange", forgive_s, "$.want.calm_s", forgive_s)
                )
            },
            "Lower",
        ),
        "Lower": lay("level", {"number.$": at(table(tables.lowered()), left)}, "Trip rest"),
        "Trip rest": _row(policy, "Trip"),
        "Trip": lay("change", opens("$.want.why", **epoch), "Write"),
        "Raise": lay("level", {"number.$": at(table(tables.raised()), "$.v.level")}, "Raise rest"),
        "Raise rest": choose((is_("$.want.order", "conclude"), "Bad rest"), otherwise="Trip rest"),
        "Stay": lay("level", {"number.$": "$.v.level"}, "Bad rest"),
        "Bad rest": _row(policy, "Bad round"),
        "Bad round": lay("change", opens("$.round.tally"), "Write"),
    }


def _row(policy: BreakerPolicy, then: str) -> State:
    return lay("row", {"number.$": at(table(tables.rest_row(policy)), "$.level.number")}, then)


def _probing(policy: BreakerPolicy) -> States:
    def word(outcome: str) -> str:
        return put('{}"{}":{}{}', "$.k.open", "$.want.claim", outcome, "$.k.close")

    def claims(outcome: str) -> State:
        laid = merged(number("$.v.claims"), number(word(outcome)))
        return {"claims": s(call("JsonToString", laid))}

    over = either(is_("$.want.overdue", value=True), compare("$.v.bad", ">=", "$.round.hopeless"))
    return {
        "Begin round": lay(
            "change",
            _changes(
                "half_open",
                0.0,
                "the rest is over and a job waits",
                round=n(plus("$.v.round", 1)),
                tickets=n(policy.probes),
            ),
            "Write",
        ),
        "Claim": lay("change", claims(text("null")), "Write"),
        "Report": lay("change", claims("$.want.good"), "Write"),
        "Round": lay(
            "round",
            {
                "need.$": at(table(tables.needed(policy)), "$.v.tickets"),
                "hopeless.$": at(table(tables.hopeless(policy)), "$.v.tickets"),
                "tally.$": put(
                    "{} of {} probes good, {} bad",
                    "$.v.good",
                    "$.v.tickets",
                    "$.v.bad",
                ),
            },
            "Round is over",
        ),
        "Round is over": choose(
            (compare("$.v.good", ">=", "$.round.need"), "Good round"),
            # Without one bad probe the round says nothing: its probers died.
            (both(over, compare("$.v.bad", "=", 0)), "Stay"),
            (over, "Raise"),
            otherwise="Not held",
        ),
        "Good round": lay("change", _changes("ramp", policy.ramp[0], "$.round.tally"), "Write"),
    }


def _ramp(policy: BreakerPolicy) -> States:
    def stair(share: float) -> str:
        return f"Share {share:g}"

    stairs = {
        stair(share): lay("change", _changes("ramp", share, "$.want.why"), "Write")
        for share in policy.ramp
    }
    return stairs | {
        "Step up": choose(
            *((compare("$.v.share", "<", share), stair(share)) for share in policy.ramp),
            otherwise="Close",
        ),
        "Close": lay("change", _changes("closed", 1.0, "$.want.why"), "Write"),
        "Step down": choose(
            *((compare("$.v.share", ">", share), stair(share)) for share in policy.ramp[::-1]),
            otherwise="Raise",
        ),
    }


# --- writing -------------------------------------------------------------------


def writing() -> States:
    """From `$.change` to the store, and into the history."""
    paddings = {f"Row of {digits}": digits for digits in range(1, _DIGITS + 1)}
    return {
        "Write": task(
            "dynamodb:putItem",
            {
                "TableName": "${BreakersTable}",
                "Item.$": merged("$.base.raw", "$.n.keep", "$.change"),
                "ConditionExpression.$": "$.base.condition",
                "ExpressionAttributeNames.$": "$.base.names",
                "ExpressionAttributeValues.$": "$.base.values",
            },
            "Landed",
            to=None,
            catch=[(EVERY, "Doubted")],
        ),
        "Landed": {
            "Type": "Pass",
            "Result": {"ok": True},
            "ResultPath": "$.landed",
            "Next": "Tell",
        },
        "Doubted": task(
            "dynamodb:getItem", _read(), "Whose", to="got", catch=[(EVERY, "Not held")]
        ),
        "Whose": choose(
            (
                both(
                    there("$.got.Item"),
                    there("$.got.Item.nonce"),
                    {"Variable": "$.got.Item.nonce.S", "StringEqualsPath": "$.v.nonce"},
                ),
                "Landed",
            ),
            (compare("$.races.lost", ">=", RACES_MAX), "Not held"),
            otherwise="Lost race",
        ),
        "Lost race": lay("races", {"lost.$": plus("$.races.lost", 1)}, "Found"),
        "Tell": choose(
            (is_("$.want.order", "claim"), "After"),
            (is_("$.want.order", "report"), "After"),
            *((compare("$.n.version", "<", 10**digits), name) for name, digits in paddings.items()),
            otherwise="After",
        ),
        **{
            name: lay("pad", {"zeros": "0" * (_DIGITS - digits)}, "Note")
            for name, digits in paddings.items()
        },
        "Note": lay("told", {"all.$": merged("$.n.keep", "$.change")}, "Row"),
        "Row": task(
            "dynamodb:putItem",
            {
                "TableName": "${BreakersTable}",
                "Item": _history(),
                "ConditionExpression": "attribute_not_exists(pk)",
            },
            "After",
            to=None,
            catch=[(EVERY, "After")],
        ),
    }


def _history() -> State:
    same = ("stage", "epoch", "round", "share", "level", "cooldown_s", "why", "at")
    return {
        "pk": s(put("{}#history#{}", "$.k.service", "$.aim.target.breaker")),
        "sk": s(put("{}{}", "$.pad.zeros", "$.n.version")),
        **{f"{name}.$": f"$.told.all.{name}" for name in same},
        "old": s("$.v.state"),
        "new.$": "$.told.all.state",
        "by": {"S": "${Machine}"},
        "mode": s("$.v.override.mode"),
        "ttl": n(plus("$.n.at", KEEP_S)),
    }
