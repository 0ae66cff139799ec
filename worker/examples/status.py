#!/usr/bin/env python3
"""Prints the state of an upload as its storage directory tells it. Needs Python 3.9 and nothing else.

    status.py DIRECTORY ID

DIRECTORY is the directory of `--storage file:///…`, or the `--data` directory of a server with local storage. No server
need run. The program reads and never writes. It follows "State of an upload" in MESSAGES.md, in the directory above, and
shares no code with up!: the two read the same files by the same rules.

The output is one JSON object. Exit codes: 0 the state is known; 1 storage knows no such upload; 64 the command line is
wrong.
"""

import json
import os
import re
import sys

VERSION = 2
# Longer stored JSON is not read.
MAX_JSON_BYTES = 256 * 1024
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

ABSENT = object()
UNREADABLE = object()


def read_fact(path, upload, generation=None):
    """Reads a fact: a dictionary, ABSENT, or UNREADABLE. An unreadable fact counts as absent and is worth a warning."""
    try:
        if os.path.isdir(path) or os.path.getsize(path) > MAX_JSON_BYTES:
            raise ValueError("it is a directory, or too long")
        with open(path, encoding="utf-8") as file:
            fact = json.load(file)
        if fact["v"] != VERSION:
            raise ValueError(f"it has version {fact['v']}; this program reads version {VERSION}")
        # A pending entry is a record. A result and a failure hold one.
        record = fact.get("record", fact)
        if record["id"] != upload or generation not in (None, record["gen"]):
            raise ValueError("it belongs to another upload or generation")
        return fact
    except FileNotFoundError:
        return ABSENT
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"status.py: {path} cannot be read and counts as absent: {error}", file=sys.stderr)
        return UNREADABLE


def is_fact(read):
    return isinstance(read, dict)


def status(storage, upload):
    """The state of an upload: the result first, then pending entries and failures, then the tombstone."""
    directory = os.path.join(storage, "uploads", upload[:6], upload)
    has_original = os.path.isfile(os.path.join(directory, "original"))

    def read_result():
        return read_fact(os.path.join(directory, "result.json"), upload)

    def read_failure(generation):
        return read_fact(os.path.join(directory, f"failure.{generation}.json"), upload, generation)

    def read_pending(generation):
        name = upload if generation == 1 else f"{upload}.{generation}"
        return read_fact(os.path.join(storage, "pending", name), upload, generation)

    def queued(generation, entry):
        # An entry that cannot be read is made again from the original; without an original there is no upload. Storage
        # cannot tell `queued` from `processing`: only messages do.
        known = {"record": {key: entry[key] for key in entry if key != "v"}} if is_fact(entry) else {}
        return {"state": "queued", "gen": generation, **known} if known or has_original else None

    result = read_result()
    if is_fact(result):
        return ready(storage, upload, result)
    damaged = result is UNREADABLE
    entry = read_pending(1)
    if entry is not ABSENT:
        return queued(1, entry)

    # Another process may write between two reads. So a fact that ends the upload is looked for once more.
    names = os.listdir(directory) if os.path.isdir(directory) else []
    failures = (re.fullmatch(r"failure\.([1-9][0-9]*)\.json", name) for name in names)
    failed = sorted(int(name[1]) for name in failures if name)
    if "result.json" in names and is_fact(result := read_result()):
        return ready(storage, upload, result)
    for generation in reversed(failed or ([1] if damaged else [])):
        entry = read_pending(generation + 1)
        if is_fact(entry) and is_fact(result := read_result()):
            return ready(storage, upload, result)
        if entry is not ABSENT:
            return queued(generation + 1, entry)
        failure = read_failure(generation)
        if is_fact(failure):
            if is_fact(result := read_result()):
                return ready(storage, upload, result)
            later = read_failure(generation + 1)
            last = later if is_fact(later) else failure
            return {"state": "failed", "gen": last["record"]["gen"], "error": last["problem"], "record": last["record"]}
        damaged = damaged or failure is UNREADABLE

    if os.path.exists(os.path.join(storage, "gone", upload)):
        return {"state": "gone"}
    if damaged and has_original:
        # The end is lost and the original is there: a retry makes the thumbnails again.
        error = {"type": "/problems/forgotten", "title": "Its state is damaged. Try again."}
        return {"state": "failed", "gen": failed[-1] if failed else 1, "error": error}
    return None


def ready(storage, upload, result):
    """A ready upload, and for each thumbnail whether its file is whole."""
    thumbnails = []
    for fact in result["thumbnails"]:
        extension = {"image/jpeg": "jpg", "image/png": "png"}.get(fact["content_type"])
        if extension is None or fact["size"] not in ("small", "medium", "large"):
            continue  # Of a newer version: a reader leaves out what it does not know.
        key = f"uploads/{upload[:6]}/{upload}/{result['making']}/{fact['size']}.{extension}"
        path = os.path.join(storage, key)
        whole = os.path.isfile(path) and os.path.getsize(path) == fact["bytes"]
        thumbnails.append({"key": key, "width": fact["width"], "height": fact["height"], "whole": whole})
    return {"state": "ready", "gen": result["record"]["gen"], "thumbnails": thumbnails, "record": result["record"]}


def main(arguments):
    if len(arguments) != 2 or not os.path.isdir(arguments[0]) or not ID.fullmatch(arguments[1]):
        print("usage: status.py DIRECTORY ID", file=sys.stderr)
        print("DIRECTORY exists; ID is a lower-case UUID of version 7", file=sys.stderr)
        return 64
    storage, upload = arguments
    found = status(storage, upload)
    if found is None:
        print(f"status.py: {storage} knows no upload {upload}", file=sys.stderr)
        return 1
    print(json.dumps({"id": upload, **found}, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
