// Visits a page in a real browser, as a reader does, and prints what it saw as JSON.
// Called as: node page.mjs FOLDER_OF_NODE_MODULES BROWSER URL
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, executablePath, url] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
// Root has no sandbox in a container.
const args = ["--no-sandbox", "--disable-gpu"];
const browser = await require("puppeteer-core").launch({ executablePath, args });
const page = await browser.newPage();
const seen = { errors: [], requests: [], serious: [] };
page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
page.on("pageerror", (fault) => seen.errors.push(String(fault)));
page.on("request", (request) => seen.requests.push(request.url()));

async function audit(name, theme, [width, height]) {
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
  const found = await page.evaluate(() => globalThis.axe.run(document));
  for (const { id, impact, nodes } of found.violations) {
    if (["serious", "critical"].includes(impact)) seen.serious.push(`${name}: ${id}: ${nodes[0].html}`);
  }
}

await page.setViewport({ width: 1200, height: 900 });
await page.goto(url);
await page.waitForSelector("#runs table");
await page.waitForSelector(".chart svg");
seen.title = await page.title();

const columns = await page.$$eval("#runs th", (heads) => heads.length);
const last = () => page.$$eval("#runs tbody tr", (rows) => rows.map((row) => row.lastElementChild.textContent));
const heading = `#runs th:nth-child(${columns}) button`;
const clicked = async () => {
  await page.click(heading);
  return { values: await last() };
};
seen.sorted = [await clicked(), await clicked()];
seen.order = await page.$eval(`#runs th:nth-child(${columns})`, (head) => head.getAttribute("aria-sort"));
// Until the sorted rows have their places.
seen.sort_ms = await page.$eval(heading, (button) => {
  const before = performance.now();
  button.click();
  document.body.getBoundingClientRect();
  return performance.now() - before;
});
await page.type("#runs input", "seed that no run has");
seen.filtered = (await last()).length;
await page.$eval("#runs input", (input) => {
  input.value = "";
  input.dispatchEvent(new Event("input"));
});

const chart = (await page.$$("main .chart svg")).at(-1);
await chart.scrollIntoView();
const box = await chart.boundingBox();
seen.tip = "";
for (let y = 0.9; y > 0.05 && !seen.tip; y -= 0.1) {
  await page.mouse.move(box.x + 0.9 * box.width, box.y + y * box.height);
  seen.tip = await page.$$eval('[aria-label="tip"] text', (texts) => texts.map((text) => text.textContent).join(" "));
}
await page.click("#runs td button");
await page.waitForSelector("dialog[open]");
seen.dialog = await page.$eval("dialog", (dialog) => dialog.innerText);

await page.evaluate(axe);
await audit("dialog", "light", [1200, 900]);
await page.keyboard.press("Escape");
await audit("desktop", "light", [1200, 900]);
await audit("desktop", "dark", [1200, 900]);
await audit("phone", "light", [390, 844]);
seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
seen.paint_ms = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
await browser.close();
console.log(JSON.stringify(seen));
