"""What the topics of the alarms are told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from sandbox.clone import Clone
from sandbox.machine.waiting import wait_for

ARN = "arn:aws:{}:us-west-2:123456789012:{}"


@dataclass
class Inbox:
    """A queue that is told what a topic gets."""

    clone: Clone
    url: str
    told: list[str] = field(default_factory=list)
    """What has arrived: subject and message."""

    def look(self) -> None:
        """Take out what has arrived since."""
        sqs = self.clone.aws("sqs")
        answer = sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        for one in answer.get("Messages", []):
            sqs.delete_message(QueueUrl=self.url, ReceiptHandle=one["ReceiptHandle"])
            message = json.loads(one["Body"])
            self.told.append(f"{message.get('Subject', '')}\n{message['Message']}")

    def wait_for(self, text: str) -> str:
        """Return the first message that has the text, in its subject or in itself."""

        def found() -> str | None:
            self.look()
            return next((one for one in self.told if text in one), None)

        return str(wait_for(found, f"a message with {text}"))


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
