#!/usr/bin/env python3
"""Checks the alerts of Prometheus and the queries of the dashboard with promtool. Needs Python 3.9 and promtool.

1. The queries of grafana.json are valid rules.
2. Labels and their values in rules and queries are those that OPERATING.md and PROTOCOL.md list, and so are times.
3. The cases in cases-*.yaml hold.
4. Each alert is broken in every way that `broken` knows; each time a case must fail. So every alert has a case in which
   it fires and a near miss in which it does not, for each part of its query.

Cases keep one layout, because they are read without a library for YAML: see `Case`.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SERVER = HERE.parent.parent / "server"
RULE = re.compile(r"      - alert: (\w+)\n        expr: (.+)\n(?:        for: (\w+)\n)?((?:        .*\n)+)")
# Labels that Prometheus and histograms add.
ADDED = {"instance", "job", "le"}
# Grafana's own variables: windows and steps, in the queries here.
VARIABLE = re.compile(r"\$__\w+")

# Promtool makes a database for each case, and syncs its files: on a busy disk that takes minutes.
MEMORY = pathlib.Path("/dev/shm")
ENVIRONMENT = {**os.environ, "TMPDIR": str(MEMORY)} if MEMORY.is_dir() else dict(os.environ)

errors = []


def promtool(*arguments):
    """Runs promtool. Returns whether it succeeded, and its output."""
    ended = subprocess.run(
        ["promtool", *arguments], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return ended.returncode == 0, ended.stdout


def queries_of_dashboard():
    """The titles of panels and their queries."""
    panels = json.loads((SERVER / "deploy/grafana.json").read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def unquoted(expression):
    return expression[1:-1] if expression.startswith("'") else expression


def rules():
    """The alerts: name, query, `for`, and the lines of labels and annotations."""
    text = (SERVER / "deploy/alerts.yaml").read_text()
    found = [(name, unquoted(query), lasts, rest) for name, query, lasts, rest in RULE.findall(text)]
    if not found or len(found) != text.count("- alert: "):
        sys.exit(f"{len(found)} of {text.count('- alert: ')} alerts could be read")
    return found


def check_dashboard(directory):
    """Makes a recording rule of each query."""
    file = directory / "dashboard.yaml"
    record = [
        {"record": f"panel:query{number}", "expr": VARIABLE.sub("5m", query), "labels": {"panel": title}}
        for number, (title, query) in enumerate(queries_of_dashboard())
    ]
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": record}]}))
    valid, said = promtool("check", "rules", str(file))
    if not valid or len(record) < 20:
        errors.append(f"grafana.json, {len(record)} queries: {said}")


def check_times():
    """Compares how long an alert must last with the table of alerts. A test of documents.rs compares the queries."""
    table = (SERVER / "OPERATING.md").read_text().replace("\\|", "|")
    for alert, query, lasts, _ in rules():
        time = f" for {lasts[:-1]} {lasts[-1]}" if lasts else ""
        if not re.search(re.escape(f"| `{query}`{time}") + r"(,| \|)", table):
            errors.append(f"OPERATING.md lacks: {query}{time}")


def check_labels():
    """Compares labels, and values of labels, with the tables of metrics."""
    operating, protocol = (SERVER / "OPERATING.md").read_text(), (SERVER / "PROTOCOL.md").read_text()
    table = re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram) \|[^|]*\|([^|]*)\|", operating, re.M)
    labels = {name: set(re.findall(r"`(\w+)`", listed)) for name, listed in table}
    used = [(name, query) for name, query, _, _ in rules()] + queries_of_dashboard()
    for name, query in used:
        metrics = {word.removesuffix("_bucket") for word in re.findall(r"\b(?:up|process)_\w+", query)}
        if unknown := metrics - labels.keys():
            errors.append(f"{name}: no metrics: {unknown}")
            continue
        # Each metric of a query must have the labels that the query sums by.
        for listed in re.findall(r"\b(?:by|on|without|ignoring) \(([^)]*)\)", query):
            for metric in metrics:
                if missing := set(listed.split(", ")) - ADDED - labels[metric]:
                    errors.append(f"{name}: {metric} has no label {missing}")
        for metric, matchers in re.findall(r"(\w+)\{([^}]*)\}", query):
            for label, values in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', matchers):
                if label not in labels[metric.removesuffix("_bucket")]:
                    errors.append(f"{name}: {metric} has no label {label}")
                for value in values.split("|"):
                    if f"`{value}`" not in operating and f"| `{value}` |" not in protocol:
                        errors.append(f"{name}: no document lists {label}={value}")


class Case:
    """A case: its series, and the alerts that it expects at times, each an item that begins with six spaces."""

    def __init__(self, text):
        self.series, expected = text.split("    alert_rule_test:\n")
        self.expected = re.split(r"(?m)^(?=      - )", expected)[1:]

    def of(self, alert):
        return [text for text in self.expected if re.search(rf"alertname: {alert}\b", text)]


def read_cases():
    """The cases of every file, which must all hold as they are."""
    files = sorted(HERE.glob("cases-*.yaml"))
    holds, said = promtool("test", "rules", *map(str, files))
    if not holds:
        errors.append(said)
    texts = [text for file in files for text in re.split(r"(?m)^(?=  - name: )", file.read_text())[1:]]
    return [Case(text) for text in texts]


def times(factor, time):
    return f"{int(time[:-1]) * factor}{time[-1]}"


def replaced(pattern, replacements, query):
    """The query with each match replaced, one at a time, by each replacement: a function of the match."""
    for match in re.finditer(pattern, query):
        for replacement in replacements:
            yield query[: match.start()] + replacement(match) + query[match.end() :]


def compared(factor):
    """Replaces a comparison with a number by one that a `factor` above 1 makes harder, and one below 1 easier."""

    def other(match):
        operator, bound = match[1], float(match[2])
        if operator == "==":
            return "== -1" if factor > 1 else ">= 0"
        if bound == 0:
            return "> 1000000" if factor > 1 else ">= 0"
        return f"{operator} {bound * factor if operator == '>' else bound / factor:f}"

    return other


def without_one(listed, separator):
    """A list without each of its items."""
    items = listed.split(separator)
    return [separator.join(items[:at] + items[at + 1 :]) for at in range(len(items))]


def clauses(query):
    """The places of ` and ` and ` unless ` outside of brackets, and the end."""
    depth, places = 0, []
    for at, letter in enumerate(query):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and (operator := re.match(r" (?:and|unless) ", query[at:])):
            places.append((at, at + len(operator[0])))
    return places + [(len(query), len(query))]


def broken(query, lasts):
    """Wrong versions of a rule: pairs of a query and a `for`."""
    if lasts:
        yield query, ""
        yield query, times(10, lasts)
    # Half of the bound, and twice the bound.
    wrong = list(replaced(r"(>|<|==) ([\d.]+)", [compared(0.5), compared(2)], query))
    wrong += replaced(r"< (?=up_)", [lambda _: "<= ", lambda _: "< 0 * "], query)
    # A longer window, or for values over time hardly one.
    longer = r"(?<!_over_time)(\(\w+(?:\{[^}]*\})?)\[(\w+)\]"
    wrong += replaced(longer, [lambda it: f"{it[1]}[{times(10, it[2])}]"], query)
    wrong += replaced(r"(_over_time\([^[]*)\[\w+\]", [lambda it: f"{it[1]}[1m]"], query)
    # Other aggregations.
    wrong += replaced(r"\b(max|sum)(?=\()", [lambda _: "min"], query)
    wrong += replaced(r"\bmin(?=\()|\bsum(?= by \(le)", [lambda _: "max"], query)
    # Labels fewer.
    for listed in re.finditer(r"\b(by|on) \(([^)]*)\)", query):
        for fewer in without_one(listed[2], ", "):
            wrong.append(f"{query[: listed.start()]}{listed[1]} ({fewer}){query[listed.end() :]}")
    # Matchers fewer, or values.
    wrong += replaced(r"\{[^}]*\}", [lambda _: ""], query)
    for values in re.finditer(r'(?<==~")[^"]*', query):
        wrong += [query[: values.start()] + fewer + query[values.end() :] for fewer in without_one(values[0], "|")]
    # Clauses fewer.
    places = clauses(query)
    for (start, _), (end, _) in zip(places, places[1:]):
        wrong.append(query[:start] + query[end:])
    if len(places) > 1 and " and " in query[places[0][0] : places[0][1]]:
        wrong.append(re.sub(r"^on \([^)]*\) ", "", query[places[0][1] :]))
    for query in wrong:
        yield query, lasts


def check_broken(directory, cases):
    """Tests all wrong versions of an alert in one run of promtool, each by a name of its own."""
    number = 0
    for alert, query, lasts, rest in rules():
        versions = [(f"{alert}{at}", *version) for at, version in enumerate(broken(query, lasts))]
        number += len(versions)
        text = "groups:\n  - name: broken\n    rules:\n"
        for name, wrong, wrong_lasts in versions:
            text += f"      - alert: {name}\n        expr: '{wrong}'\n"
            text += (f"        for: {wrong_lasts}\n" if wrong_lasts else "") + rest
        (directory / "broken.yaml").write_text(text)
        text = "rule_files: [broken.yaml]\nevaluation_interval: 1m\ntests:\n"
        own = [(case.series, "".join(case.of(alert))) for case in cases if case.of(alert)]
        if not own:
            errors.append(f"{alert} has no case")
            continue
        for series, expected in own:
            text += series + "    alert_rule_test:\n"
            text += "".join(re.sub(rf"\b{alert}\b", name, expected) for name, _, _ in versions)
        (directory / "cases.yaml").write_text(text)
        _, said = promtool("test", "rules", str(directory / "cases.yaml"))
        failed = set(re.findall(r"alertname: (\w+), time:", said))
        if not failed:
            errors.append(f"{alert}: {said}")
        for name, wrong, wrong_lasts in versions:
            if name not in failed:
                errors.append(f"{alert}: no case fails with: {wrong}" + (f" for {wrong_lasts}" if wrong_lasts else ""))
    return number


with tempfile.TemporaryDirectory() as made:
    check_dashboard(pathlib.Path(made))
    check_times()
    check_labels()
    cases = read_cases()
    number = check_broken(pathlib.Path(made), cases)
print("\n".join(errors) or f"{len(rules())} alerts, {len(cases)} cases; all of {number} broken rules fail a case")
sys.exit(bool(errors))
