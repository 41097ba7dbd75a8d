"""Defects of what watches, as data; see `defects.py`. Those of a dashboard are words of its body.

Wrong syntax of an expression, and an alarm that never rings, are seen where expressions are
evaluated, over the metrics of incidents.
"""

from typing import Final

from tests.deploy.defects import GONE, Defect

TOPIC = "PageTopic"
KEY = {"Fn::Sub": "arn:aws:kms:${AWS::Region}:${AWS::AccountId}:alias/aws/sns"}
JOINED_KEY = {"Fn::Join": ["", ["arn:aws:kms:", {"Ref": "AWS::Region"}, ":1:alias/aws/sns"]]}
TWICE = {"Fn::Join": ["", ['ALARM("', {"Ref": "AlarmFleetSilent"}, '") ALARM("x")']]}
OF_OTHERS = {"Fn::Join": ["", ['ALARM("', {"Ref": "WorkerAlarmPageX"}, '")']]}

WATCHED: Final = (
    Defect(
        "more points than periods",
        "AlarmOldestJob",
        "Properties.DatapointsToAlarm",
        4,
        "alarms",
        "AlarmOldestJob: 4 points of 3",
    ),
    Defect("a period of 45 s", "AlarmOldestJob", "Properties.Period", 45, "lint", "E3615"),
    Defect(
        "a period of 45 s in an expression",
        "AlarmThrottleRising",
        "Properties.Metrics.1.MetricStat.Period",
        45,
        "alarms",
        "AlarmThrottleRising: its metrics have several periods",
    ),
    Defect(
        "high resolution that nobody writes",
        "AlarmBreakerStoreStale",
        "Properties.Period",
        30,
        "alarms",
        "AlarmBreakerStoreStale: a period of 30 s",
    ),
    Defect(
        "further back than CloudWatch looks",
        "AlarmParkedOld",
        "Properties.EvaluationPeriods",
        300,
        "alarms",
        "AlarmParkedOld: 300 periods of 300 s",
    ),
    Defect(
        "a typo in a metric",
        "AlarmBreakerStoreStale",
        "Properties.MetricName",
        "BreakersSyncAge",
        "alarms",
        "AlarmBreakerStoreStale: BreakersSyncAge is not written",
    ),
    Defect(
        "a metric that `core` has not",
        "AlarmBreakerStoreStale",
        "Properties.MetricName",
        "JobsExpired",
        "alarms",
        "AlarmBreakerStoreStale: JobsExpired is not written with the profile core",
    ),
    Defect(
        "a typo in a metric of AWS",
        "AlarmDlqNotEmpty",
        "Properties.MetricName",
        "ApproximateNumberOfMessageVisible",
        "alarms",
        "AlarmDlqNotEmpty: there is no ApproximateNumberOfMessageVisible",
    ),
    Defect(
        "a typo in a dimension",
        "AlarmBreakerStoreStale",
        "Properties.Dimensions.0.Name",
        "service",
        "alarms",
        "AlarmBreakerStoreStale: BreakerSyncAge has no dimensions service",
    ),
    Defect(
        "a dimension that AWS has not",
        "AlarmEmfBroken",
        "Properties.Metrics.1.MetricStat.Metric.Dimensions.0.Name",
        "LogGroup",
        "alarms",
        "AlarmEmfBroken: EMFValidationErrors of AWS/Logs has no dimensions LogGroup",
    ),
    Defect(
        "a percentile of a plain alarm",
        "AlarmBreakerStoreStale",
        "Properties.Statistic",
        "p95",
        "alarms",
        "AlarmBreakerStoreStale: p95 is no statistic of one metric",
    ),
    Defect(
        "no point to spare where data is filled",
        "AlarmFallbackSustained",
        "Properties.EvaluationPeriods",
        15,
        "alarms",
        "AlarmFallbackSustained: FILL fills what is under way",
    ),
    Defect(
        "a word that no client sends",
        "AlarmBreakerStoreStale",
        "Properties.TreatMissing",
        "ignore",
        "alarms",
        "AlarmBreakerStoreStale: Unknown parameter in input",
    ),
    Defect(
        "a notice without a first command",
        "AlarmBreakerStoreStale",
        "Properties.AlarmDescription",
        "Calls fail.",
        "alarms",
        "AlarmBreakerStoreStale: its description leads to no command",
    ),
    Defect(
        "a topic of somebody else",
        "AlarmBreakerStoreStale",
        "Properties.AlarmActions.0",
        "arn:aws:sns:eu-west-1:1:x",
        "alarms",
        "AlarmBreakerStoreStale: it tells arn:aws:sns",
    ),
    Defect(
        "a rule without a word between two alarms",
        "AlarmUserImpact",
        "Properties.AlarmRule",
        TWICE,
        "composites",
        "AlarmUserImpact: its rule is none",
    ),
    Defect(
        "a rule of an alarm that is none",
        "AlarmUserImpact",
        "Properties.AlarmRule",
        OF_OTHERS,
        "composites",
        "AlarmUserImpact: its rule names WorkerAlarmPageX",
    ),
    Defect(
        "a suppressor without its periods",
        "AlarmUpstreamWorse",
        "Properties.ActionsSuppressorWaitPeriod",
        GONE,
        "composites",
        "AlarmUpstreamWorse: a suppressor has both",
    ),
    Defect(
        "a topic that CloudWatch cannot publish to",
        TOPIC,
        "Properties",
        {"KmsMasterKeyId": "alias/aws/sns"},
        "validate",
        "topics_that_alarms_reach",
    ),
    Defect(
        "the same by its ARN, joined",
        TOPIC,
        "Properties",
        {"KmsMasterKeyId": JOINED_KEY},
        "validate",
        "topics_that_alarms_reach",
    ),
    Defect(
        "the same by its ARN",
        TOPIC,
        "Properties",
        {"KmsMasterKeyId": KEY},
        "validate",
        "topics_that_alarms_reach",
    ),
)

# What, in the dashboard's text, stands instead of what; and what must be said of it.
DRAWN: Final = (
    ("a kind of widget that is none", '"type":"log"', '"type":"logs"', '"logs" is not one of'),
    ("a body that is no JSON", '"type":"log",', '"type":"log"', "it is no JSON"),
    ("a property that is none", '"title":"Workers"', '"titel":"Workers"', "'titel'"),
    ("two widgets in one place", '"x":16,"y":7,', '"x":8,"y":7,', "overlap"),
    ("a widget out of the grid", '"x":16,"y":7,', '"x":17,"y":7,', "24 columns"),
    ("a typo in a metric", '"TelemetryLost"', '"TelemetryLosses"', "TelemetryLosses is not"),
    ("a typo in a search", 'MetricName=\\"Probes\\"', 'MetricName=\\"Probe\\"', "Probe is not"),
    (
        "a dimension that a metric has not",
        ",Service,ErrorType}",
        ",Service,Target}",
        "no dimensions",
    ),
    ("an id that nothing has", "1440 * open", "1440 * opened", "nothing has the id opened"),
    ("an alarm that is none", "-DlqNotEmpty", "-DeadNotEmpty", "there is no alarm chat-DeadNot"),
    (
        "a field that no line has",
        "fields @timestamp, breaker,",
        "fields @timestamp, target_name,",
        "no line has target_name",
    ),
    ("a statistic that is none", '"stat":"p99"', '"stat":"99"', "99 is no statistic"),
)
