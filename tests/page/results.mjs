// Looks at what runs have logged, as a person would, and tells what is seen as one JSON object.
// Arguments: browser, address, sweep, run, one that has ended, screenshots' path or "".
import { readFileSync } from "node:fs";
import { launch, open, watch } from "./browser.mjs";

const [, , executablePath, address, sweep, run, ended, screenshot] = process.argv;

const browser = await launch(executablePath);
const page = await open(browser, { viewport: { width: 1200, height: 900 } });
const { complaints, enter } = watch(page);

const pictures = async () => {
  await page.waitForSelector("#results .picture img");
  await page.waitForFunction(() => [...document.querySelectorAll("#results img")].every((image) => image.naturalWidth > 0));
};
const seen = {};
const first = (column) => page.locator("#results tbody tr").evaluateAll(
  (rows, column) => rows.map((row) => row.children[column].innerText), column);

await page.goto(address);
const token = process.env.RUNLOG_SERVE_TOKEN;
if (token) {
  await page.waitForSelector("#token:visible");
  await page.fill("#token", token);
  await page.press("#token", "Enter");
  await page.waitForSelector("#runs a");
  enter();
}
// The sweep: a table of its runs that is sorted by a metric.
await page.locator("#runs a[title='" + sweep + "']").click();
await page.click("#panes a[data-pane='results']");
await page.waitForSelector("#results tbody tr");
seen.swept = await page.locator("#results figure", { hasText: "mse by alpha" }).locator("circle.point").count();
seen.heads = await page.locator("#results th").allInnerTexts();
const metric = seen.heads.indexOf("mse");
await page.locator("#results th button", { hasText: "mse" }).click();
seen.up = [await first(0), await first(metric)];
await page.locator("#results th button", { hasText: "mse" }).click();
seen.down = [await first(0), await first(metric)];
if (screenshot) await page.screenshot({ path: screenshot + "-sweep.png" });

// A child is a click away, and stays in the results.
await page.locator("#results td a").first().click();
await page.waitForFunction(() => document.querySelector("#results .notes"));
seen.child = await page.locator("#results").innerText();

await page.goto(address + "/#" + encodeURIComponent(ended) + "/results");
await page.waitForFunction(() => document.querySelector("#results").innerText.includes("Ended"));
seen.ended = await page.locator("#results td").allInnerTexts();
seen.badly = await page.locator("#results td.error").count();

await page.goto(address + "/#" + encodeURIComponent(run) + "/results");
await pictures();
seen.text = await page.locator("#results").innerText();
const series = (name) => page.locator("figure[data-name='" + name + "'] polyline").getAttribute("points");
const heights = (text) => text.split(" ").map((pair) => Number(pair.split(",")[1]));
seen.loss = heights(await series("loss"));
seen.ticks = await page.locator("figure[data-name='loss'] .tick").allTextContents();
await page.locator("figure[data-name='loss'] svg").hover();
seen.said = await page.locator("figure[data-name='loss'] .said").textContent();
await page.selectOption(".axis", "time");
await page.waitForFunction(() => document.querySelector("figure[data-name='loss'] title").textContent.includes("by seconds"));
seen.long = (await series("long")).split(" ").length;
// They are put in anew with the charts.
await pictures();
seen.images = await page.locator("#results img").evaluateAll((images) => images.map((image) => image.naturalWidth));
const downloading = page.waitForEvent("download");
await page.locator("#results td button", { hasText: "outputs/model.bin" }).click();
seen.file = readFileSync(await (await downloading).path(), "utf8");
seen.injected = await page.locator("#results script, #results img[src='x']").count();
if (screenshot) await page.screenshot({ path: screenshot + "-run.png", fullPage: true });

// What is logged while the page is open comes by itself.
console.log(JSON.stringify({ ready: true }));
await new Promise((resolve) => process.stdin.once("data", resolve));
await page.waitForFunction(() => document.querySelector("#results").innerText.includes("logged later"));

await page.setViewportSize({ width: 390, height: 700 });
seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
await page.setViewportSize({ width: 1200, height: 600 });
await page.click("#panes a[data-pane='log']");
await page.waitForSelector("#log .line");
seen.log = await page.locator("#log").innerText();
seen.left = await page.locator("#results *").count();
seen.complaints = complaints;
seen.executed = await page.evaluate(() => window.hacked === true);
await browser.close();
console.log(JSON.stringify(seen));
process.exit(0);
