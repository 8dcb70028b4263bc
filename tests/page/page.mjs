// Opens the page in a real browser, as a person would, and tells what is seen as one JSON object.
// Arguments: browser, address, run, file that the training writes to, screenshot or "".
import { appendFileSync } from "node:fs";
import { launch, open, watch } from "./browser.mjs";

const [, , executablePath, address, run, file, screenshot] = process.argv;

const browser = await launch(executablePath);
const page = await open(browser);
const { complaints, enter } = watch(page);

const shown = () => page.locator("#log").innerText();
const until = (text) => page.waitForFunction((text) => document.getElementById("log").innerText.includes(text), text);
const seen = {};

await page.goto(address);
const token = process.env.RUNLOG_SERVE_TOKEN;
if (token) {
  await page.waitForSelector("#token:visible");
  seen.closed = await page.locator("#runs a").count();
  await page.fill("#token", "some other token");
  await page.click("#enter");
  await page.waitForSelector("#wrong:visible");
  await page.fill("#token", token);
  await page.press("#token", "Enter");
  await page.waitForSelector("#runs a");
  enter();
}
await page.locator("#runs a", { hasText: run }).click();
await until("hostile <img");
seen.before = await shown();
seen.title = await page.locator("#title").innerText();
seen.injected = await page.locator("#log script, #log img").count();

// A line that is written while the page is open comes by itself.
appendFileSync(file, "2026-11-24 06:00:09,000 ERROR train: written later\n");
await until("written later");
seen.after = await shown();

await page.selectOption("#level", "error");
await page.waitForFunction(() => !document.getElementById("log").innerText.includes("first line"));
await until("written later");
seen.errors = await shown();

await page.selectOption("#level", "");
await page.fill("#text", "hostile");
// Both at once: while the level is taken back, the log is empty and then whole for a moment.
await page.waitForFunction(() => {
  const text = document.getElementById("log").innerText;
  return text.includes("hostile") && !text.includes("written later");
});
seen.filtered = await shown();
await page.fill("#text", "");
await until("written later");

await page.setViewportSize({ width: 390, height: 700 });
seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
await page.setViewportSize({ width: 1200, height: 600 });
if (screenshot) await page.screenshot({ path: screenshot });
seen.complaints = complaints;
seen.executed = await page.evaluate(() => window.hacked === true);
await browser.close();
console.log(JSON.stringify(seen));
