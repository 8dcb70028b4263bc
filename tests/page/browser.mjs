// What all visits begin with: a real browser, and a page in it that has as much patience as a slow machine needs.
import { createRequire } from "node:module";

const require = createRequire(process.env.NODE_PATH + "/");
const { chromium } = require("playwright-core");

const PATIENCE = 180_000;

export const launch = (executablePath) => chromium.launch({
  executablePath,
  timeout: PATIENCE,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

export async function open(browser, options) {
  const page = await browser.newPage(options);
  page.setDefaultTimeout(PATIENCE);
  return page;
}

// Notes what goes wrong on a page. Where a token is asked for, what is asked before `enter` may be refused.
export function watch(page) {
  const complaints = [];
  page.on("pageerror", (fault) => complaints.push(String(fault)));
  // The browser tells of each request that is refused, and may do so late.
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().includes("401")) complaints.push(message.text());
  });
  const early = new Set();
  let isIn = !process.env.RUNLOG_SERVE_TOKEN;
  page.on("request", (request) => { if (!isIn) early.add(request); });
  page.on("response", (response) => {
    if (response.status() === 401 && !early.has(response.request())) complaints.push("refused: " + response.url());
  });
  page.on("dialog", (dialog) => { complaints.push("dialog: " + dialog.message()); dialog.dismiss(); });
  return { complaints, enter: () => { isIn = true; } };
}
