"""Where a target is, as far as its names tell, and whether that is allowed."""

import pytest

from worker.core.geo import GEOGRAPHIES, is_place, lies_within, places_of

ARN = "arn:aws:bedrock:us-east-1:123456789012:"


@pytest.mark.parametrize(
    ("model", "region", "places"),
    [
        ("eu.anthropic.claude", "", {"eu"}),
        ("eu.anthropic.claude", "eu-central-1", {"eu", "eu-central-1"}),
        ("us.anthropic.claude", "ca-central-1", {"us", "ca-central-1"}),
        ("us-gov.anthropic.claude", "", {"us-gov"}),
        ("apac.amazon.nova", "ap-south-1", {"apac", "ap-south-1"}),
        ("global.anthropic.claude", "eu-west-1", {"global", "eu-west-1"}),
        ("anthropic.claude", "eu-west-3", {"eu-west-3"}),
        ("anthropic.claude", "", set()),
        ("eu.anthropic.claude", "moon-base-1", set()),
        (ARN + "inference-profile/us.anthropic.claude", "", {"us", "us-east-1"}),
        ("arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude", "", {"eu-west-1"}),
        (ARN + "provisioned-model/abc", "", {"us-east-1"}),
        (ARN + "application-inference-profile/abc", "us-east-1", set()),
        (ARN + "default-prompt-router/abc", "us-east-1", set()),
        ("arn:aws:sagemaker:us-east-1:123456789012:endpoint/abc", "us-east-1", set()),
    ],
)
def test_a_target_is_where_its_names_say(model: str, region: str, places: set[str]) -> None:
    assert places_of(model, region) == places


@pytest.mark.parametrize(
    ("places", "allowed", "inside"),
    [
        ({"eu"}, {"eu"}, True),
        ({"eu-central-1"}, {"eu"}, True),
        ({"eu-central-1"}, {"eu-central-1"}, True),
        ({"eu"}, {"eu-central-1"}, False),
        ({"eu", "eu-central-1"}, {"eu-central-1"}, False),
        ({"us", "ca-central-1"}, {"us"}, False),
        ({"us", "ca-central-1"}, {"us", "ca"}, True),
        ({"eu-west-2"}, {"eu"}, False),
        ({"eu-west-2"}, {"uk"}, True),
        ({"eu-central-2"}, {"ch"}, True),
        ({"jp"}, {"apac"}, True),
        ({"ap-northeast-1"}, {"apac"}, True),
        ({"ap-northeast-1"}, {"jp"}, True),
        ({"apac"}, {"jp"}, False),
        ({"us-gov-west-1"}, {"us"}, True),
        ({"us-west-2"}, {"us-gov"}, False),
        ({"global"}, {"eu", "us"}, False),
        ({"global"}, {"global"}, True),
        ({"eu"}, {"global"}, True),
        (set(), {"eu"}, False),
        (set(), {"global"}, True),
        ({"eu"}, {"europe"}, False),
    ],
)
def test_all_places_of_a_target_must_be_allowed(
    places: set[str],
    allowed: set[str],
    inside: bool,  # noqa: FBT001
) -> None:
    assert lies_within(places, frozenset(allowed)) is inside


@pytest.mark.parametrize("name", ["europe", "eu-", "EU", "", "central-1", "moon-base-1"])
def test_what_is_no_place_is_known_as_none(name: str) -> None:
    assert not is_place(name)


def test_every_geography_is_a_place() -> None:
    assert all(map(is_place, GEOGRAPHIES))
    assert is_place("ap-southeast-2")
