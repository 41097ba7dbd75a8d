"""Where we are: Region, account and who asks, as names of resources need them."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_SQS_HOST: Final = re.compile(
    r"(?:sqs\.)?([a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2})\.(?:queue\.)?amazonaws\."
)
# Roles of IAM Identity Center and of services are not ours to change; IAM refuses.
_ROLE: Final = re.compile(
    r"arn:[^:]+:sts::\d+:assumed-role/(?!AWSReservedSSO_|AWSServiceRoleFor)([^/]+)/"
)
_USER: Final = re.compile(r"arn:[^:]+:iam::\d+:user/(?:.*/)?([^/]+)")
_PARTITIONS: Final = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("eusc-", "aws-eusc"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the doctor asks from.

    Attributes:
        region: The SDK's own, "" if there is none.
        account: Twelve digits, "" where nobody could tell.
        caller: The ARN of who asks, "" likewise.
    """

    region: str = ""
    account: str = ""
    caller: str = ""

    def arn(self, service: str, rest: str) -> str:
        """An ARN in this Region and account."""
        return f"arn:{self._partition}:{service}:{self.region}:{self.account or '*'}:{rest}"

    def bucket_arn(self, name: str) -> str:
        """A bucket's ARN, which names no Region."""
        return f"arn:{self._partition}:s3:::{name}"

    def queue_arn(self, url: str) -> str:
        """A queue's ARN, as its URL tells."""
        region = region_of(url) or self.region
        return f"arn:{self._partition}:sqs:{region}:{account_of(url) or '*'}:{name_of(url)}"

    def table_arn(self, name: str) -> str:
        """A table's ARN; the settings may name one by it."""
        return name if name.startswith("arn:") else self.arn("dynamodb", f"table/{name}")

    def grant(self, statement: str, name: str) -> str:
        """The command that gives it to whoever asks; "" where it is no role or user of ours."""
        document = f"--policy-name {name} --policy-document '{statement}'"
        if role := _ROLE.match(self.caller):
            return f"aws iam put-role-policy --role-name {role[1]} {document}"
        if user := _USER.fullmatch(self.caller):
            return f"aws iam put-user-policy --user-name {user[1]} {document}"
        return ""

    @property
    def _partition(self) -> str:
        return next((p for begin, p in _PARTITIONS if self.region.startswith(begin)), "aws")


def name_of(url: str) -> str:
    """A queue's name, of its URL."""
    return url.rpartition("/")[2]


def account_of(url: str) -> str:
    """The account that a queue's URL names.

    >>> account_of("https://sqs.eu-central-1.amazonaws.com/111122223333/chat-jobs")
    '111122223333'
    """
    return urlsplit(url).path.strip("/").rpartition("/")[0].rpartition("/")[2]


def region_of(url: str) -> str:
    """The Region that a queue's URL names, "" if its host is nobody we know.

    >>> region_of("https://sqs.eu-central-1.amazonaws.com/111122223333/chat-jobs")
    'eu-central-1'
    >>> region_of("http://127.0.0.1:4566/111122223333/chat-jobs")
    ''
    """
    found = _SQS_HOST.match(urlsplit(url).hostname or "")
    return found[1] if found else ""
