"""What workflows may do."""

from __future__ import annotations

from settings.rules.rule import Finding, Findings, Rules, listed_once
from settings.stack import Settings

RULES = Rules()


@RULES.reading(
    "delivery.githubRepository",
    "delivery.githubOidcProviderArn",
    "delivery.stateBucketArn",
    "delivery.stateKeyArns",
)
def _without_repository(s: Settings) -> Findings:
    if s.delivery.github_repository is not None:
        return
    for key, value in (
        ("githubOidcProviderArn", s.delivery.github_oidc_provider_arn),
        ("stateBucketArn", s.delivery.state_bucket_arn),
        ("stateKeyArns", s.delivery.state_key_arns),
    ):
        if value:
            text = "does nothing without delivery.githubRepository: name the repository"
            yield Finding(f"delivery.{key}", value, text)


@RULES.reading("delivery.githubOidcProviderArn", "account.id")
def _provider(s: Settings) -> Findings:
    arn = s.delivery.github_oidc_provider_arn
    if arn is not None and arn.split(":")[4] != s.account.id:
        yield Finding(
            "delivery.githubOidcProviderArn",
            arn,
            f"is of another account than account.id, {s.account.id}, whose roles it cannot stand "
            "for: leave it out, and one is made",
        )


@RULES.reading("delivery.stateKeyArns")
def _keys(s: Settings) -> Findings:
    yield from listed_once("delivery.stateKeyArns", s.delivery.state_key_arns)
