// A node:test reporter for `./opr test`: one line a finished case, `verdict TAB name TAB reason`.
// Suites are not cases; a file that fails before its cases run is one failed case.

const oneLine = (text) => String(text ?? "").replace(/\s+/g, " ").trim();

export default async function* cases(source) {
  for await (const { type, data } of source) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    if (data.details?.type === "suite") continue;
    let verdict = type === "test:pass" ? "passed" : "failed";
    let reason = "";
    if (data.skip !== undefined || data.todo !== undefined) {
      verdict = "skipped";
      reason = data.skip ?? data.todo;
    } else if (verdict === "failed") {
      reason = data.details?.error?.cause?.message ?? data.details?.error?.message;
    }
    yield `${verdict}\t${oneLine(data.name)}\t${oneLine(reason === true ? "" : reason)}\n`;
  }
}
