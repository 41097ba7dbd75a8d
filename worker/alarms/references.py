"""References of a CloudFormation template, resolved as far as the template tells.

What only the account knows (a queue's name that CloudFormation makes up) keeps the name that it
has in the template, as `JobsQueue.QueueName`, and can be given like a parameter.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

ALARM: Final = "AWS::CloudWatch::Alarm"
COMPOSITE: Final = "AWS::CloudWatch::CompositeAlarm"
_PSEUDO: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AWS::StackName": "inference-worker",
        "AWS::Region": "us-east-1",
        "AWS::AccountId": "123456789012",
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
    }
)
_NOTHING: Final = object()
_SUB: Final = re.compile(r"\$\{([^!}][^}]*)\}")


class TemplateError(ValueError):
    """A template that cannot be read, or an alarm that cannot be evaluated."""


class References:
    """What references lead to.

    Raises:
        TemplateError: A name is given that nothing in the template has.
    """

    def __init__(
        self, template: Mapping[str, Any], resources: Mapping[str, Any], given: Mapping[str, str]
    ) -> None:
        self._resources = resources
        self._parameters: Mapping[str, Any] = template.get("Parameters", {})
        self._conditions: Mapping[str, Any] = template.get("Conditions", {})
        self._given = {**_PSEUDO, **given}
        for name in given:
            known = name in _PSEUDO or name in self._parameters
            if not known and name.partition(".")[0] not in resources:
                msg = f"there is no parameter {name}, and no resource to name so"
                raise TemplateError(msg)

    @property
    def stack(self) -> str:
        """The stack's name."""
        return self._given["AWS::StackName"]

    def of(self, kind: str) -> list[str]:
        """The logical ids of a type."""
        return [
            id_
            for id_, one in self._resources.items()
            if isinstance(one, dict) and one.get("Type") == kind
        ]

    def made(self, id_: str) -> bool:
        """Whether a resource is made, by its condition."""
        one = self._resources[id_]
        return "Condition" not in one or self._condition(id_, one["Condition"])

    def properties(self, id_: str) -> Mapping[str, Any]:
        """Everything of a resource, resolved."""
        found: Mapping[str, Any] = self.resolved(id_, self._resources[id_].get("Properties", {}))
        return found

    def resolved(self, id_: str, value: Any) -> Any:
        """A value of a resource, with everything in it resolved."""
        if isinstance(value, list):
            return [one for part in value if (one := self.resolved(id_, part)) is not _NOTHING]
        if not isinstance(value, dict):
            return value
        (function, argument), *more = value.items() or (("", None),)
        if not more and function in self._functions:
            return self._functions[function](self, id_, argument)
        if not more and function.startswith("Fn::"):
            msg = f"{id_}: {function} is not resolved here"
            raise TemplateError(msg)
        pairs = ((name, self.resolved(id_, part)) for name, part in value.items())
        return {name: one for name, one in pairs if one is not _NOTHING}

    def _ref(self, id_: str, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        if name in self._given:
            return self._given[name]
        if name in self._parameters:
            if "Default" not in self._parameters[name]:
                msg = f"{id_}: the parameter {name} has no default; give it: --param {name}=…"
                raise TemplateError(msg)
            return self._parameters[name]["Default"]
        if name not in self._resources:
            msg = f"{id_}: Ref to {name}, which is neither parameter nor resource"
            raise TemplateError(msg)
        if self._resources[name].get("Type") in (ALARM, COMPOSITE):
            return self.name_of(name)
        return name

    def name_of(self, id_: str) -> str:
        """The name of an alarm: its own, or the one that CloudFormation would begin with."""
        own = self._resources[id_].get("Properties", {}).get("AlarmName")
        return str(self.resolved(id_, own)) if own else f"{self.stack}-{id_}"

    def _attribute(self, id_: str, argument: Any) -> str:
        name, _, attribute = (
            argument if isinstance(argument, str) else ".".join(str(one) for one in argument)
        ).partition(".")
        if name not in self._resources:
            msg = f"{id_}: GetAtt of {name}, which is no resource"
            raise TemplateError(msg)
        if f"{name}.{attribute}" in self._given:
            return self._given[f"{name}.{attribute}"]
        resource = self._resources[name]
        if attribute == "Arn" and resource.get("Type") in (ALARM, COMPOSITE):
            return (
                f"arn:{self._given['AWS::Partition']}:cloudwatch:{self._given['AWS::Region']}:"
                f"{self._given['AWS::AccountId']}:alarm:{self.name_of(name)}"
            )
        own = resource.get("Properties", {}).get(attribute)
        return f"{name}.{attribute}" if own is None else str(self.resolved(id_, own))

    def _join(self, id_: str, argument: Any) -> str:
        glue, parts = argument
        return str(glue).join(str(one) for one in self.resolved(id_, parts))

    def _sub(self, id_: str, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})
        values = {name: self.resolved(id_, one) for name, one in own.items()}

        def put(found: re.Match[str]) -> str:
            name = found[1]
            if name in values:
                return str(values[name])
            known = "." in name and not name.startswith("AWS::")
            return str(self._attribute(id_, name) if known else self._ref(id_, name))

        return _SUB.sub(put, text).replace("${!", "${")

    def _if(self, id_: str, argument: Any) -> Any:
        condition, yes, no = argument
        return self.resolved(id_, yes if self._condition(id_, condition) else no)

    def _condition(self, id_: str, name: str) -> bool:
        if name not in self._conditions:
            msg = f"{id_}: there is no condition {name}"
            raise TemplateError(msg)
        return self._holds(id_, self._conditions[name])

    def _holds(self, id_: str, condition: Any) -> bool:
        ((function, argument),) = condition.items()
        match function:
            case "Fn::Equals":
                left, right = self.resolved(id_, argument)
                return str(left) == str(right)
            case "Fn::Not":
                return not self._holds(id_, argument[0])
            case "Fn::And":
                return all(self._holds(id_, one) for one in argument)
            case "Fn::Or":
                return any(self._holds(id_, one) for one in argument)
            case "Condition":
                return self._condition(id_, argument)
            case _:
                msg = f"{id_}: {function} in a condition is not resolved here"
                raise TemplateError(msg)

    _functions: Final[Mapping[str, "Callable[[References, str, Any], Any]"]] = MappingProxyType(
        {
            "Ref": _ref,
            "Fn::GetAtt": _attribute,
            "Fn::Join": _join,
            "Fn::Sub": _sub,
            "Fn::If": _if,
        }
    )
