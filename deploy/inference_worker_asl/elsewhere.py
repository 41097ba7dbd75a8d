"""What serves a job where the machine calls no model: the workers, their cache, a text of yours."""

from typing import Final

from inference_worker_asl import clock
from inference_worker_asl.asl import (
    EVERY,
    States,
    at,
    both,
    call,
    choose,
    compare,
    is_,
    lay,
    number,
    put,
    s,
    task,
    text,
    there,
)

DEADLINE_S: Final = 300  # of a job that goes to the workers
ANSWER_S: Final = DEADLINE_S + 60  # for them to say that it is late


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
