#include "native/api/page.h"

namespace es::api {
namespace {

constexpr std::string_view kHead =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    "<meta name=\"robots\" content=\"noindex\"><meta name=\"color-scheme\" content=\"light dark\">"
    "<link rel=\"stylesheet\" href=\"/register/page.css\">"
    "<link rel=\"icon\" type=\"image/svg+xml\" href=\"/register/icon.svg\"><title>";

}  // namespace

// Two nodes and the edge between them.
const std::string_view kPageIcon =
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\" width=\"32\" height=\"32\" "
    "aria-hidden=\"true\"><rect width=\"32\" height=\"32\" rx=\"8\" fill=\"#3b5bdb\"/>"
    "<path d=\"M10 22 22 10\" stroke=\"#fff\" stroke-width=\"3\"/>"
    "<circle cx=\"10\" cy=\"22\" r=\"4\" fill=\"#fff\"/><circle cx=\"22\" cy=\"10\" r=\"4\" "
    "fill=\"#fff\"/></svg>";

const std::string_view kPageStyle = R"(:root {
  color-scheme: light dark;
  --ground: #f3f4f8; --card: #fff; --text: #1b1f2a; --dim: #5c6475; --line: #dde1ea;
  --sunk: #f3f4f8; --accent: #3b5bdb; --on-accent: #fff; --good: #14743f; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0e1117; --card: #171b24; --text: #e7e9f0; --dim: #9ba4b7; --line: #2d3443;
    --sunk: #10141b; --accent: #8ea2ff; --on-accent: #0d1122; --good: #6fd69b; --bad: #ff9c92;
  }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem 1rem; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
header, main { max-width: 36rem; margin: 0 auto; }
header { display: flex; align-items: center; gap: .6rem; margin-bottom: 1rem; font-weight: 600; }
main { padding: 1.75rem 2rem 2rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .9rem; box-shadow: 0 1px 3px #0001, 0 8px 24px #0000000d; }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 1.75rem 0 .5rem; font-size: 1.05rem; }
p { margin: .5rem 0; }
.good h1::before { content: "\2713\00a0"; color: var(--good); }
.bad h1::before { content: "\2715\00a0"; color: var(--bad); }
.dim { color: var(--dim); }
.small { font-size: .875rem; }
table { width: 100%; margin: 1.25rem 0; border-collapse: collapse; font-size: .9375rem; }
tr { border-top: 1px solid var(--line); }
tr:last-child { border-bottom: 1px solid var(--line); }
th { width: 9rem; padding: .45rem 1rem .45rem 0; color: var(--dim); font-weight: 400;
  text-align: left; vertical-align: top; }
td { padding: .45rem 0; overflow-wrap: anywhere; }
pre, code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { margin: .5rem 0; padding: .75rem 1rem; background: var(--sunk); border: 1px solid var(--line);
  border-radius: .5rem; font-size: .875rem; white-space: pre-wrap; overflow-wrap: anywhere;
  user-select: all; }
label { display: block; margin: 1rem 0 .35rem; font-weight: 600; }
input, select, button { width: 100%; min-height: 2.75rem; padding: .5rem .75rem; border-radius: .5rem;
  border: 1px solid var(--line); background: var(--card); color: inherit; font: inherit; }
input:focus-visible, select:focus-visible, button:focus-visible, summary:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px; }
button { cursor: pointer; font-weight: 600; }
button.yes { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
button.no { color: var(--bad); }
button:hover { filter: brightness(1.08); }
.buttons { display: flex; gap: .75rem; margin-top: 1.25rem; }
.alert { margin: 1rem 0; padding: .6rem .9rem; border-left: 3px solid var(--bad);
  background: var(--sunk); color: var(--bad); font-weight: 600; }
details { margin-top: 1.5rem; }
summary { cursor: pointer; color: var(--dim); }
@media (max-width: 30rem) {
  body { padding: 1rem .5rem; }
  main { padding: 1.25rem 1rem; }
  th { width: 6.5rem; }
}
)";

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string page_document(std::string_view title, std::string_view body, Tone tone) {
  std::string out(kHead);
  out += escape_html(title);
  out += " - Edgescale</title></head>\n<body><header>";
  out += kPageIcon;
  out += "Edgescale</header>\n";
  switch (tone) {
    case Tone::kPlain:
      out += "<main>";
      break;
    case Tone::kGood:
      out += "<main class=\"good\">";
      break;
    case Tone::kBad:
      out += "<main class=\"bad\">";
      break;
  }
  out += "<h1>" + escape_html(title) + "</h1>\n";
  out += body;
  out += "</main></body></html>\n";
  return out;
}

}  // namespace es::api
