"""Reads mails with Python's email package and dkimpy, and says in JSON what it found.

usage: judge.py KEYS MAIL...    KEYS holds SELECTOR.txt, the DNS records of the keys
"""

import email
import email.policy
import json
import pathlib
import sys

import dkim

POLICY = email.policy.SMTP + email.policy.strict


def defects(part):
    """The defects of a part, of its headers, and of the parts within."""
    found = [repr(defect) for defect in part.defects]
    for name, value in part.items():
        found += [f"{name}: {defect!r}" for defect in getattr(value, "defects", ())]
    for inner in part.iter_parts() if part.is_multipart() else ():
        found += defects(inner)
    return found


def signatures(raw, keys):
    """Each signature with whether it holds, from the top."""

    def dns(name, timeout=5):
        selector = name.decode().split("._domainkey.")[0]
        return (keys / f"{selector}.txt").read_bytes().strip()

    count = sum(line.lower().startswith(b"dkim-signature:") for line in raw.split(b"\r\n"))
    held = []
    for index in range(count):
        try:
            held.append(bool(dkim.DKIM(raw).verify(idx=index, dnsfunc=dns)))
        except dkim.DKIMException as error:
            held.append(f"{type(error).__name__}: {error}")
    return held


def judge(path, keys):
    raw = pathlib.Path(path).read_bytes()
    message = email.message_from_bytes(raw, policy=POLICY)
    body = {part.get_content_type(): part.get_content() for part in message.iter_parts()}
    return {
        "defects": defects(message),
        "headers": message.keys(),
        "subject": str(message["Subject"]),
        "to": [[to.display_name, to.addr_spec] for to in message["To"].addresses],
        "text": body["text/plain"],
        "html": body["text/html"],
        "signatures": signatures(raw, keys),
    }


keys = pathlib.Path(sys.argv[1])
for mail in sys.argv[2:]:
    print(json.dumps(judge(mail, keys)))
