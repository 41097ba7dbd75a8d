"""What the workers are set to: two Regions, three routes, and a lane for each of them.

    default   near alone: the brown-out, and all of the second act
    chat      near, then far; else what the same question got before
    batch     near, then far; else it waits

A lane is asked for jobs as long as one of its routes could do something with them. So
batch has one of its own: while neither Region can be called, nobody polls its queues.
"""

from collections.abc import Mapping
from typing import Final

from worker.settings.knobs import sibling

NEAR, FAR = "near", "far"
REGIONS: Final[Mapping[str, str]] = {NEAR: "us-east-1", FAR: "us-west-2"}
DEFAULT, CHAT, BATCH = "default", "chat", "batch"
CACHE: Final = "before"
NOTICE: Final = "Our model is out of service; this may be out of date."
_PLANS: Final[Mapping[str, Mapping[str, str]]] = {
    DEFAULT: {"TARGETS": NEAR},
    CHAT: {
        "TARGETS": f"{NEAR},{FAR}",
        "DEGRADED": CACHE,
        "ON_OPEN": "degrade",
        "NOTICE": NOTICE,
    },
    BATCH: {"TARGETS": f"{NEAR},{FAR}", "ON_OPEN": "park"},
}


def queues(jobs_url: str) -> dict[str, str]:
    """The jobs queue of each route.

    >>> queues("http://127.0.0.1:4566/1/demo-jobs")["chat"]
    'http://127.0.0.1:4566/1/demo-chat-jobs'
    """
    return {
        route: jobs_url if route == DEFAULT else f"{sibling(jobs_url, route)}-jobs"
        for route in _PLANS
    }


def environment(model: str, urls: Mapping[str, str], dead_url: str) -> dict[str, str]:
    """The settings of a worker.

    Args:
        model: What both Regions serve.
        urls: The jobs queue of each route.
        dead_url: Where every lane's dead letters go.
    """
    tree: dict[str, str] = {}
    for target, region in REGIONS.items():
        tree |= {
            f"TARGETS__{target}__ID": model,
            f"TARGETS__{target}__REGION": region,
            f"TARGETS__{target}__PRICE_INPUT": "1",
            f"TARGETS__{target}__PRICE_OUTPUT": "5",
        }
    for route, plan in _PLANS.items():
        tree |= {f"ROUTES__{route}__{name}": value for name, value in plan.items()}
        tree |= {
            f"LANES__{route}__URL": urls[route],
            f"LANES__{route}__DEAD_URL": dead_url,
            f"LANES__{route}__ROUTES": route,
        }
    tree[f"DEGRADED__{CACHE}__KIND"] = "cache"
    return {f"WORKER_{name}".upper(): value for name, value in tree.items()}
