"""The policy pack: `pulumi preview --policy-pack policy`."""

from pulumi_policy import PolicyPack
from rules import RULES
from rules.pack import policy

PolicyPack("aws-data-platform", [policy(rule) for rule in RULES])
