// The page: reacts to files and texts, and shows results.

import { Classifier, Runtime, availableBackends } from "./classifier.js";
import { compareHere, comparisonCsv, comparisonTables, download } from "./compare.js";
import { haveSameLabels, latencyOf } from "./measures.js";
import { ModelFileError, readModelFile } from "./model_file.js";
import { Server } from "./server.js";
import { guessTextColumns, readTable } from "./table.js";
import { ModelView, element, formatBytes, showError } from "./view.js";

const TYPING_PAUSE_MS = 150;
// Runs of each model for its latency: after every change, and at the user's wish.
const RUNS = 5;
const MANY_RUNS = 30;
// Of no task in particular; a model of pairs takes both texts.
const EXAMPLES = [
  ["A warm, funny and very well acted film.", "The movie is good, and so are the actors."],
  ["I have waited for my parcel for two weeks, and nobody answers.", "My order has not arrived yet."],
  ["Please wake me up at seven tomorrow morning.", "The stock market fell sharply on Monday."],
];

const find = (id) => document.getElementById(id);
const page = Object.fromEntries(
  ["main", "drop", "files", "backends", "status", "errors", "first", "second", "second-field", "first-label"]
    .concat(["results", "comparison", "rows", "cards", "measure", "privacy", "token-form", "token"])
    .concat(["examples", "teacher-field", "teacher", "many", "texts", "compare", "csv", "compared", "texts-label"])
    .concat(["survivors", "texts-file", "columns", "header", "first-column", "second-column", "second-column-field"])
    .concat(["rows-found"])
    .map((id) => [id, find(id)]),
);

// One {file, classifier, view, result, latency} for each model; classifier is null if the backend cannot run the model,
// result if there is no text, and latency if it is not measured.
let models = [];
// The table that the field for many texts holds, and the comparison that is shown with the table of its texts.
let table = readTable("");
let shown = null;
let runtime = null;
const server = new Server();
// The runtime does one thing at a time, so everything that uses it waits in this queue.
let queue = Promise.resolve();
let numQueued = 0;
let typingPause = null;

function enqueue(work) {
  numQueued++;
  queue = queue
    .then(work)
    .then(measureWhenIdle)
    .catch((error) => showError(page.errors, `Unexpected error: ${error.message}`))
    .finally(() => {
      numQueued--;
      showBusy();
    });
  showBusy();
}

// Tells screen readers and tests whether the results are about to change.
function showBusy() {
  page.main.setAttribute("aria-busy", String(numQueued > 0 || typingPause !== null));
}

// --- Models ---

async function addModel(fileName, readBytes) {
  page.status.textContent = `Loading ${fileName} …`;
  // Lets the browser show the status before the work begins.
  await new Promise((resolve) => setTimeout(resolve));
  try {
    const file = await readModelFile(await readBytes(), fileName);
    showModel(file, await Classifier.load(file, runtime));
  } catch (error) {
    const known = error instanceof ModelFileError;
    showError(page.errors, known ? error.message : `${fileName}: the runtime cannot run it (${error.message}).`);
  }
  await update();
}

function showModel(file, classifier) {
  const model = { file, classifier, view: null, result: null, latency: null };
  model.view = new ModelView(file, () => enqueue(() => removeModel(model)));
  models.push(model);
  page.cards.append(model.view.card);
  page.rows.append(model.view.row);
  page.survivors.append(model.view.tokens);
}

async function removeModel(model) {
  models = models.filter((other) => other !== model);
  model.classifier?.delete();
  model.view.remove();
  await update();
}

function openFiles(files) {
  for (const file of files) {
    if (/\.(csv|tsv|txt)$/i.test(file.name)) enqueue(() => openTexts(file));
    else enqueue(() => addModel(file.name, async () => new Uint8Array(await file.arrayBuffer())));
  }
}

// Opens the models beside the page, which models.json lists: [{"name": …, "url": …}], or those of the server:
// {"server": true}.
async function openPreloaded() {
  const listed = await (await fetch("models.json")).json();
  if (listed.server) {
    enqueue(openServer);
    return;
  }
  for (const { name, url } of listed) {
    enqueue(() => addModel(name, () => downloadModel(url)));
  }
}

async function downloadModel(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function openServer() {
  page.privacy.textContent =
    "Compare the models of the server with .tflite files that you open here. Texts are sent to the server only for its " +
    "models; opened files stay on this device.";
  let classifiers = [];
  try {
    classifiers = await server.models();
    page["token-form"].hidden = true;
  } catch (error) {
    page["token-form"].hidden = !error.needsToken;
    if (!error.needsToken || server.token) showError(page.errors, error.message);
  }
  for (const classifier of classifiers) showModel(classifier.file, classifier);
  await update();
}

// --- Results ---

async function update() {
  const anyPairs = models.some(({ file }) => file.takesPairs);
  page["second-field"].hidden = !anyPairs;
  page["first-label"].textContent = anyPairs ? "First text" : "Text to classify";
  page.results.hidden = models.length === 0;
  page.comparison.hidden = models.length < 2;
  page.status.textContent = statusLine();
  offerTeachers();
  for (const model of models) await classify(model);
  showAgainstTeacher();
}

function teacherModel() {
  return models[page.teacher.selectedIndex];
}

function offerTeachers() {
  const chosen = page.teacher.selectedOptions[0]?.text;
  page["teacher-field"].hidden = models.length < 2;
  page.many.hidden = !models.length;
  const names = models.map((_, index) => displayName(index));
  page.teacher.replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
  const anyPairs = models.some(({ file }) => file.takesPairs);
  page["texts-label"].textContent = anyPairs
    ? "Pairs, one a line with a tab between the texts, or a table (CSV, TSV)"
    : "Texts, one a line, or a table (CSV, TSV)";
  offerColumns();
}

// Names can be equal: several exports of one run have the same one.
function displayName(index) {
  const { name, fileName } = models[index].file;
  return models.filter(({ file }) => file.name === name).length > 1 ? `${name} (${fileName})` : name;
}

function showAgainstTeacher() {
  const teacher = teacherModel();
  for (const { file, result, latency, view } of models) {
    const comparable = teacher?.result && result && haveSameLabels(file, teacher.file);
    view.showAgainst(comparable ? teacher.result : null, file === teacher?.file);
    view.showLatency(latency, comparable ? teacher.latency : null);
  }
}

function statusLine() {
  const opened = models.filter(({ classifier }) => !classifier?.isRemote);
  const bytes = opened.reduce((sum, { file }) => sum + file.bytes.length, 0);
  const remote = models.length > opened.length ? `; ${count(models.length - opened.length)} on the server` : "";
  if (!opened.length) return `Ready: ${runtime.description}${remote}`;
  return `${count(opened.length)} (${formatBytes(bytes)}) on ${runtime.description}${remote}`;
}

function count(number) {
  return number === 1 ? "1 model" : `${number} models`;
}

async function classify(model) {
  const { file, classifier, view } = model;
  model.result = model.latency = null;
  const [first, second] = [page.first.value, page.second.value];
  if (!classifier) {
    view.showFailure(`${runtime.description} cannot run this model.`);
  } else if (!first.trim() && !(file.takesPairs && second.trim())) {
    view.clear();
  } else {
    try {
      model.result = await classifier.classify(first, second);
      view.show(model.result);
    } catch (error) {
      if (!classifier.isRemote) throw error;
      view.showFailure(error.message);
    }
  }
}

function isIdle() {
  return numQueued === 1 && typingPause === null;
}

// Measures the models that are not measured since the last change, after all that waits in the queue.
async function measureWhenIdle() {
  if (isIdle() && models.some(({ result, latency }) => result && !latency)) await measure(RUNS);
}

// Stops without a change as soon as something else waits in the queue.
async function measure(runs) {
  const measured = models.filter(({ result }) => result).map((model) => ({ model, results: [] }));
  page.measure.disabled = true;
  // In turns, so that other load on the device affects all models alike.
  for (let run = 0; run < runs && isIdle(); run++) {
    page.status.textContent = `Measuring, run ${run + 1} of ${runs} …`;
    for (const { model, results } of measured) {
      results.push(await model.classifier.classify(page.first.value, page.second.value));
    }
    if (run + 1 === runs) for (const { model, results } of measured) model.latency = latencyOf(results);
  }
  showAgainstTeacher();
  page.status.textContent = statusLine();
  page.measure.disabled = false;
}

// --- Comparison on many texts ---

async function openTexts(file) {
  page.texts.value = await file.text();
  readTexts();
}

// Reads the field; without `hasHeader` it is guessed whether the first line holds the names of the columns.
function readTexts(hasHeader) {
  table = readTable(page.texts.value, hasHeader);
  page.header.checked = table.hasHeader;
  page["first-column"].replaceChildren();
  offerColumns();
}

// Offers the columns of the table, the guessed ones unless the user has chosen others.
function offerColumns() {
  const takesPairs = models.some(({ file }) => file.takesPairs);
  const selects = [page["first-column"], page["second-column"]];
  const isNew = !page["first-column"].options.length || page["second-column-field"].hidden === takesPairs;
  page.columns.hidden = table.columns.length === 0;
  page["second-column-field"].hidden = !takesPairs;
  page["rows-found"].textContent = table.rows.length ? `Rows: ${table.rows.length}` : "";
  if (!isNew) return;
  const guessed = guessTextColumns(table, takesPairs ? 2 : 1);
  for (const [position, select] of selects.entries()) {
    select.replaceChildren(...table.columns.map((name, column) => new Option(name, column)));
    select.selectedIndex = guessed[position] ?? -1;
  }
}

// The texts of the chosen columns, or pairs of them.
function chosenTexts(takesPairs) {
  const columns = [page["first-column"], ...(takesPairs ? [page["second-column"]] : [])];
  if (!table.rows.length) throw new Error("There are no texts to compare.");
  if (takesPairs && table.columns.length < 2) {
    throw new Error("The texts have one column, and pairs need two: put a tab between the texts of each line.");
  }
  return table.rows.map((row) => columns.map((select) => row[select.selectedIndex]));
}

async function compare() {
  page.compare.disabled = page.csv.disabled = true;
  try {
    const compared = models
      .map(({ classifier }, index) => ({ name: displayName(index), classifier }))
      .filter(({ classifier }) => classifier);
    const teacher = compared.findIndex(({ classifier }) => classifier === teacherModel()?.classifier);
    if (teacher < 0) throw new Error("The teacher cannot be run here; choose another model.");
    const inputs = chosenTexts(compared[teacher].classifier.file.takesPairs);
    const found = compared.every(({ classifier }) => classifier.isRemote)
      ? await compareOnServer(compared, teacher, inputs)
      : await compareHere(compared, teacher, inputs, (done) => {
          page.status.textContent = `Comparing, text ${done} of ${inputs.length} …`;
        });
    shown = { found, table };
    page.compared.replaceChildren(...comparisonTables(found));
  } catch (error) {
    showError(page.errors, error.message);
  }
  page.status.textContent = statusLine();
  page.compare.disabled = false;
  page.csv.disabled = shown === null;
}

function saveCsv() {
  download(comparisonCsv(shown.found, shown.table), "comparison.csv", "text/csv");
}

// Times without the network.
function compareOnServer(compared, teacher, inputs) {
  const names = compared.map(({ classifier }) => classifier.name);
  return server.compare({ inputs, teacher: names[teacher], models: names });
}

// --- Backends ---

async function useBackend(backend) {
  page.status.textContent = "Loading the runtime …";
  const opened = models.filter(({ classifier }) => !classifier?.isRemote);
  opened.forEach(({ classifier }) => classifier?.delete());
  runtime = await Runtime.load(backend);
  for (const model of opened) {
    model.classifier = await Classifier.load(model.file, runtime).catch((error) => {
      showError(page.errors, `${model.file.name}: ${runtime.description} cannot run it (${error.message}).`);
      return null;
    });
  }
  await update();
}

async function offerBackends() {
  page.backends.hidden = (await availableBackends()).length < 2;
}

// --- Events ---

function onTyping() {
  clearTimeout(typingPause);
  typingPause = setTimeout(() => {
    typingPause = null;
    enqueue(update);
  }, TYPING_PAUSE_MS);
  showBusy();
}

function onDrag(event) {
  event.preventDefault();
  page.drop.classList.toggle("over", event.type === "dragover");
}

page.first.addEventListener("input", onTyping);
page.second.addEventListener("input", onTyping);
page.measure.addEventListener("click", () => enqueue(() => measure(MANY_RUNS)));
page.texts.addEventListener("input", () => readTexts());
page["texts-file"].addEventListener("change", () => {
  enqueue(() => openTexts(page["texts-file"].files[0]));
});
page.header.addEventListener("change", () => readTexts(page.header.checked));
page.compare.addEventListener("click", () => enqueue(compare));
page.csv.addEventListener("click", saveCsv);
page.teacher.addEventListener("change", () => enqueue(showAgainstTeacher));
page.examples.append(
  ...EXAMPLES.map(([first, second]) => {
    const button = element("button", { type: "button", text: first });
    button.addEventListener("click", () => {
      [page.first.value, page.second.value] = [first, second];
      enqueue(update);
    });
    return button;
  }),
);
page["token-form"].addEventListener("submit", (event) => {
  event.preventDefault();
  server.token = page.token.value.trim();
  enqueue(openServer);
});
page.files.addEventListener("change", () => {
  openFiles(page.files.files);
  page.files.value = ""; // allows choosing the same file again
});
page.backends.addEventListener("change", (event) => enqueue(() => useBackend(event.target.value)));
// Without these handlers, a file dropped beside the field would replace the page.
document.addEventListener("dragover", onDrag);
document.addEventListener("dragleave", onDrag);
document.addEventListener("drop", (event) => {
  onDrag(event);
  openFiles(event.dataTransfer.files);
});

enqueue(() => useBackend("wasm"));
enqueue(offerBackends);
enqueue(openPreloaded);
