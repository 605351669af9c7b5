#!/usr/bin/env python3
"""Runs the scoring script of the policy conformance data, if it is there.

usage: policy_conformance.py SCRIPT BINARY

Exit status 77 says that the data is not there, which ctest counts as skipped.
"""
import pathlib
import subprocess
import sys

SKIPPED = 77


def main():
    script, binary = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    if not script.is_file():
        print(f"SKIPPED: no conformance data: {script} does not exist")
        return SKIPPED
    return subprocess.run([sys.executable, str(script), binary]).returncode


if __name__ == "__main__":
    sys.exit(main())
