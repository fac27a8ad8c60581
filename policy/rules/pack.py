"""The rules as Pulumi's policy SDK wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from .rule import Props, Resource, Rule, Stack

_inputs: dict[str, Props] = {}
"""What the program wants, by URN. A stack's validation is shown what providers have made of it, and
a provider that cannot be configured before `pulumi up` has made nothing of anything."""


def policy(rule: Rule) -> Policy:
    """Return the policy that a rule is."""
    level = EnforcementLevel.MANDATORY if rule.gate == "always" else EnforcementLevel.ADVISORY
    described = f"{rule.demand} ({rule.sources})"
    schema = PolicyConfigSchema(dict(rule.settings)) if rule.settings else None
    if rule.of_stack:
        return StackValidationPolicy(
            rule.name,
            described,
            _of_stack(rule),
            level,
            schema,
            remediation_steps=rule.way_out,
        )
    return ResourceValidationPolicy(
        rule.name,
        described,
        _of_resource(rule),
        level,
        schema,
        remediation_steps=rule.way_out,
    )


def _of_resource(rule: Rule) -> Callable[[ResourceValidationArgs, ReportViolation], None]:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        _inputs[args.urn] = args.props
        if args.resource_type in rule.types:
            one = Resource(
                args.resource_type, args.name, args.urn, args.props, bool(args.opts.protect)
            )
            for message in _violations(rule, one, Stack([one]), args.get_config()):
                report(message, None)

    return validate


def _of_stack(rule: Rule) -> Callable[[StackValidationArgs, ReportViolation], None]:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [_resource(one) for one in args.resources]
        for one in resources:
            if one.type in rule.types:
                for message in _violations(rule, one, Stack(resources), args.get_config()):
                    report(message, one.urn)

    return validate


def _resource(given: PolicyResource) -> Resource:
    return Resource(
        given.resource_type,
        given.name,
        given.urn,
        _inputs.get(given.urn, given.props),
        bool(given.opts.protect),
        {
            key: frozenset(one.urn for one in found)
            for key, found in given.property_dependencies.items()
        },
    )


def _violations(rule: Rule, one: Resource, stack: Stack, settings: Props) -> Iterator[str]:
    # What nobody knows before `pulumi up` is judged there, and in each preview after it.
    try:
        for found in rule.check(one, stack, settings):
            yield f"{found}: {rule.way_out}"
    except UnknownValueError:
        return
