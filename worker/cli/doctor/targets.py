"""Whether each target can be called: by a call of one token, the cheapest real one.

What comes back is read by the workers' own table of faults (`worker/aws/faults.py`), so
doctor and worker agree on what it means.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Final

import orjson

from worker.cli.doctor.asking import ENDPOINTS, no_credentials, wrong_clock
from worker.cli.doctor.finding import Finding, green, red, yellow
from worker.cli.doctor.place import Place
from worker.core.answer import Answer
from worker.core.fault import Fault, Kind
from worker.core.geo import GEOGRAPHIES
from worker.core.job import Request
from worker.core.sightings import Sighting
from worker.core.target import STREAM_FROM_TOKENS, Api, Target
from worker.ops.causes import CauseName, cause_of
from worker.ports import Model

_ASK: Final = Request(messages=({"role": "user", "content": [{"text": "Hi"}]},))
_NOTHING: Final = Request(messages=(), additional={})  # InvokeModel: a body that is refused, free
_ACTIONS: Final = {
    Api.CONVERSE: "bedrock:InvokeModel",
    Api.CONVERSE_STREAM: "bedrock:InvokeModelWithResponseStream",
    Api.INVOKE: "bedrock:InvokeModel",
}
_OPERATIONS: Final = {
    Api.CONVERSE: "Converse",
    Api.CONVERSE_STREAM: "ConverseStream",
    Api.INVOKE: "InvokeModel",
}


def apis_of(target: Target) -> tuple[Api, ...]:
    """The operations that jobs may reach it by, each a right of its own."""
    if target.api is not Api.AUTO:
        return (target.api,)
    # A job may ask for a short answer of it, which is not streamed.
    return (
        (Api.CONVERSE, Api.CONVERSE_STREAM)
        if target.max_tokens >= STREAM_FROM_TOKENS
        else (Api.CONVERSE,)
    )


async def target_findings(
    target: Target, model: Model, place: Place, *, limit_s: float
) -> list[Finding]:
    """What its dry calls bring."""
    apis = apis_of(target)
    ends = await asyncio.gather(*(_dry(target, api, model, limit_s) for api in apis))
    faults: dict[tuple[str, str, str], tuple[Fault, list[Api]]] = {}
    for api, end in zip(apis, ends, strict=True):
        if isinstance(end, Fault) and not _reached(api, end):
            alike = faults.setdefault((end.kind, end.code, end.message), (end, []))
            alike[1].append(api)
    if not faults:
        where = target.region or place.region
        return [green(_of(target), f"{target.model} answers {_listed(apis)} in {where}")]
    return [fault_finding(target, by, fault, place) for fault, by in faults.values()]


async def _dry(target: Target, api: Api, model: Model, limit_s: float) -> Answer | Fault:
    variant = replace(target, api=api, max_tokens=1, first_token_s=limit_s, stall_s=limit_s)
    request = _NOTHING if api is Api.INVOKE else _ASK
    return await model.call(variant, request, job="doctor", attempt=1, bound_s=limit_s)


def _reached(api: Api, end: Fault) -> bool:
    """Whether the model was there and ours to call all the same."""
    if end.http == HTTPStatus.OK:
        return not end.timer  # one token may be no whole answer
    return api is Api.INVOKE and end.kind is Kind.REJECTED


def _listed(apis: Iterable[Api]) -> str:
    return " and ".join(_OPERATIONS[api] for api in apis)


def fault_finding(target: Target, apis: Sequence[Api], end: Fault, place: Place) -> Finding:
    """What a fault of dry calls means, and how it is mended. `apis` had it."""
    where = target.region or place.region
    of, what = _of(target), _what(target, place)
    seen = f"{_listed(apis)}: {end.code}" + (f" {end.http}" if end.http else "")
    said = f", “{end.sentence}”" if end.sentence else ""
    cause = cause_of(
        Sighting(of=target.name, kind=end.kind, code=end.code, says=end.message, timer=end.timer)
    )
    match cause:
        case CauseName.LOCAL_CLOCK:
            return wrong_clock(end.code)
        case CauseName.CREDENTIALS:
            return no_credentials(end.code)
        case CauseName.LOCAL:
            return red(
                "host",
                f"this host is in trouble of its own: {seen}{said}.",
                "It can call no model, whatever the models do.",
                "See its files and sockets, who hands out its credentials, and its proxy:",
                ENDPOINTS,
            )
        case CauseName.ACCESS_DENIED if "not authorized to perform" in end.message:
            return _no_right(target, apis, end.message, place)
        case CauseName.ACCESS_DENIED:
            return red(
                of,
                f"{what} is not for this account: {seen}{said}.",
                "Every call is refused; jobs go to the next target, or wait.",
                "Ask for access to the model (Bedrock console, Model access); what is offered "
                "there:",
                f"aws bedrock list-foundation-models --region {where} "
                "--query 'modelSummaries[].modelId'",
            )
        case CauseName.MODEL_UNUSABLE:
            return _unusable(of, what, target, seen + said, where)
        case CauseName.NAME_UNRESOLVED | CauseName.UNREACHABLE:
            return red(
                of,
                f"{what} cannot be reached: {seen}.",
                "No call gets through.",
                f"See {_setting(target, 'region')} ({where}): is Bedrock there, and is there a "
                "way to it (NAT, or a VPC endpoint)?",
                "aws ec2 describe-vpc-endpoints --filters "
                f"Name=service-name,Values=com.amazonaws.{where}.bedrock-runtime",
            )
        case CauseName.THROTTLED | CauseName.QUOTA_USED_UP:
            which = "for the day " if cause is CauseName.QUOTA_USED_UP else ""
            return yellow(
                of,
                f"{what} is throttled: {seen}{said}.",
                f"More is asked {which}than the quota allows; workers slow down, jobs wait.",
                "It can be called. For more, raise the quota:",
                f"aws service-quotas list-service-quotas --service-code bedrock --region {where}",
            )
        case CauseName.BAD_REQUESTS:
            return red(
                of,
                f"{what} refuses the smallest request: {seen}.",
                "Jobs of this kind would become dead letters.",
                "A model without Converse takes a body of its own:",
                f"{_setting(target, 'api')}=invoke",
            )
        case _:
            return yellow(
                of,
                f"{what} did not answer: {seen}{said}.",
                "It may be ill just now; circuits see to that.",
                "Ask again; if it stays, see the health of AWS in this Region:",
                f"https://health.aws.amazon.com/health/status?region={where}",
            )


def _no_right(target: Target, apis: Sequence[Api], said: str, place: Place) -> Finding:
    """IAM's own refusal, of which `said` is its text."""
    of, what = _of(target), _what(target, place)
    actions = ", ".join(_ACTIONS[api] for api in apis)
    says, causes = (
        f"{what} may not be called: {actions} is denied.",
        "Every call is refused; jobs go to the next target, or wait.",
    )
    if "explicit deny" in said:
        return red(
            of,
            says,
            causes,
            "A policy denies it outright (the role's own, a boundary, the organisation's or the "
            "endpoint's), and no grant helps against that. See what it spares.",
        )
    where = target.region or place.region
    # Which models these are is not in its name, and IAM asks for them too.
    behind = ", and on the models behind it" if ":application-inference" in target.model else ""
    document = orjson.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": sorted(set(_ACTIONS.values())),
                    "Resource": resources_of(target.model, where, place),
                }
            ],
        }
    ).decode()
    return red(
        of,
        says,
        causes,
        f"Grant {actions}{behind}:",
        place.grant(document, f"inference-worker-bedrock-{target.name}") or document,
    )


def resources_of(model: str, region: str, place: Place) -> list[str]:
    """What a statement must name: a profile, and the model behind it in every Region.

    Behind a profile of one's own (`application-inference-profile`) it is not known.

    >>> resources_of("zai.glm-4.7", "eu-west-1", Place(region="eu-west-1"))
    ['arn:aws:bedrock:eu-west-1::foundation-model/zai.glm-4.7']
    """
    here = replace(place, region=region)
    name = model.rpartition(":inference-profile/")[2]
    if name.startswith("arn:"):
        return [model]
    model_arn = here.arn("bedrock", "").rsplit(":", 3)[0]
    prefix, _, rest = name.partition(".")
    if prefix not in GEOGRAPHIES:
        return [f"{model_arn}:{region}::foundation-model/{name}"]
    profile = model if name != model else here.arn("bedrock", f"inference-profile/{name}")
    return [profile, f"{model_arn}:*::foundation-model/{rest}"]


def _unusable(of: str, what: str, target: Target, seen: str, where: str) -> Finding:
    """What the model id, the Region or a limit is not."""
    if "on-demand throughput" in seen:
        return red(
            of,
            f"{what} is called through an inference profile only: {seen}.",
            "Every call is refused.",
            f"Name the profile in {_setting(target, 'id')}; those that there are:",
            f"aws bedrock list-inference-profiles --region {where} "
            "--query 'inferenceProfileSummaries[].inferenceProfileId'",
        )
    return red(
        of,
        f"{what} cannot be used: {seen}.",
        "Every call is refused.",
        f"Correct {_setting(target, 'id')} or {_setting(target, 'region')}; the models of this "
        "Region:",
        f"aws bedrock list-foundation-models --region {where} --query 'modelSummaries[].modelId'",
    )


def _setting(target: Target, name: str) -> str:
    if target.name == "default":
        return f"WORKER_MODEL__{name.upper()}"
    return f"WORKER_TARGETS__{target.name.upper()}__{name.upper()}"


def _of(target: Target) -> str:
    return f"target {target.name}"


def _what(target: Target, place: Place) -> str:
    return f"the target {target.name} ({target.model} in {target.region or place.region})"
