"""Sends more than is read to a server, with requests and aiohttp, and prints each answer: client, status, type."""

import asyncio
import sys

import aiohttp
import requests

url, size, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
body = b"x" * size
cases = [tuple(case.split(" ")) for case in sys.argv[4:]]


def pieces():
    for at in range(0, size, 65536):
        yield body[at : at + 65536]


def with_requests():
    for method, path in cases:
        for _ in range(rounds):
            for name, data in (("requests", body), ("requests-chunked", pieces())):
                answer = requests.request(method, url + path, data=data, timeout=20)
                print(name, method, path, answer.status_code, answer.json()["type"])


async def with_aiohttp():
    for method, path in cases:
        for _ in range(rounds):
            # A session of its own: a refused connection is not used again.
            async with aiohttp.ClientSession() as session:
                async with session.request(method, url + path, data=body) as answer:
                    problem = await answer.json(content_type=None)
                    print("aiohttp", method, path, answer.status, problem["type"])


with_requests()
asyncio.run(with_aiohttp())
