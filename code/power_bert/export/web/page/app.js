// The page: files in, texts in, results out.

import { Classifier, Runtime, availableBackends } from "./classifier.js";
import { ModelFileError, readModelFile } from "./model_file.js";
import { ModelView, formatBytes, showError } from "./view.js";

const TYPING_PAUSE_MS = 150;
const MEASURED_RUNS = 30;

const find = (id) => document.getElementById(id);
const page = Object.fromEntries(
  ["main", "drop", "files", "backends", "status", "errors", "first", "second", "second-field", "first-label"]
    .concat(["results", "comparison", "rows", "cards", "measure"])
    .map((id) => [id, find(id)]),
);

// One entry a model: {file, classifier, view}; classifier is null where the backend cannot run the model.
let models = [];
let runtime = null;
// Everything that uses the runtime waits for what was asked before: it runs one thing at a time.
let queue = Promise.resolve();
let numQueued = 0;
let typingPause = null;

function enqueue(work) {
  numQueued++;
  queue = queue
    .then(work)
    .catch((error) => showError(page.errors, `Unexpected error: ${error.message}`))
    .finally(() => {
      numQueued--;
      showBusy();
    });
  showBusy();
}

// For screen readers, and for tests: whether what is shown is about to change.
function showBusy() {
  page.main.setAttribute("aria-busy", String(numQueued > 0 || typingPause !== null));
}

// --- Models ---

async function addModel(fileName, readBytes) {
  page.status.textContent = `Loading ${fileName} …`;
  // Lets the browser show the line before it is busy.
  await new Promise((resolve) => setTimeout(resolve));
  try {
    const file = await readModelFile(await readBytes(), fileName);
    const model = { file, classifier: await Classifier.load(file, runtime), view: null };
    model.view = new ModelView(file, () => enqueue(() => removeModel(model)));
    models.push(model);
    page.cards.append(model.view.card);
    page.rows.append(model.view.row);
  } catch (error) {
    const known = error instanceof ModelFileError;
    showError(page.errors, known ? error.message : `${fileName}: the runtime cannot run it (${error.message}).`);
  }
  await update();
}

async function removeModel(model) {
  models = models.filter((other) => other !== model);
  model.classifier?.delete();
  model.view.remove();
  await update();
}

function openFiles(files) {
  for (const file of files) {
    enqueue(() => addModel(file.name, async () => new Uint8Array(await file.arrayBuffer())));
  }
}

// Models that lie beside the page: models.json, [{"name": …, "url": …}].
async function openPreloaded() {
  const response = await fetch("models.json");
  for (const { name, url } of await response.json()) {
    enqueue(() => addModel(name, () => download(url)));
  }
}

async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

// --- Results ---

async function update() {
  const anyPairs = models.some(({ file }) => file.takesPairs);
  page["second-field"].hidden = !anyPairs;
  page["first-label"].textContent = anyPairs ? "First text" : "Text to classify";
  page.results.hidden = models.length === 0;
  page.comparison.hidden = models.length < 2;
  page.status.textContent = statusLine();
  for (const model of models) await classify(model);
}

function statusLine() {
  if (!models.length) return `Ready: ${runtime.description}`;
  const bytes = models.reduce((sum, { file }) => sum + file.bytes.length, 0);
  const loaded = models.length === 1 ? "1 model" : `${models.length} models`;
  return `${loaded} (${formatBytes(bytes)}) on ${runtime.description}`;
}

async function classify({ file, classifier, view }) {
  const [first, second] = [page.first.value, page.second.value];
  view.showSpeed(null);
  if (!classifier) {
    view.showFailure(`${runtime.description} cannot run this model.`);
  } else if (!first.trim() && !(file.takesPairs && second.trim())) {
    view.clear();
  } else {
    view.show(await classifier.classify(first, second));
  }
}

async function measure() {
  page.measure.disabled = true;
  for (const { classifier, view } of models.filter(({ classifier }) => classifier)) {
    page.status.textContent = `Measuring ${classifier.file.name} …`;
    const times = [];
    for (let run = 0; run < MEASURED_RUNS; run++) {
      times.push((await classifier.classify(page.first.value, page.second.value)).inferenceMs);
    }
    times.sort((one, other) => one - other);
    const quantile = (share) => times[Math.ceil(share * MEASURED_RUNS) - 1];
    view.showSpeed({ median: quantile(0.5), p95: quantile(0.95), runs: MEASURED_RUNS });
  }
  page.status.textContent = statusLine();
  page.measure.disabled = false;
}

// --- Backends ---

async function useBackend(backend) {
  page.status.textContent = "Loading the runtime …";
  models.forEach(({ classifier }) => classifier?.delete());
  runtime = await Runtime.load(backend);
  for (const model of models) {
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
page.measure.addEventListener("click", () => enqueue(measure));
page.files.addEventListener("change", () => {
  openFiles(page.files.files);
  page.files.value = ""; // so that the same file can be chosen again
});
page.backends.addEventListener("change", (event) => enqueue(() => useBackend(event.target.value)));
// A file dropped beside the field would replace the page.
document.addEventListener("dragover", onDrag);
document.addEventListener("dragleave", onDrag);
document.addEventListener("drop", (event) => {
  onDrag(event);
  openFiles(event.dataTransfer.files);
});

enqueue(() => useBackend("wasm"));
enqueue(offerBackends);
enqueue(openPreloaded);
