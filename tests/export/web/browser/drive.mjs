// Uses the page as a person would, in headless Chromium, and prints what it shows.
//
// stdin: {address, chromium, arguments, files: [path], texts: [[first, second]], backend, token, measure: boolean,
//         compare: text, textsFile: path, screenshot}
// stdout: {status, errors: [text], cards: [name], table: [row], results: [[{label: probability}]], notes: [[text]],
//          survivors: [[[[token, is left]]]], hosts: [every host that was asked for something], compared: [[cell]],
//          csv, overflow}; results, notes and survivors are by text, then by model, survivors then by row; notes of the
//          longer measurement come last; compared are the rows of the comparison, csv is its file; overflow: pixels by
//          which the results are wider than a window of 1000 pixels.

import { readFile } from "node:fs/promises";
import { text as readAll } from "node:stream/consumers";

import { chromium } from "playwright-core";

const LONGEST_WAIT_MS = 240_000;

const plan = JSON.parse(await readAll(process.stdin));
const browser = await chromium.launch({ executablePath: plan.chromium, args: plan.arguments });
try {
  console.log(JSON.stringify(await visit(await browser.newPage())));
} finally {
  await browser.close();
}

async function visit(page) {
  const hosts = new Set();
  const errors = [];
  page.setDefaultTimeout(LONGEST_WAIT_MS);
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  page.on("pageerror", (error) => errors.push(`page: ${error.message}`));
  page.on("console", (message) => {
    if (message.text().includes("Content Security Policy")) errors.push(message.text());
  });
  await page.goto(plan.address);
  await settle(page);
  if (plan.token) {
    await page.fill("#token", plan.token);
    await page.click("#token-form button");
    await settle(page);
  }
  for (const file of plan.files) {
    await page.setInputFiles("#files", file);
    await settle(page);
  }
  if (plan.backend) {
    await page.check(`input[value=${plan.backend}]`);
    await settle(page);
  }
  const [results, notes, survivors] = [[], [], []];
  for (const [first, second] of plan.texts) {
    await page.fill("#first", first);
    if (second !== null) await page.fill("#second", second);
    await settle(page);
    results.push(await page.locator(".card").evaluateAll(readBars));
    notes.push(await page.locator(".card").allInnerTexts());
    survivors.push(await page.locator("#survivors > div").evaluateAll(readSurvivors));
  }
  if (plan.measure) {
    await page.click("#measure");
    await settle(page);
    notes.push(await page.locator(".card").allInnerTexts());
  }
  let csv = "";
  if (plan.compare || plan.textsFile) {
    if (plan.textsFile) await page.setInputFiles("#texts-file", plan.textsFile);
    else await page.fill("#texts", plan.compare);
    await settle(page);
    await page.click("#compare");
    await page.waitForSelector("#compared table");
    await settle(page);
    const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#csv")]);
    csv = await readFile(await saved.path(), "utf-8");
  }
  await page.setViewportSize({ width: 1000, height: 800 });
  if (plan.screenshot) await page.screenshot({ path: plan.screenshot, fullPage: true });
  return {
    status: await page.textContent("#status"),
    errors: errors.concat(await page.locator(".error p").allTextContents()),
    cards: await page.locator(".card h3").allTextContents(),
    table: await page.locator("#rows tr").evaluateAll((rows) => rows.map((row) => row.innerText)),
    results,
    notes,
    hosts: [...hosts],
    survivors,
    compared: await page.locator("#compared tr").evaluateAll(readCells),
    csv,
    overflow: await page.locator("#comparison").evaluate((region) => region.scrollWidth - region.clientWidth),
  };
}

// Runs in the page: label → probability of each card, as it is shown; "score" → the number of a regression.
function readBars(cards) {
  const read = (bar) => {
    const label = bar.querySelector(":scope > .label");
    if (!label) return ["score", Number(bar.textContent)];
    return [label.textContent, Number.parseFloat(bar.querySelector(":scope > .value").textContent) / 100];
  };
  const bars = (card) => [...card.querySelectorAll("li:has(> .label), li.score")];
  return cards.map((card) => Object.fromEntries(bars(card).map(read)));
}

// Runs in the page: the tokens in each row of each model, and whether they are left; of a model without them its note.
function readSurvivors(models) {
  const isLeft = (cell) => [cell.textContent, cell.tagName === "SPAN"];
  const tokens = (row) => [...row.querySelector(".tokens").children].map(isLeft);
  const read = (row) => (row.tagName === "P" ? row.textContent : tokens(row));
  return models.map((model) => [...model.querySelectorAll("tbody tr, p")].map(read));
}

function readCells(rows) {
  return rows.map((row) => [...row.cells].map((cell) => cell.textContent));
}

function settle(page) {
  return page.waitForSelector("main[aria-busy=false]");
}
