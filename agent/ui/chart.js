// Draws a series of numbers as SVG. What it says is put in as text.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
// In the units of the picture, which is as wide as its place.
const CHART = { width: 400, height: 190, left: 62, right: 12, top: 12, bottom: 26 };
// A series of fewer points has a dot for each.
const MAX_DOTS = 60;

function shape(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// A number as people read it: four digits, or as it is where that is shorter.
function short(number) {
  if (Number.isInteger(number) && Math.abs(number) < 1e6) return String(number);
  const rounded = Number(number.toPrecision(4));
  const isPlain = rounded === 0 || (Math.abs(rounded) >= 1e-3 && Math.abs(rounded) < 1e6);
  return isPlain ? String(rounded) : rounded.toExponential();
}

function bounds(numbers) {
  // Not by Math.min(...): a long series has more numbers than a call may have arguments.
  const low = numbers.reduce((low, number) => Math.min(low, number), Infinity);
  const high = numbers.reduce((high, number) => Math.max(high, number), -Infinity);
  if (low < high) return [low, high];
  const room = Math.abs(low) / 10 || 1;
  return [low - room, high + room];
}

// `points` are pairs of finite numbers. `showX` says how a place on the axis is written.
function chart(points, name, nameOfX, showX = short) {
  const sorted = points.toSorted((one, other) => one[0] - other[0]);
  const [left, right] = bounds(sorted.map((point) => point[0]));
  const [low, high] = bounds(sorted.map((point) => point[1]));
  const { width, height } = CHART;
  const inner = { width: width - CHART.left - CHART.right, height: height - CHART.top - CHART.bottom };
  const x = (number) => CHART.left + ((number - left) / (right - left)) * inner.width;
  const y = (number) => CHART.top + (1 - (number - low) / (high - low)) * inner.height;

  const picture = shape("svg", { class: "chart", viewBox: "0 0 " + width + " " + height, role: "img" });
  picture.append(shape("title", {}, name + " by " + nameOfX + ", " + count(points.length, "point")));
  for (const value of [low, (low + high) / 2, high]) {
    picture.append(shape("line", { class: "grid", x1: CHART.left, x2: width - CHART.right, y1: y(value), y2: y(value) }));
    picture.append(shape("text", { class: "tick y", x: CHART.left - 6, y: y(value) + 4 }, short(value)));
  }
  const bottom = height - 8;
  picture.append(shape("text", { class: "tick start", x: CHART.left, y: bottom }, showX(left)));
  picture.append(shape("text", { class: "tick middle", x: CHART.left + inner.width / 2, y: bottom }, nameOfX));
  picture.append(shape("text", { class: "tick end", x: width - CHART.right, y: bottom }, showX(right)));

  const drawn = sorted.map(([across, up]) => x(across).toFixed(1) + "," + y(up).toFixed(1));
  picture.append(shape("polyline", { class: "series", points: drawn.join(" ") }));
  if (sorted.length <= MAX_DOTS) {
    for (const [across, up] of sorted) picture.append(shape("circle", { class: "point", cx: x(across), cy: y(up), r: 2.5 }));
  }
  const near = shape("circle", { class: "near", r: 4, visibility: "hidden" });
  const said = shape("text", { class: "said", x: width - CHART.right, y: CHART.top + 4 });
  picture.append(near, said);
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const point = nearest(sorted, left + ((((event.clientX - box.left) / box.width) * width - CHART.left) / inner.width) * (right - left));
    near.setAttribute("cx", x(point[0]));
    near.setAttribute("cy", y(point[1]));
    near.setAttribute("visibility", "visible");
    said.textContent = nameOfX + " " + showX(point[0]) + ": " + short(point[1]);
  });
  picture.addEventListener("pointerleave", () => {
    near.setAttribute("visibility", "hidden");
    said.textContent = "";
  });
  return picture;
}

// The point that is nearest to a place on the axis, of points that are sorted.
function nearest(points, at) {
  let [first, last] = [0, points.length - 1];
  while (last - first > 1) {
    const middle = (first + last) >> 1;
    if (points[middle][0] < at) first = middle;
    else last = middle;
  }
  return Math.abs(points[first][0] - at) <= Math.abs(points[last][0] - at) ? points[first] : points[last];
}
