// The runs, and the live log of one of them. All that comes from a training is put in as text.
"use strict";

const PAGE_LINES = 500;
// More are not kept in the page: the other end is let go and asked for again when it is wanted.
const MAX_LINES = 5000;
const REFRESH_MS = 3000;
const RETRY_MS = 3000;

const $ = (id) => document.getElementById(id);
const log = $("log");

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

let token = sessionStorage.getItem("token") || "";

async function request(path, signal) {
  const shown = token;
  const headers = shown ? { Authorization: "Bearer " + shown } : {};
  const response = await fetch("/api/v1/" + path, { signal, headers });
  // A late answer to an older token says nothing of this one.
  if (response.status === 401 && shown === token) askForToken();
  return response;
}

async function ask(path, signal) {
  const response = await request(path, signal);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

// --- The token ------------------------------------------------------------------------------------------------

function askForToken() {
  if (!$("door").hidden) return;
  $("door").hidden = false;
  $("wrong").hidden = !token;
  $("token").focus();
}

function enter() {
  token = $("token").value.trim().replace(/[^\x21-\x7e]/g, "");
  // For as long as this tab is open.
  sessionStorage.setItem("token", token);
  $("token").value = "";
  $("door").hidden = true;
  begin();
}

$("enter").addEventListener("click", enter);
$("token").addEventListener("keydown", (event) => event.key === "Enter" && enter());

// --- The runs -------------------------------------------------------------------------------------------------

let runs = [];
const entries = new Map();

async function refreshRuns() {
  if (document.hidden || !$("door").hidden) return;
  try {
    runs = (await ask("runs")).runs;
    if (isLost) lost(false);
  } catch (fault) {
    lost(true, fault);
    return;
  }
  showRuns();
}

let isLost = false;

function lost(now, fault) {
  isLost = now;
  if (!now) notice("");
  else notice(fault instanceof TypeError ? "runlog does not answer; trying again …" : fault.message);
}

function showRuns() {
  const known = new Set(runs.map((run) => run.run_id));
  for (const [id, entry] of entries) {
    if (!known.has(id)) {
      entry.remove();
      entries.delete(id);
    }
  }
  runs.forEach((run, at) => {
    let entry = entries.get(run.run_id);
    if (!entry) {
      entry = runEntry(run.run_id);
      entries.set(run.run_id, entry);
    }
    updateEntry(entry, run);
    const list = $("runs");
    // Moving an entry would take the focus from it, so only what is out of place moves.
    if (list.children[at] !== entry) list.insertBefore(entry, list.children[at] || null);
  });
  $("nothing").hidden = runs.length > 0;
  $("count").textContent = runs.length || "";
  showState();
}

function runEntry(id) {
  const entry = element("li");
  const link = element("a");
  link.href = "#" + encodeURIComponent(id);
  link.append(element("span", "dot"), element("span", "name", id), element("span", "age"));
  link.append(element("span", "about"), element("span", "about"));
  link.title = id;
  entry.append(link);
  return entry;
}

function updateEntry(entry, run) {
  const [dot, , age, about, counts] = entry.firstChild.children;
  dot.className = "dot " + run.status;
  setText(age, ago(run.last_time_unix_nano));
  setText(about, [run.status, run.experiment, run.host].filter(Boolean).join(" · "));
  const levels = run.levels || {};
  const errors = (levels.error || 0) + (levels.fatal || 0);
  const parts = [element("span", "", count(run.records - run.events, "line"))];
  if (errors) parts.push(element("span", "error", count(errors, "error")));
  if (levels.warn) parts.push(element("span", "warn", count(levels.warn, "warning")));
  if (run.complete === false) parts.push(element("span", "error", "incomplete"));
  if (counts.textContent !== parts.map((part) => part.textContent).join("")) counts.replaceChildren(...parts);
  const link = entry.firstChild;
  if (view && run.run_id === view.run) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function count(number, noun) {
  return number.toLocaleString("en") + " " + noun + (number === 1 ? "" : "s");
}

function ago(nanos) {
  const seconds = Math.max(0, Math.round(Date.now() / 1000 - nanos / 1e9));
  if (!nanos) return "";
  if (seconds < 60) return seconds + " s ago";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min ago";
  if (seconds < 86400) return Math.floor(seconds / 3600) + " h ago";
  return Math.floor(seconds / 86400) + " d ago";
}

function showState() {
  const run = view && runs.find((run) => run.run_id === view.run);
  const code = run && run.exit_code ? " (exit code " + run.exit_code + ")" : "";
  const receipt = run && run.complete === true ? " · complete" : run && run.complete === false ? " · INCOMPLETE" : "";
  $("state").textContent = run ? run.status + code + receipt : "";
}

// --- One run's log --------------------------------------------------------------------------------------------

// What is shown: the run with its filters, where older and newer lines begin, and what is under way.
// A new choice of run or filter makes a new one, and whatever belongs to the old one is dropped.
let view = null;

function open(run) {
  close();
  log.replaceChildren();
  document.body.dataset.view = run ? "log" : "runs";
  document.body.dataset.pane = pane();
  for (const link of $("panes").children) {
    link.href = address(run, link.dataset.pane);
    if (link.dataset.pane === pane()) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = run ? run + " · runlog" : "runlog";
  $("title").textContent = run || "Choose a run";
  $("title").title = run || "";
  if (run) {
    view = { run, filter: filter(), abort: new AbortController(), previous: "", next: "", older: false, loading: false };
    if (pane() === "results") openResults(run);
    else load(view);
  }
  showRuns();
}

function close() {
  if (!view) return;
  view.abort.abort();
  unfollow(view);
  closeResults();
  view = null;
}

function filter() {
  const chosen = new URLSearchParams();
  if ($("level").value) chosen.set("level", $("level").value);
  const text = $("text").value;
  if (text) chosen.set("grep", grep(text));
  return chosen.toString();
}

function grep(text) {
  const isRegex = text.length > 2 && text.startsWith("/") && text.endsWith("/");
  return isRegex ? text.slice(1, -1) : "(?i)" + text.replace(/[\\^$.*+?()[\]{}|#&~-]/g, "\\$&");
}

function logsPath(of, more) {
  return "runs/" + encodeURIComponent(of.run) + "/logs?" + more + (of.filter ? "&" + of.filter : "");
}

async function load(of) {
  try {
    const answer = await ask(logsPath(of, "tail=" + PAGE_LINES), of.abort.signal);
    if (of !== view) return;
    notice("");
    of.next = answer.next;
    log.replaceChildren(...rows(answer));
    setOlder(of, answer);
    if (!log.childElementCount) remark(of.older ? "Nothing found yet in the newest lines." : "No lines match.");
    toBottom();
    setFollowing(true);
    fill(of);
  } catch (fault) {
    if (of !== view) return;
    notice(fault instanceof TypeError ? "runlog does not answer; trying again …" : fault.message);
    if (fault instanceof TypeError) setTimeout(() => of === view && load(of), RETRY_MS);
  }
}

function setOlder(of, answer) {
  of.previous = answer.previous;
  of.older = answer.more;
}

// Where the pane is not full, or the search stopped at its bounds, nobody can scroll up for more.
function fill(of) {
  if (of === view && of.older && log.scrollHeight <= log.clientHeight) loadOlder(of);
}

async function loadOlder(of) {
  if (of.loading || !of.older) return;
  of.loading = true;
  try {
    const answer = await ask(logsPath(of, "tail=" + PAGE_LINES + "&before=" + of.previous), of.abort.signal);
    if (of !== view) return;
    setOlder(of, answer);
    const before = log.scrollHeight;
    log.prepend(...rows(answer));
    log.scrollTop += log.scrollHeight - before;
    trimNewest(of);
    of.loading = false;
    fill(of);
  } catch (fault) {
    of.loading = false;
    if (of === view) notice(fault instanceof TypeError ? "runlog does not answer" : fault.message);
  }
}

// After the reader came back to the lower end of what is kept.
async function loadNewer(of) {
  if (of.loading) return;
  of.loading = true;
  try {
    const answer = await ask(logsPath(of, "limit=" + PAGE_LINES + "&after=" + of.next), of.abort.signal);
    if (of !== view) return;
    of.isCut = answer.more;
    append(of, answer);
  } catch (fault) {
    if (of === view) notice(fault instanceof TypeError ? "runlog does not answer" : fault.message);
  }
  of.loading = false;
}

function append(of, answer) {
  of.next = answer.next;
  if (answer.lines.length) log.querySelector(".remark.alone")?.remove();
  log.append(...rows(answer));
  if (log.childElementCount <= MAX_LINES) return;
  const before = log.scrollHeight;
  while (log.childElementCount > MAX_LINES) log.firstElementChild.remove();
  log.scrollTop -= before - log.scrollHeight;
  lastTop = log.scrollTop;
  of.previous = log.querySelector("[data-cursor]").dataset.cursor;
  of.older = true;
}

function trimNewest(of) {
  if (log.childElementCount <= MAX_LINES) return;
  while (log.childElementCount > MAX_LINES) log.lastElementChild.remove();
  of.next = [...log.querySelectorAll("[data-cursor]")].at(-1).dataset.cursor;
  of.isCut = true;
  setFollowing(false);
}

// --- New lines ------------------------------------------------------------------------------------------------

// An EventSource cannot show a token.
async function follow(of) {
  if (of.stream) return;
  const stream = new AbortController();
  of.stream = stream;
  try {
    const path = logsPath(of, "follow=1&limit=" + PAGE_LINES + "&after=" + of.next);
    const response = await request(path, stream.signal);
    if (!response.ok) throw new Error((await response.json()).error);
    if (of.stream === stream) notice("");
    for await (const said of events(response.body)) {
      if (of.stream !== stream) return;
      append(of, JSON.parse(said));
      toBottom();
    }
  } catch {
    // Whatever it was, it is tried again.
  }
  if (of.stream !== stream) return;
  notice("The connection is lost; trying again …");
  unfollow(of);
  setTimeout(() => of === view && isFollowing() && follow(of), RETRY_MS);
}

// What server-sent events say.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const event of whole) {
      const lines = event.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5)).join("\n");
    }
  }
}

function unfollow(of) {
  if (of.stream) of.stream.abort();
  of.stream = null;
}

function isFollowing() {
  return $("follow").getAttribute("aria-pressed") === "true";
}

function setFollowing(wanted) {
  $("follow").setAttribute("aria-pressed", String(wanted));
  if (!view) return;
  if (!wanted) unfollow(view);
  // The newest lines are wanted, not all that came between.
  else if (view.isCut) open(view.run);
  else if (view.next) {
    follow(view);
    toBottom();
  }
}

function atBottom() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 24;
}

let lastTop = 0;

function toBottom() {
  log.scrollTop = log.scrollHeight;
  lastTop = log.scrollTop;
}

log.addEventListener("scroll", () => {
  const isUp = log.scrollTop < lastTop;
  lastTop = log.scrollTop;
  if (!view) return;
  if (isUp && !atBottom() && isFollowing()) setFollowing(false);
  else if (!isUp && atBottom() && view.isCut) loadNewer(view);
  else if (!isUp && atBottom() && !isFollowing()) setFollowing(true);
  if (isUp && log.scrollTop < log.clientHeight) loadOlder(view);
});

// --- What people do -------------------------------------------------------------------------------------------

// The address is #RUN or #RUN/results; a slash of a run's own is written %2F.
function chosen() {
  try {
    return decodeURIComponent(location.hash.slice(1).split("/")[0]);
  } catch {
    return "";
  }
}

function pane() {
  return location.hash.endsWith("/results") ? "results" : "log";
}

function address(run, pane) {
  return "#" + encodeURIComponent(run) + (pane === "results" ? "/results" : "");
}

let typing = 0;

$("text").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => open(chosen()), 250);
});
$("level").addEventListener("change", () => open(chosen()));
$("follow").addEventListener("click", () => setFollowing(!isFollowing()));
window.addEventListener("hashchange", () => open(chosen()));
document.addEventListener("visibilitychange", refreshRuns);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === $("text")) {
    if (event.key === "Escape") log.focus();
    return;
  }
  if (event.target === $("level")) return;
  if (event.key === "/") $("text").focus();
  else if (event.key === "f") setFollowing(!isFollowing());
  else if (event.key === "r" && view) location.hash = address(view.run, pane() === "log" ? "results" : "log");
  else if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
  else return;
  event.preventDefault();
});

function step(by) {
  const at = runs.findIndex((run) => view && run.run_id === view.run);
  const next = runs[at < 0 ? 0 : at + by];
  if (next) location.hash = address(next.run_id, pane());
}

async function begin() {
  await refreshRuns();
  if (!$("door").hidden) return;
  // The newest run is what most come for; a phone has no room for it beside the list.
  const isWide = window.matchMedia("(min-width: 46rem)").matches;
  if (!chosen() && runs.length && isWide) history.replaceState(null, "", "#" + encodeURIComponent(runs[0].run_id));
  open(chosen());
}

begin();
setInterval(() => {
  refreshRuns();
  refreshResults();
}, REFRESH_MS);
