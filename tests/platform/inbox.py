"""What the topics of the alarms are told."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sandbox.clone import Clone
from sandbox.machine.waiting import wait_for

ARN = "arn:aws:{}:us-west-2:123456789012:{}"


@dataclass
class Inbox:
    """A queue that is told what a topic gets."""

    clone: Clone
    url: str

    def get(self) -> list[dict[str, str]]:
        """Take out what has arrived."""
        sqs = self.clone.aws("sqs")
        found = sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
        for one in found:
            sqs.delete_message(QueueUrl=self.url, ReceiptHandle=one["ReceiptHandle"])
        return [json.loads(one["Body"]) for one in found]

    def wait_for(self, text: str) -> str:
        """Return the first message that has the text, in its subject or in itself."""

        def look() -> str | None:
            told = [f"{one.get('Subject', '')}\n{one['Message']}" for one in self.get()]
            return next((one for one in told if text in one), None)

        return str(wait_for(look, f"a message with {text}"))


def subscribe(clone: Clone, name: str) -> Inbox:
    sqs, topic = clone.aws("sqs"), ARN.format("sns", name)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    url = sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
    queue = ARN.format("sqs", name)
    clone.aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    return Inbox(clone, url)
