#!/usr/bin/env python3
"""Uploads a picture and saves its three thumbnails. Needs Python 3.9 and nothing else.

    client.py FILE DIRECTORY [SERVER]

SERVER is the URL of an up! server; the default is http://127.0.0.1:8080.
PROTOCOL.md, in the directory above, describes every request that is made here.

Exit codes: 0 the thumbnails are saved; 1 the picture was refused or failed; 2 the server could not be reached, or the
upload did not end in time; 64 the command line is wrong.
"""

import http.client
import json
import mimetypes
import os
import sys
import time
import urllib.parse
import uuid

# Seconds that the whole run may take.
DEADLINE = 300
# Seconds that the server may hold back one answer. It allows 25; proxies often cut a silent request after 30 or 60.
WAIT = 20
# Seconds without a byte, after which a connection counts as broken. Longer than WAIT.
TIMEOUT = 40


class Refused(Exception):
    """The server refused the picture, or could not make thumbnails of it."""


class Unreachable(Exception):
    """The server could not be reached, or did not finish in time."""


class Server:
    def __init__(self, url):
        self.url = url.rstrip("/")
        self.ends = time.monotonic() + DEADLINE

    def request(self, method, link, headers=None, body=None, body_size=None):
        """Sends one request and returns its status, headers and body. A link is a path or a whole URL."""
        url = urllib.parse.urlsplit(urllib.parse.urljoin(self.url + "/", link))
        secure = url.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connect(url.hostname, url.port, timeout=TIMEOUT)
        try:
            headers = dict(headers or {})
            if body_size is not None:
                headers["Content-Length"] = str(body_size)
            try:
                connection.request(method, url.path, body=body, headers=headers)
            except (BrokenPipeError, ConnectionResetError):
                pass  # A server may refuse a body before its end. Its answer is still there to be read.
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def persist(self, send):
        """Calls `send` until it gets an answer other than 'later'. Every request here may be repeated."""
        pause = 1.0
        while True:
            try:
                status, headers, body = send()
                # 409 key-in-use: the first request with this idempotency key has not finished. 502 and 504 come from a
                # proxy. After these and after 500 the upload may exist; the key finds it.
                if status not in (408, 409, 429, 500, 502, 503, 504, 507):
                    return status, headers, body
                reason, pause = problem(status, body), retry_after(headers, pause)
            except (OSError, http.client.HTTPException) as error:
                reason = f"could not reach {self.url}: {error}"
            if time.monotonic() + pause > self.ends:
                raise Unreachable(reason)
            time.sleep(pause)
            pause = min(2 * pause, 15)

    def upload(self, path):
        """Uploads a file and returns the accepted upload."""
        size = os.path.getsize(path)
        try:
            status, _, body = self.request("GET", self.url + "/limits")
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"could not reach {self.url}: {error}") from error
        if status != 200:
            raise Refused(f"{self.url} is not an up! server: GET /limits answers {status}")
        limit = json.loads(body)["max_upload_bytes"]
        if size > limit:
            raise Refused(f"{path} has {size} bytes; the server takes {limit}")
        # With the key a repeated request finds the upload that the first one made.
        headers = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "application/octet-stream"}
        link = f"{self.url}/uploads/{urllib.parse.quote(os.path.basename(path))}"

        def send():
            with open(path, "rb") as file:
                return self.request("PUT", link, headers, file, size)

        status, _, body = self.persist(send)
        if status not in (201, 202):
            raise Refused(problem(status, body))
        return json.loads(body)["uploads"][0]

    def wait(self, upload):
        """Waits until an upload has ended, and returns it."""
        while upload["state"] not in ("ready", "failed"):
            if time.monotonic() > self.ends:
                raise Unreachable(f"the upload {upload['id']} did not end within {DEADLINE} s")
            asked = time.monotonic()
            link = upload["links"]["self"]
            status, _, body = self.persist(lambda: self.request("GET", link, {"Prefer": f"wait={WAIT}"}))
            if status != 200:
                raise Refused(problem(status, body))
            upload = json.loads(body)
            # A server that drains, or is full, answers at once.
            if upload["state"] not in ("ready", "failed") and time.monotonic() - asked < 1:
                time.sleep(2)
        if upload["state"] == "failed":
            raise Refused(f"the upload {upload['id']} failed: {upload['error']['title']}")
        return upload

    def download(self, upload, directory):
        """Saves the thumbnails and returns where they are."""
        os.makedirs(directory, exist_ok=True)
        saved = []
        for thumbnail in upload["thumbnails"]:
            status, _, body = self.persist(lambda: self.request("GET", thumbnail["url"]))
            if status != 200:
                raise Refused(problem(status, body))
            if len(body) != thumbnail["bytes"]:
                raise Unreachable(f"{thumbnail['url']} was cut short")
            extension = mimetypes.guess_extension(thumbnail["content_type"]) or ""
            path = os.path.join(directory, thumbnail["size"] + extension)
            with open(path, "wb") as file:
                file.write(body)
            saved.append(f"{path} {thumbnail['width']}x{thumbnail['height']}")
        return saved


def problem(status, body):
    """An error in words: a problem of RFC 9457, or the bare status of a proxy."""
    try:
        told = json.loads(body)
        return f"{status}: {told['title']} {told.get('detail', '')}".strip()
    except (ValueError, KeyError, TypeError):
        return f"{status}: {http.client.responses.get(status, 'unknown status')}"


def retry_after(headers, otherwise):
    try:
        return float(headers["Retry-After"])
    except (KeyError, TypeError, ValueError):
        return otherwise


def main(arguments):
    if len(arguments) not in (2, 3):
        print("usage: client.py FILE DIRECTORY [SERVER]", file=sys.stderr)
        return 64
    path, directory = arguments[:2]
    server = Server(arguments[2] if len(arguments) == 3 else "http://127.0.0.1:8080")
    if urllib.parse.urlsplit(server.url).scheme not in ("http", "https"):
        print(f"client.py: {server.url} is not a URL; it should look like http://127.0.0.1:8080", file=sys.stderr)
        return 64
    if not os.path.isfile(path):
        print(f"client.py: {path} is not a file", file=sys.stderr)
        return 64
    try:
        for saved in server.download(server.wait(server.upload(path)), directory):
            print(saved)
    except Refused as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 1
    except (Unreachable, OSError) as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
