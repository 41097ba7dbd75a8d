"""What the stack costs in a month, by price lists: the tables of docs/deploy.md.

    python deploy/cost.py          print them
    python deploy/cost.py --write  put them into docs/deploy.md; `make template` does so

What runs is counted in the templates, what a job costs is in `JOB`, and metrics and logs are
`inference-worker plan`'s. Prices are in USD, of us-east-1; other Regions ask up to a third more.
What is free for an account is not taken off, and no model is in it.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from worker.core.bill import ALARMS, LINE_BYTES, LOGS, SERIES, series
from worker.core.metric import Profile
from worker.settings import load
from worker.wiring_names import names_of

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parent / "docs" / "deploy.md"
BEGIN, END = "<!-- costs: deploy/cost.py -->", "<!-- end of costs -->"
TEMPLATES: Final = {"nat": "template.json", "isolated": "template.isolated.json"}
FOLLOWS: Final = 2  # alarms that Application Auto Scaling makes of a policy, on all that it reads
# What Container Insights writes of a cluster with one service, by docs.aws.amazon.com/
# AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-ECS.html: each of `INSIGHTS_THRICE`
# by cluster, by service and by family of tasks.
INSIGHTS_THRICE: Final = (
    *("CpuReserved", "CpuUtilized", "MemoryReserved", "MemoryUtilized"),
    *("EphemeralStorageReserved", "EphemeralStorageUtilized"),
    *("NetworkRxBytes", "NetworkTxBytes", "StorageReadBytes", "StorageWriteBytes"),
)
INSIGHTS_ONCE: Final = (
    *("ContainerInstanceCount", "ServiceCount", "TaskCount"),
    *("DeploymentCount", "DesiredTaskCount", "PendingTaskCount", "RunningTaskCount"),
    "TaskSetCount",
)
INSIGHTS: Final = 3 * len(INSIGHTS_THRICE) + len(INSIGHTS_ONCE)
HOURS: Final = 730
READ_ON: Final = "2026-11-25"
# What each costs, and who says so. AWS's own pages fetch their figures; these repeat them.
PRICES: Final[Mapping[str, tuple[Decimal, str]]] = {
    "vCPU and hour, Fargate, arm64": (Decimal("0.03238"), "vantage.sh/blog/fargate-pricing"),
    "GB and hour, Fargate, arm64": (Decimal("0.00356"), "vantage.sh/blog/fargate-pricing"),
    "NAT gateway and hour": (
        Decimal("0.045"),
        "zacfukuda.com/blog/aws-nat-gateway-vs-vpc-endpoint",
    ),
    "GB through a NAT gateway": (
        Decimal("0.045"),
        "zacfukuda.com/blog/aws-nat-gateway-vs-vpc-endpoint",
    ),
    "public address and hour": (Decimal("0.005"), "nwobodo.me/notes/aws-extra-ipv4-cost-per-hour"),
    "endpoint, zone and hour": (
        Decimal("0.01"),
        "zacfukuda.com/blog/aws-nat-gateway-vs-vpc-endpoint",
    ),
    "GB through an endpoint": (Decimal("0.01"), "aws.amazon.com/privatelink/pricing"),
    "million writes of 1 KB, DynamoDB": (
        Decimal("0.625"),
        "airbyte.com/data-engineering-resources/dynamodb-pricing",
    ),
    "million reads of 4 KB, DynamoDB": (
        Decimal("0.125"),
        "airbyte.com/data-engineering-resources/dynamodb-pricing",
    ),
    "million requests, SQS": (Decimal("0.40"), "cloudburn.io/blog/amazon-sqs-pricing"),
    "composite alarm and month": (Decimal("0.50"), "aws.amazon.com/cloudwatch/pricing"),
    "dashboard and month": (Decimal("3.00"), "aws.amazon.com/cloudwatch/pricing"),
}
# Of a healthy job whose record stays below 2 KB: its claim and its end; a client that looks twice;
# one send, and a quarter of a request for all else (docs/bench.md).
JOB: Final = {
    "million writes of 1 KB, DynamoDB": Decimal(3),
    "million reads of 4 KB, DynamoDB": Decimal(2),
    "million requests, SQS": Decimal("1.25"),
}
SETTINGS: Final = {
    "WORKER_QUEUE__URL": "https://sqs.us-east-1.amazonaws.com/111122223333/chat-jobs",
    "WORKER_MODEL__ID": "amazon.nova-lite-v1:0",
    "WORKER_PAYLOADS__BUCKET": "chat-payloads",
    "WORKER_SERVICE": "chat",
}


def usd(what: str, amount: Decimal | int = 1) -> Decimal:
    """So much of something."""
    return PRICES[what][0] * amount


def task(template: Mapping[str, Any]) -> Decimal:
    """One task that runs all month, not on Spot."""
    ((_, one),) = _of(template, "AWS::ECS::TaskDefinition")
    cores, gb = Decimal(one["Cpu"]) / 1024, Decimal(one["Memory"]) / 1024
    return HOURS * (
        usd("vCPU and hour, Fargate, arm64", cores) + usd("GB and hour, Fargate, arm64", gb)
    )


def network(template: Mapping[str, Any]) -> Decimal:
    """What it costs to be there, without what goes through."""
    gateways = len([*_of(template, "AWS::EC2::NatGateway")])
    addresses = len([*_of(template, "AWS::EC2::EIP")])
    doors = [
        len(one["SubnetIds"])
        for _, one in _of(template, "AWS::EC2::VPCEndpoint")
        if one["VpcEndpointType"] == "Interface"
    ]
    return HOURS * (
        usd("NAT gateway and hour", gateways)
        + usd("public address and hour", addresses)
        + usd("endpoint, zone and hour", sum(doors))
    )


def alarms(template: Mapping[str, Any]) -> Decimal:
    """Each metric that an alarm reads, and each composite; with what scales.

    What is there under a condition alone is not: it wakes a fleet of none.
    """
    read = sum(
        _read(alarm.get("Metrics", ())) or 1
        for name, alarm in _of(template, "AWS::CloudWatch::Alarm")
        if "Condition" not in template["Resources"][name]
    )
    for _, policy in _of(template, "AWS::ApplicationAutoScaling::ScalingPolicy"):
        follows = policy.get("TargetTrackingScalingPolicyConfiguration", {})
        measured = follows.get("CustomizedMetricSpecification", {})
        read += FOLLOWS * _read(measured.get("Metrics", ()))
    composites = len([*_of(template, "AWS::CloudWatch::CompositeAlarm")])
    ((_, each),) = ALARMS.steps
    return read * each + usd("composite alarm and month", composites)


def insights() -> Decimal:
    """What Container Insights writes of the cluster, the service and the tasks."""
    ((_, each), *_) = SERIES.steps
    return INSIGHTS * each


def metrics(profile: Profile) -> Decimal:
    """Every series that a fleet with the stack's settings can come to."""
    ((_, each), *_) = SERIES.steps
    return sum(series(names_of(load(SETTINGS)), profile).values()) * each


def million() -> dict[str, Decimal]:
    """A million healthy jobs, service by service."""
    table = usd("million writes of 1 KB, DynamoDB", JOB["million writes of 1 KB, DynamoDB"])
    table += usd("million reads of 4 KB, DynamoDB", JOB["million reads of 4 KB, DynamoDB"])
    ((_, gb),) = LOGS.steps
    return {
        "DynamoDB": table,
        "SQS": usd("million requests, SQS", JOB["million requests, SQS"]),
        "logs": gb * LINE_BYTES["info"] / 1000,
    }


def tables() -> Iterator[str]:
    """Lines of Markdown."""
    read = {name: json.loads((HERE / file).read_text()) for name, file in TEMPLATES.items()}
    some = read["nat"]
    yield "| a month | USD |"
    yield "| --- | --- |"
    for name, template in read.items():
        yield f"| the network `{name}`, before traffic | {network(template):.2f} |"
    yield f"| each task that runs all month; on Spot up to 70 % less | {task(some):.2f} |"
    for profile in (Profile.CORE, Profile.FULL):
        yield f"| metrics, profile `{profile}` | {metrics(profile):.2f} |"
    yield f"| Container Insights, some {INSIGHTS} series | {insights():.2f} |"
    yield f"| alarms, those of the scaling too | {alarms(some):.2f} |"
    dashboard = usd("dashboard and month")
    yield f"| the dashboard; an account's first three are free | {dashboard:.2f} |"
    yield ""
    yield "| a million jobs | USD |"
    yield "| --- | --- |"
    for name, each in million().items():
        yield f"| {name} | {each:.2f} |"
    yield ""
    yield f"Prices of us-east-1, as of {READ_ON}; of metrics and logs: `worker/core/bill.py`."
    yield ""
    yield "| one | USD | by |"
    yield "| --- | --- | --- |"
    for what, (each, source) in PRICES.items():
        yield f"| {what} | {each} | {source} |"


def page(text: str) -> str:
    """The page with the tables of today in it."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n" + "\n".join(tables()) + f"\n\n{END}{after}"


def _read(queries: Iterable[Mapping[str, Any]]) -> int:
    return sum("MetricStat" in one for one in queries)


def _of(template: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Any]]:
    for name, one in template["Resources"].items():
        if one["Type"] == kind:
            yield name, one["Properties"]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put them into docs/deploy.md")
    if parser.parse_args().write:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print("\n".join(tables()))  # noqa: T201


if __name__ == "__main__":
    main()
