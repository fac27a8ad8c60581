"""Where EMR keeps the images of its Spark, which it runs jobs with."""

from __future__ import annotations

from typing import Final

# "Amazon ECR registry accounts by Region", Details for selecting a base image URI, Amazon EMR on
# EKS Development Guide.
REGISTRY_ACCOUNTS: Final = {
    "af-south-1": "358491847878",
    "ap-east-1": "736135916053",
    "ap-northeast-1": "059004520145",
    "ap-northeast-2": "996579266876",
    "ap-northeast-3": "705689932349",
    "ap-south-1": "235914868574",
    "ap-south-2": "691480105545",
    "ap-southeast-1": "671219180197",
    "ap-southeast-2": "038297999601",
    "ap-southeast-3": "946962994502",
    "ca-central-1": "351826393999",
    "eu-central-1": "107292555468",
    "eu-central-2": "314408114945",
    "eu-north-1": "830386416364",
    "eu-south-1": "238014973495",
    "eu-south-2": "350796622945",
    "eu-west-1": "483788554619",
    "eu-west-2": "118780647275",
    "eu-west-3": "307523725174",
    "il-central-1": "395734710648",
    "me-central-1": "818935616732",
    "me-south-1": "008085056818",
    "sa-east-1": "052806832358",
    "us-east-1": "755674844232",
    "us-east-2": "711395599931",
    "us-west-1": "608033475327",
    "us-west-2": "895885662937",
}


def spark_image(release_label: str, region: str) -> str:
    """Return the image that a job of a release runs in, as nodes of a region pull it."""
    release, _, build = release_label.rpartition("-")
    registry = f"{REGISTRY_ACCOUNTS[region]}.dkr.ecr.{region}.amazonaws.com"
    return f"{registry}/spark/{release}:{build}"
