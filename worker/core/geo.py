"""Where a call may be processed, as far as its target's names tell.

A place is a Region (`eu-central-1`) or a geography: the prefix of a cross-Region
inference profile (`us`, `eu`, `apac`, `global`, …), or that of a Region. A target
may touch two places: the Region that it is called in, and the geography that its
profile sends requests around in. A job that restricts its places gets a target
only if all of them lie within.

What the names do not tell is nowhere: a bare model id in the SDK's own Region, an
application inference profile, an ARN of a kind unknown here. Such a target is for
jobs that may go anywhere, until its settings say where it is.
"""

import re
from collections.abc import Collection
from functools import cache
from types import MappingProxyType
from typing import Final

WORLD: Final = "global"

# The beginning of a Region's name, longest first where one begins like another. The United
# Kingdom and Switzerland are no part of `eu`, although their Regions are called so.
_BY_REGION: Final = (
    ("us-gov-", "us-gov"),
    ("us-", "us"),
    ("eu-west-2", "uk"),
    ("eu-central-2", "ch"),
    ("eu-", "eu"),
    ("eusc-", "eu"),
    ("ap-northeast-1", "jp"),
    ("ap-northeast-3", "jp"),
    ("ap-southeast-2", "au"),
    ("ap-southeast-4", "au"),
    ("ap-", "apac"),
    ("ca-", "ca"),
    ("mx-", "mx"),
    ("sa-", "sa"),
    ("me-", "me"),
    ("il-", "il"),
    ("af-", "af"),
    ("cn-", "cn"),
)
_WITHIN: Final = MappingProxyType({"us-gov": "us", "jp": "apac", "au": "apac"})
GEOGRAPHIES: Final = frozenset({place for _, place in _BY_REGION} | {WORLD})

_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}")
_ARN: Final = re.compile(r"arn:[^:]*:bedrock:([a-z0-9-]*):[^:]*:([a-z-]+)/(.+)")
# Behind these a request stays in the Region of the ARN, or goes where the name's prefix says.
_PLAIN: Final = frozenset(
    {
        "foundation-model",
        "inference-profile",
        "provisioned-model",
        "imported-model",
        "custom-model",
        "custom-model-deployment",
    }
)


def is_place(name: str) -> bool:
    """Whether a name is a geography, or looks like a Region of one.

    >>> is_place("eu"), is_place("eu-central-1"), is_place("europe")
    (True, True, False)
    """
    return name in GEOGRAPHIES or _geography(name) is not None


@cache
def places_of(model: str, region: str) -> frozenset[str]:
    """Where a call to `model` in `region` may be processed; nothing if that cannot be told.

    Args:
        model: Model id, inference profile id or ARN.
        region: Region of the endpoint, "" for one that is not known.

    >>> sorted(places_of("eu.anthropic.claude", "eu-central-1"))
    ['eu', 'eu-central-1']
    >>> sorted(places_of("anthropic.claude", ""))
    []
    """
    if arn := _ARN.fullmatch(model):
        if arn[2] not in _PLAIN:
            return frozenset()
        region, model = region or arn[1], arn[3]
    elif model.startswith("arn:"):
        return frozenset()
    prefix = model.partition(".")[0]
    around = frozenset({prefix}) if prefix in GEOGRAPHIES else frozenset[str]()
    if region and _geography(region) is None:
        return frozenset()
    return around | ({region} if region else frozenset())


def lies_within(places: Collection[str], allowed: frozenset[str]) -> bool:
    """Whether all `places` lie within what is allowed. No place is known to lie anywhere.

    >>> lies_within({"eu", "eu-central-1"}, frozenset({"eu"}))
    True
    >>> lies_within({"eu"}, frozenset({"eu-central-1"}))
    False
    """
    if WORLD in allowed:
        return True
    return bool(places) and all(not allowed.isdisjoint(_around(place)) for place in places)


def _around(place: str) -> frozenset[str]:
    """A place, and everything that it lies within."""
    found = {place}
    geography = place if place in GEOGRAPHIES else _geography(place)
    while geography is not None:
        found.add(geography)
        geography = _WITHIN.get(geography)
    return frozenset(found)


def _geography(region: str) -> str | None:
    if not _REGION.fullmatch(region):
        return None
    return next((place for start, place in _BY_REGION if region.startswith(start)), None)
