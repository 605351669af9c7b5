// TCP for tests, inside a machine of the test's network.
//   tcp_peer.mjs echo PORT        listens on every address and sends back what comes
//   tcp_peer.mjs flow HOST PORT   one connection that sends a number every 20 ms and wants it back;
//                                 prints `up` at the first answer; on the end of standard input it
//                                 waits for what is under way and prints {sent, echoed, gapMs}: numbers, and the
//                                 longest time without an answer
//   tcp_peer.mjs once HOST PORT [TIMEOUT_MS]
//                                 one connection, one answer: prints how many ms it took
import net from "node:net";

const [mode, ...args] = process.argv.slice(2);
const STEP_MS = 20;

function fail(error) {
  console.log(`failed: ${error?.message ?? error}`);
  process.exit(1);
}

if (mode === "echo") {
  const server = net.createServer({ noDelay: true }, (socket) => socket.on("error", () => {}).pipe(socket));
  server.on("error", fail).listen(Number(args[0]), "::", () => console.log("listening"));
} else {
  const begun = performance.now();
  const socket = net.connect({ host: args[0], port: Number(args[1]), noDelay: true });
  socket.setEncoding("utf8").on("error", fail).on("close", () => fail("the connection was closed"));
  if (mode === "once") {
    setTimeout(() => fail("no answer"), Number(args[2] ?? 3000));
    socket.on("data", () => {
      console.log((performance.now() - begun).toFixed(1));
      process.exit(0);
    });
    socket.write("hello\n");
  } else {
    let sent = 0;
    let echoed = 0;
    let gapMs = 0;
    let last;
    let rest = "";
    const timer = setInterval(() => socket.write(`${sent++}\n`), STEP_MS);
    socket.on("data", (text) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      for (const line of lines) if (Number(line) !== echoed++) fail(`${line} came for ${echoed - 1}`);
      const now = performance.now();
      if (last === undefined) console.log("up");
      else gapMs = Math.max(gapMs, now - last);
      last = now;
    });
    process.stdin.resume().on("end", () => {
      clearInterval(timer);
      setTimeout(() => fail(`${echoed} of ${sent} came back`), 20_000);
      setInterval(() => {
        if (echoed !== sent) return;
        console.log(JSON.stringify({ sent, echoed, gapMs: Math.round(gapMs) }));
        process.exit(0);
      }, 5);
    });
  }
}
