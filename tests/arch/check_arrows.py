#!/usr/bin/env python3
"""Fails on an include that runs against the arrows of docs/architecture.md.

usage: check_arrows.py ROOT

An include names its room: "common/limit/limiter.h". ALLOWED lists, for each room, the rooms that
it may name; BANNED lists system headers that a room may not include, each with the reason.
"""
import pathlib
import re
import sys

COMMON = {"common/base", "common/http", "common/limit", "common/token", "common/analytics",
          "common/gate"}

ALLOWED = {
    "common/base": set(),
    "common/http": {"common/base"},
    "common/limit": {"common/base"},
    "common/token": {"common/base"},
    "common/analytics": {"common/base", "common/http"},
    "common/gate": COMMON,
    "edge": COMMON,
    "native/net": COMMON | {"native/telemetry"},
    "native/noise": COMMON,
    "native/h2": COMMON,
    # Its driver takes over net's upgraded streams; its state knows no stream.
    "native/derp": COMMON | {"native/net"},
    "native/stun": COMMON,
    # Joins three rooms that do not know each other into one control connection.
    "native/ts2021": COMMON | {"native/net", "native/noise", "native/h2"},
    "native/tailcfg": COMMON,
    "native/telemetry": COMMON,
    "native/store": COMMON,
    "native/policy": COMMON | {"native/tailcfg"},
    "native/control": COMMON | {"native/policy", "native/tailcfg", "native/store",
                                "native/telemetry"},
    "native/api": COMMON | {"native/control", "native/net", "native/telemetry", "native/tailcfg",
                            "native/ts2021", "native/h2"},
    "native/cli": None,  # the top: may name every room
}

PURE = "common/ is pure: no I/O, no clock, no randomness, no threads (docs/architecture.md)"
CLOCK = "time is an argument; native/cli is the only place that names the real clock"
BANNED = [
    (r"common/.*", r"(iostream|fstream|cstdio|stdio\.h|thread|mutex|atomic|random|filesystem|"
                   r"condition_variable|future)", PURE),
    (r"common/.*", r"(boost|openssl|sqlite3|nghttp2|yaml-cpp)/?.*", PURE),
    (r"edge", r"(boost|openssl|sqlite3|nghttp2|yaml-cpp)/?.*", "the edge knows only common/"),
]
CLOCK_CALL = re.compile(r"\b(system_clock|steady_clock|high_resolution_clock)::now\s*\(|"
                        r"\bstd::random_device\b|\btime\s*\(\s*(NULL|nullptr|0)\s*\)")

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def room_of(path):
    parts = pathlib.PurePosixPath(path).parts
    if parts[0] in ("common", "native") and len(parts) >= 2:
        return "/".join(parts[:2])
    return parts[0] if parts else ""


def main():
    root = pathlib.Path(sys.argv[1])
    problems = []
    for top in ("common", "edge", "native"):
        for file in sorted((root / top).rglob("*")):
            if file.suffix not in (".h", ".cc"):
                continue
            name = file.relative_to(root).as_posix()
            room = room_of(name)
            if room not in ALLOWED:
                problems.append(f"{name}: room {room} is not listed in tests/arch/check_arrows.py")
                continue
            text = file.read_text()
            for quote, target in INCLUDE.findall(text):
                if quote == '"':
                    other = room_of(target)
                    allowed = ALLOWED[room]
                    if other != room and allowed is not None and other not in allowed:
                        problems.append(f"{name}: includes {target}: {room} may not know {other}")
                for where, what, why in BANNED:
                    if re.fullmatch(where, room) and re.fullmatch(what, target):
                        problems.append(f"{name}: includes {target}: {why}")
            if room != "native/cli":
                # Block and line comments may speak of clocks.
                code = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
                for call in CLOCK_CALL.finditer(code):
                    problems.append(f"{name}: {call.group(0).strip()}: {CLOCK}")
    for problem in problems:
        print(problem)
    print(f"arch: {len(problems)} wrong arrows")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
