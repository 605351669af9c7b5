#!/usr/bin/env python3
"""Runs the scoring script of the policy conformance data, if it is there.

usage: policy_conformance.py SCRIPT BINARY

Passes when exactly the cases of DIFFERENCES differ: a new difference fails, and so does one that has
gone and still stands here. Exit status 77 says that the data is not there: ctest counts a skip.
"""
import pathlib
import re
import subprocess
import sys

SKIPPED = 77

# The case, and why we differ from what was captured.
DIFFERENCES = {
    "policytest-allpass-grants-only-tag-src-ipv6-literal-dst":
        "the policy spells out the IPv6 address that the topology gives to a node, yet the capture "
        "has no filter for that node: its address was another one when the capture was made",
}


def main():
    script, binary = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    if not script.is_file():
        print(f"SKIPPED: no conformance data: {script} does not exist")
        return SKIPPED
    run = subprocess.run([sys.executable, str(script), "--show", "1000", binary],
                         capture_output=True, text=True)
    sys.stdout.write(run.stdout)
    sys.stderr.write(run.stderr)
    if not re.search(r"^\d+ passed, \d+ failed$", run.stdout, re.M):
        return 1
    failed = set(re.findall(r"^  FAIL (\S+)$", run.stdout, re.M))
    for case in sorted(failed - set(DIFFERENCES)):
        print(f"not expected to differ: {case}")
    for case in sorted(set(DIFFERENCES) - failed):
        print(f"does not differ any more, take it out of DIFFERENCES: {case}")
    for case in sorted(failed & set(DIFFERENCES)):
        print(f"known difference: {case}: {DIFFERENCES[case]}")
    return 0 if failed == set(DIFFERENCES) else 1


if __name__ == "__main__":
    sys.exit(main())
