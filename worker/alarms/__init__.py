"""The alarm lab: what CloudWatch would make of metrics, without CloudWatch.

It reads the alarms of a CloudFormation template and the metrics of log lines, and says minute by
minute in which state each alarm is. What it cannot evaluate it refuses, and says where.
"""
