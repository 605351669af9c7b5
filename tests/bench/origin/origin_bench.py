#!/usr/bin/env python3
"""Requests a second and CPU a request of the origin, next to a bare Beast server.

usage: origin_bench.py --origin build/release/bin/edgescale [--baseline build/bench/bin/beast_baseline]
                       [--seconds 3] [--connections 16]

Starts each program on ports that the kernel chooses, checks an answer by hand, loads it with wrk
over loopback, reads its CPU time from /proc before and after, and stops it. The origin runs with
everything on; its rate limit is set so high that it grants every request.
"""
import argparse
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def fetch(url, key=None):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read().decode()


def load(url, pid, seconds, connections, key=None):
    before = cpu_seconds(pid)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    if key:
        command[1:1] = ["-H", f"Authorization: Bearer {key}"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True).stdout
    cpu = cpu_seconds(pid) - before
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    if "Non-2xx" in out or requests == 0:
        sys.exit(f"wrk did not get what it asked for from {url}:\n{out}")
    p99 = re.search(r"99%\s+(\S+)", out).group(1)
    return {"rps": requests / seconds, "cpu_us": cpu / requests * 1e6, "p99": p99}


def show(name, result, base=None):
    line = f"{name:<28} {result['rps']:>9.0f} requests/s {result['cpu_us']:>7.1f} us CPU each  p99 {result['p99']}"
    if base:
        line += f"  {result['cpu_us'] / base['cpu_us']:.2f} of the bare server's CPU"
    print(line)


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def bench_baseline(args):
    process = subprocess.Popen([args.baseline, "2"], stdout=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{int(process.stdout.readline())}/health"
        assert json.loads(fetch(url)) == {"status": "pass"}
        return load(url, process.pid, args.seconds, args.connections)
    finally:
        stop(process)


def bench_origin(args, base):
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        config = pathlib.Path(folder, "config.yaml")
        config.write_text(
            f"listen_addr: 127.0.0.1:{port}\nmetrics_listen_addr: ''\nstate_dir: {folder}/state\n"
            "limits:\n  requests: {max: 2900, window: 10ms, burst: 100}\nlog: {level: warn}\n")
        cli = [args.origin, "--config", str(config)]
        process = subprocess.Popen([*cli, "serve"], stderr=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(100):
                try:
                    fetch(url + "/health")
                    break
                except OSError:
                    time.sleep(0.1)
            key = subprocess.run([*cli, "apikeys", "create"], capture_output=True, text=True,
                                 check=True).stdout.split()[0]
            for i in range(10):
                subprocess.run([*cli, "users", "create", f"bench{i}"], stdout=subprocess.DEVNULL,
                               check=True)
            assert len(json.loads(fetch(url + "/api/v1/user", key))["users"]) == 10
            results = {}
            for name, path, k in (("GET /health", "/health", None), ("GET /version", "/version", None),
                                  ("GET /api/v1/user (10 users)", "/api/v1/user", key)):
                results[name] = load(url + path, process.pid, args.seconds, args.connections, k)
                show(name, results[name], base)
            return results
        finally:
            stop(process)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--origin", default="build/release/bin/edgescale")
    parser.add_argument("--baseline")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    args = parser.parse_args()
    base = None
    if args.baseline:
        base = bench_baseline(args)
        show("bare Beast server", base)
    bench_origin(args, base)


if __name__ == "__main__":
    main()
