// What a run has logged: its parameters and tags, charts of its numbers, tables, images and files, and its children.
// All that comes from a training is put in as text.
"use strict";

// A chart is some hundred points wide.
const MAX_POINTS = 600;
const MAX_ROWS = 200;
const MAX_CHILDREN = 500;
const MAX_SWEEP_CHARTS = 12;
// Pictures of more are not fetched unless somebody asks for them.
const MAX_IMAGE_BYTES = 8 << 20;
const ASKED_AT_ONCE = 6;

// Before `app.js`, which has a shorter word for it.
const results = document.getElementById("results");

// Of what is shown: the run, and what is to be let go of with it.
let shownResults = null;

function openResults(run) {
  closeResults();
  shownResults = { run, abort: new AbortController(), pictures: new Map(), said: "", by: "step", sort: null };
  results.replaceChildren(element("p", "remark", "…"));
  return refreshResults();
}

function closeResults() {
  if (!shownResults) return;
  shownResults.abort.abort();
  for (const address of shownResults.pictures.values()) URL.revokeObjectURL(address);
  shownResults = null;
  results.replaceChildren();
}

async function refreshResults() {
  const of = shownResults;
  if (!of || of.isAsking || document.hidden) return;
  of.isAsking = true;
  try {
    const path = "runs/" + encodeURIComponent(of.run);
    const answers = [path, path + "/metrics?points=" + MAX_POINTS, path + "/files", "runs?limit=" + MAX_CHILDREN + "&parent=" + encodeURIComponent(of.run)];
    const [run, logged, listed, born] = await Promise.all(answers.map((one) => ask(one, of.abort.signal)));
    const children = born.runs.reverse();
    await learnOfChildren(of, children);
    if (of !== shownResults) return;
    Object.assign(of, { told: run, metrics: logged.metrics, files: listed.files, children });
    // What is as it was is left alone, with where it is scrolled to.
    const said = JSON.stringify([run.status, run.receipts, run.tags, run.parameters, run.properties, logged, listed, children, [...of.logged || []]]);
    if (said !== of.said) showResults(of);
    of.said = said;
  } catch (fault) {
    if (of === shownResults && !(fault instanceof TypeError)) results.replaceChildren(element("p", "remark error", fault.message));
  } finally {
    of.isAsking = false;
  }
}

function showResults(of) {
  const parts = [notes("Parameters", of.told.parameters), notes("Tags", of.told.tags), notes("Properties", of.told.properties)];
  parts.push(endsOf(of), childrenOf(of), charts(of), tables(of), images(of), files(of));
  const shown = parts.filter(Boolean);
  results.replaceChildren(...(shown.length ? shown : [element("p", "remark", "This run has logged nothing but lines.")]));
}

function part(title, ...content) {
  const made = element("section", "part");
  made.append(element("h3", "", title), ...content);
  return made;
}

// --- Values ---------------------------------------------------------------------------------------------------

// A value as the API tells it: NaN and the infinities are objects.
function told(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "object") return value.number || JSON.stringify(value);
  return typeof value === "number" ? String(value) : printable(String(value));
}

function isFiniteNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function notes(title, values) {
  const keys = Object.keys(values || {}).sort();
  if (!keys.length) return null;
  const list = element("dl", "notes");
  for (const key of keys) list.append(element("dt", "", printable(key)), element("dd", "", told(values[key])));
  return part(title, list);
}

// --- Ends -----------------------------------------------------------------------------------------------------

// How the run's processes and containers ended, over all receipts, each once.
function endsOf(of) {
  const said = (of.told.receipts || []).flatMap((receipt) => receipt.ends || []);
  const ends = [...new Map(said.map((end) => [JSON.stringify(end), end])).values()];
  if (!ends.length) return null;
  ends.sort((one, other) => one.time_unix_nano - other.time_unix_nano);
  const rows = ends.map((end) => {
    const time = element("td", "", new Date(end.time_unix_nano / 1e6).toLocaleString());
    return [time, element("td", "", printable(end.name)), element("td", isWell(end) ? "" : "error", howItEnded(end))];
  });
  return part("Ended", grid(["time", "name", "how"], rows));
}

function isWell(end) {
  return end.exit_code === 0 && !end.oom_killed;
}

function howItEnded(end) {
  const code = Number.isInteger(end.exit_code) ? "exit code " + end.exit_code : "not known how";
  return [code, end.signal, end.oom_killed && "killed for want of memory"].filter(Boolean).join(", ");
}

// --- Numbers --------------------------------------------------------------------------------------------------

function charts(of) {
  const names = Object.keys(of.metrics).filter((name) => !isTable(of.metrics[name])).sort();
  if (!names.length) return null;
  const made = part("Metrics");
  if (names.some((name) => hasSteps(of.metrics[name]))) made.firstChild.append(axisChoice(of));
  const grid = element("div", "charts");
  grid.append(...names.map((name) => metric(of, name, of.metrics[name])));
  made.append(grid);
  return made;
}

function isTable(metric) {
  return Object.keys(metric.columns || {}).length > 0;
}

function hasSteps(metric) {
  return (metric.steps || []).some((step) => step !== null);
}

function axisChoice(of) {
  const choice = element("select", "axis");
  choice.setAttribute("aria-label", "What the charts go by");
  for (const by of ["step", "time"]) choice.append(new Option("by " + by, by, false, by === of.by));
  choice.addEventListener("change", () => {
    of.by = choice.value;
    showResults(of);
  });
  return choice;
}

function metric(of, name, metric) {
  const made = element("figure", "metric");
  made.dataset.name = name;
  const values = metric.values || [];
  const numbers = values.filter(isFiniteNumber).length;
  const last = values.at(-1);
  const head = element("figcaption");
  head.append(element("b", "", printable(name)), element("span", "last", isFiniteNumber(last) ? short(last) : told(last)));
  made.append(head);
  if (metric.description) made.title = printable(metric.description);
  if (numbers > 1) made.append(series(of, name, metric));
  const odd = values.filter((value) => value !== null && typeof value === "object").length;
  if (odd) made.append(element("p", "remark warn", count(odd, "value") + " not finite"));
  if (metric.total > values.length) made.append(element("p", "remark", values.length + " of " + count(metric.total, "value")));
  return made;
}

function series(of, name, metric) {
  const byStep = of.by === "step" && hasSteps(metric);
  const start = (metric.times_unix_nano[0] || 0) / 1e9;
  const points = [];
  // Of a series that is thinned out, about where each was.
  const stride = metric.values.length > 1 ? (metric.total - 1) / (metric.values.length - 1) : 1;
  metric.values.forEach((value, at) => {
    if (!isFiniteNumber(value)) return;
    const place = Math.round(at * stride);
    const step = byStep ? metric.steps[at] : of.by === "step" ? place : metric.times_unix_nano[at] / 1e9 - start;
    if (step !== null && step !== undefined) points.push([step, value]);
  });
  if (of.by === "time") return chart(points, name, "seconds", short);
  return chart(points, name, byStep ? "step" : "place");
}

// --- Tables ---------------------------------------------------------------------------------------------------

function tables(of) {
  const names = Object.keys(of.metrics).filter((name) => isTable(of.metrics[name])).sort();
  if (!names.length) return null;
  return part("Tables", ...names.map((name) => tableOf(name, of.metrics[name])));
}

function tableOf(name, metric) {
  const columns = Object.keys(metric.columns).sort();
  const rows = metric.columns[columns[0]].length;
  const made = element("figure", "metric wide");
  made.dataset.name = name;
  const head = element("figcaption");
  head.append(element("b", "", printable(name)), element("span", "last", count(metric.total, "row")));
  made.append(head);
  const [first, second] = columns.map((column) => metric.columns[column]);
  if (columns.length === 2 && rows > 1 && first.every(isFiniteNumber) && second.every(isFiniteNumber)) {
    made.append(chart(first.map((value, at) => [value, second[at]]), printable(columns[1]), printable(columns[0])));
  }
  const cells = (at) => columns.map((column) => told(metric.columns[column][at]));
  const shown = [...Array(Math.min(rows, MAX_ROWS)).keys()];
  made.append(grid(columns.map(printable), shown.map((at) => cells(at).map((text) => element("td", "", text)))));
  if (metric.total > shown.length) made.append(element("p", "remark", shown.length + " of " + count(metric.total, "row") + " are shown"));
  return made;
}

function grid(heads, rows) {
  const frame = element("div", "grid");
  const table = element("table");
  const head = element("tr");
  for (const one of heads) head.append(one instanceof Node ? one : element("th", "", one));
  table.append(element("thead"), element("tbody"));
  table.firstChild.append(head);
  for (const cells of rows) {
    const row = element("tr");
    row.append(...cells);
    table.lastChild.append(row);
  }
  frame.append(table);
  return frame;
}

// --- Children -------------------------------------------------------------------------------------------------

// What each child has logged last, of those that may have logged more since.
async function learnOfChildren(of, children) {
  of.logged ||= new Map();
  const open = children.filter((child) => of.logged.get(child.run_id)?.status !== child.status || child.status === "running");
  const next = async () => {
    for (let child = open.pop(); child; child = open.pop()) {
      const answer = await ask("runs/" + encodeURIComponent(child.run_id) + "/metrics?points=3", of.abort.signal);
      const last = Object.entries(answer.metrics).filter(([, metric]) => !isTable(metric)).map(([name, metric]) => [name, metric.values.at(-1)]);
      of.logged.set(child.run_id, { status: child.status, last: Object.fromEntries(last) });
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, next));
}

function childrenOf(of) {
  if (!of.children.length) return null;
  const names = (from) => [...new Set(of.children.flatMap((child) => Object.keys(from(child) || {})))].sort();
  const parameter = (name) => ({ name, of: (child) => (child.parameters || {})[name] });
  const metric = (name) => ({ name, of: (child) => of.logged.get(child.run_id)?.last[name] });
  const parameters = names((child) => child.parameters).map(parameter);
  const metrics = names((child) => of.logged.get(child.run_id)?.last).map(metric);
  const columns = [{ name: "status", of: (child) => child.status }, ...parameters, ...metrics];
  const sorted = of.sort ? sortedBy(of.children, columns[of.sort.column] || columns[0], of.sort.isDown) : of.children;
  const heads = columns.map((column, at) => sortable(of, column.name, at));
  const rows = sorted.map((child) => {
    const link = element("a", "", printable(child.name || child.run_id));
    link.href = "#" + encodeURIComponent(child.run_id) + "/results";
    link.title = child.run_id;
    const first = element("td");
    first.append(link);
    return [first, ...columns.map((column) => element("td", column.name === "status" ? "status " + child.status : "", told(column.of(child))))];
  });
  const more = of.children.length >= MAX_CHILDREN ? [element("p", "remark", "The newest " + MAX_CHILDREN + " are shown.")] : [];
  return part("Runs of this run", grid(["run", ...heads], rows), ...more, sweepCharts(of, parameters, metrics));
}

// Each metric by each parameter, of those that are numbers.
function sweepCharts(of, parameters, metrics) {
  const made = element("div", "charts");
  for (const metric of metrics) {
    for (const parameter of parameters) {
      const points = of.children.map((child) => [parameter.of(child), metric.of(child)]).filter((point) => point.every(isFiniteNumber));
      if (new Set(points.map((point) => point[0])).size < 2 || made.childElementCount >= MAX_SWEEP_CHARTS) continue;
      const figure = element("figure", "metric");
      const head = element("figcaption");
      head.append(element("b", "", printable(metric.name) + " by " + printable(parameter.name)));
      figure.append(head, chart(points, metric.name, printable(parameter.name)));
      made.append(figure);
    }
  }
  return made;
}

function sortable(of, name, column) {
  const head = element("th");
  const button = element("button", "", printable(name));
  button.type = "button";
  if (of.sort?.column === column) head.setAttribute("aria-sort", of.sort.isDown ? "descending" : "ascending");
  button.addEventListener("click", () => {
    of.sort = { column, isDown: of.sort?.column === column && !of.sort.isDown };
    showResults(of);
  });
  head.append(button);
  return head;
}

// What has nothing there comes last, whichever way it is sorted.
function sortedBy(children, column, isDown) {
  const rank = (value) => (isFiniteNumber(value) ? 0 : value === null || value === undefined ? 2 : 1);
  return children.toSorted((one, other) => {
    const [a, b] = [column.of(one), column.of(other)];
    if (rank(a) !== rank(b)) return rank(a) - rank(b);
    const order = rank(a) === 0 ? a - b : told(a).localeCompare(told(b));
    return isDown ? -order : order;
  });
}

// --- Files ----------------------------------------------------------------------------------------------------

function images(of) {
  const found = of.files.filter((file) => file.is_held && (file.kind === "image" || (file.media_type || "").startsWith("image/")));
  if (!found.length) return null;
  return part("Images", ...found.map((file) => {
    const made = element("figure", "picture");
    made.append(element("figcaption", "", printable(file.name)));
    const show = () => picture(of, file).then((address) => {
      if (of !== shownResults) return;
      const image = element("img");
      image.src = address;
      image.alt = printable(file.description || file.name);
      made.append(image);
    }).catch(() => made.append(element("p", "remark error", "It cannot be fetched.")));
    if (file.size <= MAX_IMAGE_BYTES) show();
    else made.append(button("show " + bytes(file.size), (event) => { event.target.remove(); show(); }));
    return made;
  }));
}

// An <img> could not show a token, so the page fetches the bytes itself.
async function picture(of, file) {
  const known = of.pictures.get(file.sha256);
  if (known) return known;
  const address = URL.createObjectURL(await fetched(of, file));
  of.pictures.set(file.sha256, address);
  return address;
}

async function fetched(of, file) {
  const path = file.name.split("/").map(encodeURIComponent).join("/");
  const response = await request("runs/" + encodeURIComponent(of.run) + "/files/" + path, of.abort.signal);
  if (!response.ok) throw new Error((await response.json()).error);
  return response.blob();
}

function files(of) {
  if (!of.files.length) return null;
  const rows = of.files.map((file) => {
    const name = element("td");
    if (file.is_held) name.append(button(printable(file.name), () => save(of, file)));
    else name.append(printable(file.name));
    const size = file.kind === "folder" ? "folder" : bytes(file.size);
    return [name, element("td", "", size), element("td", "", file.is_held || file.kind === "folder" ? "" : "not stored here")];
  });
  return part("Files", grid(["name", "size", ""], rows));
}

async function save(of, file) {
  try {
    const link = element("a");
    link.href = URL.createObjectURL(await fetched(of, file));
    link.download = file.name.split("/").at(-1);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  } catch (fault) {
    notice(fault.message);
  }
}

function button(text, action) {
  const made = element("button", "", text);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

function bytes(size) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (size >= 1024 && at < units.length - 1) [size, at] = [size / 1024, at + 1];
  return (at ? size.toFixed(1) : size) + " " + units[at];
}
