"""How a metric, a search, an expression and a widget are written in a dashboard's body."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aws_cdk import Aws

from inference_worker_cdk.alarms import Place
from inference_worker_cdk.catalogue import written

COLUMNS: Final = 24
MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Widget:
    """What is shown, and how large; where, its row says."""

    kind: str
    width: int
    properties: Mapping[str, Any]


def laid_out(rows: Iterable[tuple[int, list[Widget]]]) -> Iterable[dict[str, Any]]:
    """The widgets with their places, row below row; each row has its height."""
    y = 0
    for height, widgets in rows:
        x = 0
        for one in widgets:
            yield {
                "type": one.kind,
                "x": x,
                "y": y,
                "width": one.width,
                "height": height,
                "properties": one.properties,
            }
            x += one.width
        assert x == COLUMNS, f"the row at {y} is {x} columns wide"
        y += height


class Draws:
    """Writes what one fleet's dashboard draws.

    Args:
        service: Name of the fleet, with which its alarms begin.
        places: Where its metrics lie.
    """

    def __init__(self, service: str, places: Mapping[str, Place]) -> None:
        self._service = service
        self._places = places

    def ours(self, metric: str, *, stat: str = "Sum", **more: Any) -> list[Any]:
        """A metric of the workers, for the whole fleet."""
        return self.of("worker", written(metric), stat, **more)

    def queue(self, role: str, metric: str, label: str, **more: Any) -> list[Any]:
        """What SQS says of a queue."""
        return self.of(role, metric, "Maximum", label=label, **more)

    def of(self, place: str, metric: str, stat: str, **more: Any) -> list[Any]:
        """A metric of a place, with whatever else the widget is to know of it."""
        where = self._places[place]
        named = [part for pair in where.dimensions.items() for part in pair]
        return [where.namespace, metric, *named, {"stat": stat, **more}]

    def hidden(self, metric: list[Any], id_: str, **more: Any) -> list[Any]:
        """The same, for expressions alone."""
        *named, how = metric
        return [*named, {"stat": how["stat"], "id": id_, "visible": False, **more}]

    def search(
        self,
        metric: str,
        by: str,
        stat: str,
        *,
        period: int = MINUTE_S,
        over: int = 1,
        **more: Any,
    ) -> list[Any]:
        """Every value of a dimension, whatever their names; each point divided by `over`."""
        where = self._places["worker"]
        namespace = where.namespace if where.namespace.isalnum() else f'"{where.namespace}"'
        found = (
            f'SEARCH(\'{{{namespace},Service,{by}}} MetricName="{written(metric, by)}" '
            f"Service=\"{where.dimensions['Service']}\"', '{stat}', {period})"
        ) + (f" / {over}" if over > 1 else "")
        return [{"expression": found, "id": f"{metric[0].lower()}{metric[1:]}{by}", **more}]

    def metric(
        self,
        width: int,
        title: str,
        *metrics: list[Any],
        stacked: bool | None = None,
        view: str = "timeSeries",
        **more: Any,
    ) -> Widget:
        shown = {"stacked": stacked} if stacked is not None else {}
        return Widget(
            "metric",
            width,
            {
                "title": title,
                "view": view,
                "region": Aws.REGION,
                "period": MINUTE_S,
                "metrics": [*metrics],
                **shown,
                **more,
            },
        )

    def log(self, title: str, *steps: str) -> Widget:
        group = self._places["log"].dimensions["LogGroupName"]
        query = " | ".join((f"SOURCE '{group}'", *steps))
        shown = {"title": title, "view": "table", "region": Aws.REGION, "query": query}
        return Widget("log", COLUMNS // 2, shown)


def math(expression: str, label: str, **more: Any) -> list[Any]:
    """An expression over what the same widget draws or hides; its id is made of its label."""
    id_ = "is" + "".join(one for one in label.title() if one.isalnum())
    return [{"expression": expression, "label": label, "id": id_, **more}]
