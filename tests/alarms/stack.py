"""A small template with alarms of every shape that is read."""

from typing import Any, Final

SERVICE: Final = [{"Name": "Service", "Value": {"Ref": "AWS::StackName"}}]


def metric(name: str, stat: str = "Sum", period: int = 60) -> dict[str, Any]:
    return {
        "Id": name.lower(),
        "ReturnData": False,
        "MetricStat": {
            "Metric": {"Namespace": "Lab", "MetricName": name, "Dimensions": SERVICE},
            "Period": period,
            "Stat": stat,
        },
    }


def unserved() -> dict[str, Any]:
    share = (
        "IF(FILL(calls, 0) + FILL(unserved, 0) >= 20, 100 * (FILL(errors, 0) + FILL(unserved, 0))"
        " / (FILL(calls, 0) + FILL(unserved, 0)), 0)"
    )
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": {"Fn::Join": ["", [{"Ref": "AWS::StackName"}, "-Unserved"]]},
            "AlarmDescription": "More than a fifth failed.",
            "AlarmActions": [{"Ref": "Chat"}],
            "OKActions": [{"Ref": "Chat"}],
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": {"Ref": "Percent"},
            "EvaluationPeriods": 5,
            "DatapointsToAlarm": 3,
            "TreatMissingData": "notBreaching",
            "Metrics": [
                {"Id": "share", "Expression": share},
                metric("Calls"),
                metric("Errors"),
                metric("Unserved"),
            ],
        },
    }


def dead() -> dict[str, Any]:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmActions": [{"Ref": "Chat"}],
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 0,
            "EvaluationPeriods": 1,
            "Namespace": "AWS/SQS",
            "MetricName": "Visible",
            "Dimensions": [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["Dead", "QueueName"]}}],
            "Statistic": "Maximum",
            "Period": 60,
            "TreatMissingData": "notBreaching",
        },
    }


def template() -> dict[str, Any]:
    return {
        "Parameters": {"Percent": {"Type": "Number", "Default": 20}, "Pager": {"Type": "String"}},
        "Conditions": {
            "Paged": {"Fn::Not": [{"Fn::Equals": [{"Ref": "AWS::Region"}, "nowhere"]}]},
            "Never": {"Fn::And": [{"Condition": "Paged"}, {"Fn::Equals": ["a", "b"]}]},
        },
        "Resources": {
            "Chat": {"Type": "AWS::SNS::Topic"},
            "Page": {"Type": "AWS::SNS::Topic"},
            "Dead": {
                "Type": "AWS::SQS::Queue",
                "Properties": {"QueueName": {"Fn::Sub": "${AWS::StackName}-dead"}},
            },
            "Unserved": unserved(),
            "DeadJobs": dead(),
            "Both": {
                "Type": "AWS::CloudWatch::CompositeAlarm",
                "Properties": {
                    "AlarmName": "both",
                    "AlarmRule": {
                        "Fn::Join": [
                            "",
                            [
                                'ALARM("',
                                {"Fn::GetAtt": ["Worse", "Arn"]},
                                '") AND ALARM("',
                                {"Ref": "DeadJobs"},
                                '")',
                            ],
                        ]
                    },
                    "AlarmActions": [
                        {"Fn::If": ["Paged", {"Ref": "Page"}, {"Ref": "AWS::NoValue"}]}
                    ],
                    "OKActions": [{"Fn::If": ["Never", {"Ref": "Page"}, {"Ref": "AWS::NoValue"}]}],
                },
            },
            "Worse": {
                "Type": "AWS::CloudWatch::CompositeAlarm",
                "Properties": {
                    "AlarmRule": {"Fn::Sub": 'ALARM("${Unserved}")'},
                    "AlarmActions": [{"Ref": "Chat"}],
                    "ActionsSuppressor": {"Fn::GetAtt": ["DeadJobs", "Arn"]},
                    "ActionsSuppressorWaitPeriod": 60,
                    "ActionsSuppressorExtensionPeriod": 120,
                },
            },
            "NotMade": {
                "Type": "AWS::CloudWatch::Alarm",
                "Condition": "Never",
                "Properties": {"AnythingAtAll": 1},
            },
        },
    }
