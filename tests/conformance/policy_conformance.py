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
#
# policytest-allpass-grants-only-tag-src-ipv6-literal-dst grants tag:client port 22 of
# fd7a:115c:a1e0::10, which the topology gives to beedrill, and beedrill has no filter for it. No
# rule about literals explains that: a literal IPv6 source works (grant-k14), so do IPv4 literals
# and hosts as destinations in the same family (policytest-proto-empty), a prefix of one address
# (routes-*) and brackets in tests. What differs is the data. The nodes of families captured as they
# were have scattered addresses (100.75.179.30, fd7a:115c:a1e0::1537:b31e); those of this family are
# numbered through (100.64.0.16, ::10), so they were renumbered after the capture, IPv4 literals of
# the policy along with the nodes, IPv6 literals not: the service saw an address that nobody had.
# sshtest-malformed-dst-bare-ipv6 names the same literal and its test fails, which fits. To refuse an
# address because its like was renumbered elsewhere would refuse real ones.
DIFFERENCES = {
    "policytest-allpass-grants-only-tag-src-ipv6-literal-dst":
        "its IPv6 literal was not the node's address when it was captured (see above)",
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
