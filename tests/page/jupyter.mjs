// Runs a notebook's first cell in each of Jupyter's pages, as a person would, and tells what is seen below it.
// Arguments: browser, address, token, screenshots' path or "". Says "running" once all show a run that goes on, and the
// texts once a line was written to it and all show that it has completed.
import { launch, open } from "./browser.mjs";

const [, , executablePath, address, token, screenshot] = process.argv;

const PAGES = {
  lab: { path: "lab/tree/lab.ipynb", cell: ".jp-CodeCell .cm-content", output: ".jp-OutputArea-output table" },
  notebook: { path: "notebooks/notebook.ipynb", cell: ".jp-CodeCell .cm-content", output: ".jp-OutputArea-output table" },
  classic: { path: "nbclassic/notebooks/classic.ipynb", cell: ".CodeMirror", output: ".output_area table" },
};

const browser = await launch(executablePath);

// What stands below the cell: its text, and whether its chart has a size.
const below = (page, output) => page.locator(output).first().evaluate((table) => {
  const area = table.parentElement;
  const line = area.querySelector("svg polyline")?.getBoundingClientRect();
  return { text: area.innerText, chart: Boolean(line && line.width > 10 && line.height > 2) };
});

const begin = async (name) => {
  const { path, cell, output } = PAGES[name];
  const page = await open(browser, { viewport: { width: 1000, height: 800 } });
  await page.goto(address + path + "?token=" + token);
  await page.waitForSelector(cell);
  if (name === "classic") await page.waitForFunction(() => globalThis.Jupyter?.notebook?.kernel?.is_connected());
  else await page.waitForSelector(".jp-Notebook-ExecutionIndicator[data-status='idle']");
  // A page that has no kernel yet lets a cell pass without running it. Below one that is run again is nothing for a moment.
  for (let shown = false, tries = 0; !shown; tries += 1) {
    if (tries === 12) throw new Error(`${name}: nothing below the cell\n${await page.locator("body").innerText()}`);
    await page.locator(cell).first().click();
    await page.keyboard.press("Shift+Enter");
    shown = await page.waitForSelector(output, { timeout: 5_000 }).then(() => true, () => false);
  }
  await page.waitForFunction((output) => document.querySelector(output)?.innerText.includes("Running"), output);
  return { name, page, output };
};

const pages = [];
for (const name of Object.keys(PAGES)) pages.push(await begin(name));
console.log(JSON.stringify({ running: true }));
await new Promise((resolve) => process.stdin.once("data", resolve));
const seen = {};
for (const { name, page, output } of pages) {
  await page.bringToFront();
  await page.waitForFunction((output) => document.querySelector(output)?.innerText.includes("Completed"), output);
  seen[name] = await below(page, output);
  if (screenshot) await page.screenshot({ path: `${screenshot}-${name}.png` });
}
console.log(JSON.stringify(seen));
await browser.close();
process.exit(0);
