"""Naming the AWS operation of a request: `sqs:SendMessage`, `s3:PutObject`.

SQS, DynamoDB and Step Functions say it in a header. S3 says it in method, path
and query, as the S3 API reference defines; the operations named are those that a
job's payloads can need, and any other is named after its method.
"""

from typing import Final

from aiohttp import web

from worker.local.signature import scope_of

_SERVICE_OF_TARGET: Final = {
    "AmazonSQS": "sqs",
    "DynamoDB_20120810": "dynamodb",
    "AWSStepFunctions": "states",
}
_OBJECT: Final = {
    "PUT": "PutObject",
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "DELETE": "DeleteObject",
}
_BUCKET: Final = {
    "PUT": "CreateBucket",
    "GET": "ListObjects",
    "HEAD": "HeadBucket",
    "DELETE": "DeleteBucket",
}
# By what the query names, of a bucket's parts that somebody may ask for.
_PARTS: Final = {
    "lifecycle": "GetBucketLifecycleConfiguration",
    "publicAccessBlock": "GetPublicAccessBlock",
}


def operation_of(request: web.BaseRequest) -> str:
    """The operation's name, as the rules of the fault layer use it."""
    if target := request.headers.get("X-Amz-Target"):
        prefix, _, name = target.rpartition(".")
        return f"{_SERVICE_OF_TARGET.get(prefix, prefix)}:{name}"
    _, service = scope_of(request)
    if service != "s3":
        return f"{service}:{request.method}"
    return f"s3:{_s3_operation(request)}"


def _s3_operation(request: web.BaseRequest) -> str:
    path, _, query = request.raw_path.partition("?")
    _, _, key = path.removeprefix("/").partition("/")
    arguments = {pair.partition("=")[0] for pair in query.split("&")}
    if not path.removeprefix("/"):
        return "ListBuckets"
    if not key:
        if "list-type" in arguments:
            return "ListObjectsV2"
        if request.method == "POST" and "delete" in arguments:
            return "DeleteObjects"
        if request.method == "GET" and (part := next((p for p in _PARTS if p in arguments), None)):
            return _PARTS[part]
        return _BUCKET.get(request.method, request.method)
    if "uploadId" in arguments:
        names = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload"}
        return names.get(request.method, "AbortMultipartUpload")
    if "uploads" in arguments:
        return "CreateMultipartUpload"
    return _OBJECT.get(request.method, request.method)
