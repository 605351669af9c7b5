#!/usr/bin/env python3
"""Counts test cases for `./opr test` and ends with 'N passed, N failed, N skipped'.

  --ctest LOG XML  ctest's Testing/Temporary/LastTest.log, which has all output, and its JUnit file,
                which knows what was skipped: a Catch2 program counts its test cases by its own
                summary, any other program is one case. A line 'SKIPPED: name: reason' in the
                output of a program makes one of its passed cases a skipped one.
  --cases FILE  what case_reporter.mjs wrote: 'verdict TAB name TAB reason' a line
  --lost NAME   a runner that ended badly without a failed case to show for it: one failed case
"""
import argparse
import re
import sys
import xml.etree.ElementTree
from pathlib import Path

ALL_PASSED = re.compile(r"^All tests passed \(\d+ assertions? in (\d+) test cases?\)", re.M)
SOME_FAILED = re.compile(r"^test cases: +(\d+)((?: \| +\d+ [a-z ]*[a-z])*)", re.M)
SKIPPED = re.compile(r"^SKIPPED: (.*)$", re.M)


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def add_program(self, name, output, verdict):
        skipped = SKIPPED.findall(output)
        self.skipped += [f"{name}: {what}" for what in skipped]
        passed, failed = catch2_counts(output)
        if verdict == "Passed":
            self.passed += max((passed or 1) - len(skipped), 0)
        elif verdict == "Skipped":
            if not skipped:
                self.skipped.append(name)
        else:
            # A program that crashed has no summary, or a clean one: it failed all the same.
            self.passed += passed
            self.failed += [name] * max(failed, 1)

    def add_ctest(self, log, junit):
        cases = xml.etree.ElementTree.parse(junit).getroot().iter("testcase")
        not_run = {
            case.get("name")
            for case in cases
            if case.find("skipped") is not None or case.get("status") == "disabled"
        }
        text = log.read_text(errors="replace")
        blocks = re.split(r"^\d+/\d+ Testing: (.*)$", text, flags=re.M)[1:]
        for name, block in zip(blocks[::2], blocks[1::2]):
            name = name.strip()
            ended = re.findall(r"^Test (Passed|Failed)", block, flags=re.M)
            verdict = ended[-1] if ended else "Failed"
            self.add_program(name, block, "Skipped" if name in not_run else verdict)

    def add_cases(self, file):
        for line in file.read_text().splitlines():
            verdict, name, reason = (line.split("\t") + ["", ""])[:3]
            if verdict == "passed":
                self.passed += 1
            elif verdict == "failed":
                self.failed.append(f"{name}: {reason}" if reason else name)
            else:
                self.skipped.append(f"{name}: {reason}" if reason else name)


def catch2_counts(output):
    clean = ALL_PASSED.findall(output)
    if clean:
        return int(clean[-1]), 0
    mixed = SOME_FAILED.findall(output)
    if not mixed:
        return 0, 0
    counts = {what.strip(): int(n) for n, what in re.findall(r"(\d+) ([a-z ]+)", mixed[-1][1])}
    return counts.get("passed", 0) + counts.get("failed as expected", 0), counts.get("failed", 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ctest", type=Path, nargs=2, action="append", default=[])
    parser.add_argument("--cases", type=Path, action="append", default=[])
    parser.add_argument("--lost", action="append", default=[])
    args = parser.parse_args()
    tally = Tally()
    for log, junit in args.ctest:
        tally.add_ctest(log, junit)
    for file in args.cases:
        tally.add_cases(file)
    tally.failed += args.lost
    print()
    for what in tally.skipped:
        print(f"skipped: {what}")
    for what in dict.fromkeys(tally.failed):
        print(f"FAILED: {what}")
    if not (tally.passed or tally.failed or tally.skipped):
        print("no test has such a name")
    print(f"{tally.passed} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    return 1 if tally.failed or not tally.passed else 0


sys.exit(main())
