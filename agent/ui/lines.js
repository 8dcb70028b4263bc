// Lines of a log, and what else of a run is shown as text. All that comes from a training is put in as text.
"use strict";

const MAX_SHOWN_CHARACTERS = 10000;

function rows(answer) {
  const made = answer.lines.map(row);
  if (answer.damaged_blocks) {
    made.push(element("div", "remark error", count(answer.damaged_blocks, "stored block") + " cannot be read; their lines are missing."));
  }
  return made;
}

function remark(text) {
  log.append(element("div", "remark alone", text));
}

const TAGS = ["", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

function row(line) {
  const range = Math.ceil(line.severity_number / 4);
  const kind = line.event_name ? "event" : range >= 5 ? "error" : range === 4 ? "warn" : range <= 2 && range ? "debug" : "";
  const made = element("div", "line " + kind);
  made.dataset.cursor = line.cursor;
  made.title = [line.time, line.severity_text, line.stream, line.scope, line.container, line.event_name].filter(Boolean).join(" · ");
  const time = element("time", "", clock(line.time));
  time.dateTime = line.time;
  made.append(time, element("span", "tag", TAGS[range] || ""));
  const rank = line.rank === null || line.rank === undefined ? "" : "[" + line.rank + "] ";
  made.append(body(rank + printable(line.body)));
  return made;
}

function body(text) {
  if (text.length <= MAX_SHOWN_CHARACTERS) return element("span", "body", text);
  const made = element("span", "body", text.slice(0, MAX_SHOWN_CHARACTERS) + "… ");
  const all = element("button", "", "show all " + count(text.length, "character"));
  all.type = "button";
  all.onclick = () => made.replaceChildren(text);
  made.append(all);
  return made;
}

// Colours are left out; what else a terminal would obey, and what turns the direction of text, is spelled out.
function printable(text) {
  return text
    .replace(/\x1b\[[0-9;:]*m/g, "")
    .replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (control) => "\\x" + control.charCodeAt(0).toString(16).padStart(2, "0"))
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, (control) => "\\u" + control.charCodeAt(0).toString(16));
}

function clock(time) {
  if (!time) return "";
  const at = new Date(time);
  const two = (number) => String(number).padStart(2, "0");
  return two(at.getHours()) + ":" + two(at.getMinutes()) + ":" + two(at.getSeconds()) + "." + String(at.getMilliseconds()).padStart(3, "0");
}
