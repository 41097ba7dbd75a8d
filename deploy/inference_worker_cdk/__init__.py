"""The worker's place in an AWS account, as CDK constructs; docs/deploy.md says how it is used."""

from inference_worker_cdk.alarm_kinds import Thresholds
from inference_worker_cdk.alarms import Alarms
from inference_worker_cdk.dashboard import Dashboard
from inference_worker_cdk.network import Network, network
from inference_worker_cdk.stack import DashboardStack, InferenceWorkerStack
from inference_worker_cdk.worker import InferenceWorker

__all__ = [
    "Alarms",
    "Dashboard",
    "DashboardStack",
    "InferenceWorker",
    "InferenceWorkerStack",
    "Network",
    "Thresholds",
    "network",
]
