#!/usr/bin/env python3
"""Runs tests/bench/storm's load against this origin, Headscale and derper, and prints a table.

usage: storm_bench.py --bin build/bench/bin --peers build/bench/peers [--only control|relay]
                      [--ours-only] [--nodes 300] [--rounds 2] [--idle 60] [--json FILE]

Each round starts every server anew in a fresh folder, on ports that the kernel chooses, with SQLite
and the open policy, makes a user and a key by its command line, drives it, and stops it; servers
take turns. What is printed are medians over the rounds. Ends with 1 when a target was missed.
"""
import argparse
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

DERP_MAP = """regions:
  900:
    regionid: 900
    regioncode: storm
    regionname: Storm
    nodes: [{name: 900a, regionid: 900, hostname: derp.storm.test, ipv4: 127.0.0.1}]
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Server:
    """A process in a folder of its own; stopped and cleaned up at the end of the `with`."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="es-storm-")
        self.path = pathlib.Path(self.folder.name)

    def __enter__(self):
        self.log = open(self.path / "log", "wb")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log,
                                        cwd=self.path)
        try:
            self.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.folder.cleanup()

    def wait_ready(self):
        for _ in range(300):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"{self.name} did not start:\n{(self.path / 'log').read_text()[-2000:]}")

    def last_lines(self):
        self.log.flush()
        return (self.path / "log").read_text(errors="replace")[-1500:]


class ControlServer(Server):
    """Both have Headscale's command line."""

    def cli(self, *words):
        out = subprocess.run([self.binary, "--config", str(self.path / "config.yaml"), *words],
                             capture_output=True, text=True, timeout=60)
        if out.returncode != 0:
            sys.exit(f"{self.name} {' '.join(words)}: {out.stderr}{out.stdout}")
        return out.stdout

    def command(self):
        return [self.binary, "--config", str(self.path / "config.yaml"), "serve"]

    def new_key(self):
        for _ in range(50):  # the unix socket comes a little later than the port
            if (self.path / "control.sock").exists():
                break
            time.sleep(0.1)
        self.cli("users", "create", "storm")
        made = json.loads(self.cli("preauthkeys", "create", "--user", "1", "--reusable",
                                   "--expiration", "24h", "--output", "json"))
        return made["key"]


class Origin(ControlServer):
    name = "edgescale"

    def __init__(self, binary):
        super().__init__()
        self.binary = binary
        self.port, = free_ports(1)
        (self.path / "config.yaml").write_text(f"""
server_url: http://127.0.0.1:{self.port}
listen_addr: 127.0.0.1:{self.port}
metrics_listen_addr: ""
unix_socket: {self.path}/control.sock
state_dir: {self.path}
log: {{level: warn}}
dns: {{base_domain: storm.test}}
derp: {{urls: [], server: {{enabled: true, verify_clients: false, stun: {{enabled: false}}}}}}
""")


class Headscale(ControlServer):
    name = "headscale"

    def __init__(self, binary):
        super().__init__()
        self.binary = binary
        self.port, grpc = free_ports(2)
        (self.path / "derp.yaml").write_text(DERP_MAP)
        (self.path / "config.yaml").write_text(f"""
server_url: http://127.0.0.1:{self.port}
listen_addr: 127.0.0.1:{self.port}
metrics_listen_addr: ""
grpc_listen_addr: 127.0.0.1:{grpc}
grpc_allow_insecure: true
unix_socket: {self.path}/control.sock
unix_socket_permission: "0770"
noise: {{private_key_path: {self.path}/noise.key}}
prefixes: {{v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48", allocation: sequential}}
database: {{type: sqlite, sqlite: {{path: {self.path}/db.sqlite, write_ahead_log: true}}}}
derp: {{server: {{enabled: false}}, urls: [], paths: [{self.path}/derp.yaml], auto_update_enabled: false}}
disable_check_updates: true
log: {{level: error, format: text}}
dns: {{magic_dns: true, base_domain: storm.test, override_local_dns: false, nameservers: {{global: []}}}}
policy: {{mode: file, path: ""}}
logtail: {{enabled: false}}
""")


class Derper(Server):
    name = "derper"

    def __init__(self, binary):
        super().__init__()
        self.binary = binary
        self.port, = free_ports(1)

    def command(self):
        return [self.binary, "-a", f"127.0.0.1:{self.port}", "-http-port", "-1", "-stun=false",
                "-c", str(self.path / "derper.json")]


def drive(tool, server, *words):
    out = subprocess.run([tool, *words, "--port", str(server.port), "--pid",
                          str(server.process.pid)], capture_output=True, text=True, timeout=1800)
    if out.returncode != 0:
        sys.exit(f"{server.name}: {out.stderr}\n{server.last_lines()}")
    return json.loads(out.stdout)


class Table:
    def __init__(self):
        self.missed = 0
        print(f"{'':<52} {'edgescale':>12} {'peer':>12} {'ratio':>9}  target")

    def row(self, name, unit, ours, peer, target=None):
        """`ratio` is how many times better we are; `target` is the least that it must be."""
        ratio = verdict = ""
        if peer is not None and ours and peer:
            better = ours / peer if unit == "packets" else peer / ours
            ratio = f"{better:.2f}x"
            if target is not None:
                met = better >= target
                self.missed += not met
                verdict = f"{target:.2g}x {'met' if met else 'MISSED'}"
        peer_text = "" if peer is None else f"{peer:,.2f}"
        print(f"{name:<52} {ours:>12,.2f} {peer_text:>12} {ratio:>9}  {verdict}")


def medians(reports, field):
    """The median over all rounds and all samples of a field."""
    values = [r[field] for r in reports]
    if isinstance(values[0], list):
        values = [v for samples in values for v in samples]
    return statistics.median(values) if values else 0


CONTROL_ROWS = [
    ("join: connecting to first full map, ms", "join_ms", 10),
    ("join: until the last other node knows it, ms", "join_all_ms", None),
    ("reconnect of all at once: slowest first map, ms", "reconnect_ms", 10),
    ("reconnect of all at once: median first map, ms", "reconnect_median_ms", None),
    ("reconnect of all at once: server CPU, s", "reconnect_cpu_seconds", None),
    ("endpoint change: seen by all others, ms", "change_all_ms", 20),
    ("endpoint change: seen by half of them, ms", "change_median_ms", None),
    ("idle: resident memory, MB", "idle_rss_mb", 3),
    ("idle: CPU, s", "idle_cpu_seconds", 3),
    ("populating: all registered and all know all, s", "populate_seconds", None),
    ("all phases: largest resident memory, MB", "peak_rss_mb", None),
    ("all phases: CPU, s", "total_cpu_seconds", None),
    ("a first full map, compressed, bytes", "first_map_bytes", None),
    ("map streams that the server ended", "broken_streams", None),
]


def run_control(args, table):
    kinds = [Origin] + ([] if args.ours_only else [Headscale])
    reports = {kind.name: [] for kind in kinds}
    for number in range(args.rounds):
        for kind in kinds if number % 2 == 0 else reversed(kinds):
            binary = args.bin / "edgescale" if kind is Origin else args.peers / "headscale"
            with kind(str(binary.resolve())) as server:
                reports[kind.name].append(drive(
                    args.tool, server, "control", "--key", server.new_key(), "--nodes",
                    str(args.nodes), "--idle", str(args.idle), "--joins", str(args.joins),
                    "--changes", str(args.changes), "--reconnects", str(args.reconnects)))
    print(f"-- control server, {args.nodes} nodes, idle {args.idle} s, medians of {args.rounds} round(s)")
    for name, field, target in CONTROL_ROWS:
        peer = medians(reports["headscale"], field) if not args.ours_only else None
        unit = "less"
        table.row(name, unit, medians(reports["edgescale"], field), peer, target)
    return reports


def run_relay(args, table):
    kinds = [Origin] + ([] if args.ours_only else [Derper])
    all_reports = {}
    for title, window in (("sender waits (256 under way)", 256), ("sender never waits", 0)):
        reports = {kind.name: [] for kind in kinds}
        for number in range(max(args.rounds, 3)):
            for kind in kinds if number % 2 == 0 else reversed(kinds):
                binary = args.bin / "edgescale" if kind is Origin else args.peers / "derper"
                with kind(str(binary.resolve())) as server:
                    reports[kind.name].append(drive(args.tool, server, "relay", "--window",
                                                    str(window), "--seconds", str(args.seconds)))
        print(f"-- relay of 1,300-byte packets, {title}")
        for name, field, target in (("packets for a CPU second", "packets_per_cpu_second", 1.0),
                                    ("packets a second", "packets_per_second", None)):
            peer = medians(reports["derper"], field) if not args.ours_only else None
            table.row(name, "packets", medians(reports["edgescale"], field), peer, target)
        lost = {name: medians(r, "lost") for name, r in reports.items()}
        print("   lost: " + ", ".join(f"{name} {100 * v:.2f} %" for name, v in lost.items()))
        all_reports[f"relay window {window}"] = reports
    return all_reports


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--peers", type=pathlib.Path, required=True)
    parser.add_argument("--only", choices=["control", "relay"])
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--idle", type=int, default=60)
    parser.add_argument("--joins", type=int, default=15)
    parser.add_argument("--changes", type=int, default=15)
    parser.add_argument("--reconnects", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--json", type=pathlib.Path, help="all reports, for a closer look")
    args = parser.parse_args()
    args.tool = str((args.bin / "storm").resolve())
    table = Table()
    reports = {}
    if args.only != "relay":
        reports["control"] = run_control(args, table)
    if args.only != "control":
        reports.update(run_relay(args, table))
    if args.json:
        args.json.write_text(json.dumps(reports, indent=1))
    print(f"{table.missed} target(s) missed" if table.missed else "all targets met")
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
