// Keeps the page of a running sweep open in a real browser. Prints a line on standard error whenever the page says
// something else. Ends when the page says the given words; then it prints what it saw as JSON.
// Called as: node live.mjs FOLDER_OF_NODE_MODULES BROWSER URL WORDS
import { createRequire } from "node:module";

const [modules, executablePath, url, words] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const args = ["--no-sandbox", "--disable-gpu"];
const browser = await require("puppeteer-core").launch({ executablePath, args });
const page = await browser.newPage();
const errors = [];
page.on("pageerror", (fault) => errors.push(String(fault)));
await page.goto(url);
const ended = new Promise((resolve) => {
  page.exposeFunction("say", (text) => {
    process.stderr.write(`${text}\n`);
    if (text.includes(words)) resolve();
  });
});
await page.evaluate(() => {
  let former = "";
  const look = () => {
    const text = document.querySelector("#live")?.innerText.replaceAll("\n", " ") ?? "";
    if (text !== former) globalThis.say(text);
    former = text;
  };
  look();
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
});
await ended;
// The report follows the last run.
await page.waitForFunction(() => {
  const cells = [...document.querySelectorAll("#runs tbody tr")].map((row) => row.innerText);
  return cells.length > 0 && cells.every((text) => text.includes("succeeded"));
});
const runs = await page.$$eval("#runs tbody tr", (rows) =>
  rows.map((row) => [...row.cells].map((cell) => cell.innerText)));
await browser.close();
console.log(JSON.stringify({ errors, runs }));
