// The page of `bert serve`: a form made of the schema, texts, and tables. It loads nothing from elsewhere.
"use strict";

const find = (id) => document.getElementById(id);
let schema = null;
let key = "";

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function headers(more = {}) {
  return key ? { authorization: `Bearer ${key}`, ...more } : more;
}

// The answer of a route; an error has the server's own words.
async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headers(options.headers) });
  if (response.ok) return response;
  if (response.status === 401) find("key-form").hidden = false;
  let message = `${response.status} ${response.statusText}`;
  try {
    message = (await response.json()).error;
  } catch {
    // The status says it all.
  }
  throw new Error(message);
}

async function askJson(path, body) {
  const options = { method: "POST", body, headers: { "content-type": "application/json" } };
  return (await ask(path, options)).json();
}

async function loadSchema(name) {
  const query = name ? `?model=${encodeURIComponent(name)}` : "";
  schema = await (await ask(`schema${query}`)).json();
  find("model").textContent = schema.model;
  find("about").textContent = `${schema.task}, target ${schema.target.join(", ")}`;
  find("choose").hidden = schema.models.length < 2;
  find("models").replaceChildren(
    ...schema.models.map((each) => make("option", each === schema.model ? { selected: "" } : {}, each)),
  );
  find("row-section").hidden = schema.has_windows;
  find("text-section").hidden = !schema.reads_text;
  find("wants-probabilities").hidden = !schema.classes.length;
  find("fields").replaceChildren(...schema.columns.map(makeField));
}

function makeField(column, place) {
  const id = `field-${place}`;
  const attributes = { id, name: column.name };
  let input;
  if (column.kind === "category" && column.choices.length) {
    attributes.list = `${id}-choices`;
    input = make("input", { ...attributes, type: "text", autocomplete: "off" });
  } else if (column.kind === "text") {
    input = make("textarea", { ...attributes, rows: "1" });
  } else {
    const mode = column.kind === "number" ? { inputmode: "decimal" } : {};
    input = make("input", { ...attributes, type: "text", autocomplete: "off", ...mode });
  }
  input.value = column.example ?? "";
  const range = column.least === undefined ? "" : ` (${column.least} to ${column.greatest})`;
  const field = make("div", {}, make("label", { for: id }, column.name + range), input);
  if (attributes.list) {
    const choices = column.choices.map((value) => make("option", { value }));
    field.append(make("datalist", { id: attributes.list }, ...choices));
  }
  return field;
}

function readForm() {
  const row = {};
  schema.columns.forEach((column, place) => {
    const value = find(`field-${place}`).value;
    row[column.name] = value === "" ? null : value;
  });
  return row;
}

// One line of CSV as cells; quotes may stand around them.
function splitLine(line, delimiter) {
  const cells = [];
  let cell = "";
  let isQuoted = false;
  for (let place = 0; place < line.length; place += 1) {
    const letter = line[place];
    if (isQuoted && letter === '"' && line[place + 1] === '"') {
      cell += '"';
      place += 1;
    } else if (letter === '"') isQuoted = !isQuoted;
    else if (letter === delimiter && !isQuoted) {
      cells.push(cell);
      cell = "";
    } else cell += letter;
  }
  return [...cells, cell];
}

function readPasted(text) {
  const trimmed = text.trim();
  if (trimmed.startsWith("{")) return JSON.parse(trimmed);
  const [header, line] = trimmed.split(/\r?\n/);
  if (line === undefined) throw new Error("expected a header and a line below it, or a JSON record");
  const delimiter = [",", ";", "\t", "|"].sort((a, b) => header.split(b).length - header.split(a).length)[0];
  const names = splitLine(header, delimiter);
  const cells = splitLine(line, delimiter);
  if (names.length !== cells.length) {
    throw new Error(`the header has ${names.length} cells, the line has ${cells.length}`);
  }
  return Object.fromEntries(names.map((name, place) => [name, cells[place]]));
}

function fillIn() {
  const row = readPasted(find("paste").value);
  const missing = schema.columns.filter((column) => !(column.name in row));
  if (missing.length) throw new Error(`the row lacks ${missing.map((column) => column.name).join(", ")}`);
  schema.columns.forEach((column, place) => {
    find(`field-${place}`).value = row[column.name] ?? "";
  });
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;

function spell(value) {
  if (value === null) return "unknown";
  return typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(6) : String(value);
}

// A table of names with a bar each.
function makeBars(caption, entries, write) {
  const largest = Math.max(...entries.map(([, value]) => Math.abs(value)), 1e-12);
  const rows = entries.map(([name, value]) => {
    const fill = make("div", { class: value < 0 ? "fill against" : "fill" });
    fill.style.width = `${(100 * Math.abs(value)) / largest}%`;
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, name),
      make("td", { class: "number" }, write(value)),
      make("td", { class: "bar", "aria-hidden": "true" }, fill),
    );
  });
  return make("table", {}, make("caption", {}, caption), make("tbody", {}, ...rows));
}

function showAnswer(answer, drift = []) {
  const parts = Object.entries(answer.answer).map(([name, value]) =>
    make("p", {}, `${name}: `, make("span", { class: "value" }, spell(value))),
  );
  if (answer.confidence !== undefined) {
    parts.push(make("p", { id: "confidence" }, `Confidence ${percent(answer.confidence)}`));
  }
  if (answer.probabilities) {
    const entries = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]);
    parts.push(makeBars("Probabilities", entries.slice(0, 20), percent));
  }
  if (answer.columns) {
    const isClass = Boolean(answer.probabilities);
    const caption = isClass
      ? "What each column does to the probability of the answer (without its cell, so much less)"
      : "What each column does to the answer (without its cell, so much less)";
    const entries = answer.columns.slice(0, 12).map((each) => [each.column, each.effect]);
    const sign = (value) => (value < 0 ? "−" : "+");
    const write = (value) =>
      sign(value) + (isClass ? percent(Math.abs(value)) : Math.abs(value).toPrecision(3));
    parts.push(makeBars(caption, entries, write));
  }
  parts.push(...drift.map((finding) => make("p", { class: "hint" }, finding.message)));
  find("result").replaceChildren(...parts);
}

async function askRow() {
  const body = JSON.stringify({ rows: [readForm()], model: schema.model, explain: true });
  const document_ = await askJson("predict/rows", body);
  showAnswer(document_.answers[0], document_.drift);
}

async function askText() {
  const body = JSON.stringify({ inputs: find("text").value, model: schema.model, truncate: true });
  const labels = await askJson("predict", body);
  const entries = labels.map((each) => [each.label, each.score]);
  if (!schema.classes.length) {
    showAnswer({ answer: Object.fromEntries(entries) });
    return;
  }
  const isSingle = schema.target.length === 1 && schema.task !== "multilabel";
  const answer = isSingle ? { [schema.target[0]]: entries[0][0] } : {};
  const confidence = isSingle ? entries[0][1] : undefined;
  showAnswer({ answer, confidence, probabilities: Object.fromEntries(entries) });
}

function countLines(bytes) {
  let count = 0;
  for (const byte of bytes) if (byte === 10) count += 1;
  return count;
}

async function askTable() {
  const file = find("file").files[0];
  if (!file) throw new Error("choose a CSV first");
  const [progress, state, link] = [find("progress"), find("table-state"), find("download")];
  const content = new Uint8Array(await file.arrayBuffer());
  const expected = Math.max(1, countLines(content) - 1);
  link.hidden = true;
  progress.hidden = false;
  progress.value = 0;
  state.textContent = "Reading the table…";
  const query = new URLSearchParams({
    model: schema.model,
    probabilities: find("probabilities").checked,
  });
  const response = await ask(`predict/rows?${query}`, {
    method: "POST",
    body: content,
    headers: { "content-type": "text/csv" },
  });
  const reader = response.body.getReader();
  const parts = [];
  let lines = 0;
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    parts.push(piece.value);
    lines += countLines(piece.value);
    progress.value = Math.min(1, lines / expected);
    state.textContent = `${Math.max(0, lines - 1)} rows answered`;
  }
  progress.value = 1;
  const drift = JSON.parse(response.headers.get("x-drift") ?? "[]");
  state.textContent = [`${Math.max(0, lines - 1)} rows answered.`, ...drift].join(" ");
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob(parts, { type: "text/csv" }));
  link.download = "submission.csv";
  link.hidden = false;
}

// Runs what a button asks for; faults are read out, and the button waits.
async function run(button, work) {
  find("error").textContent = "";
  button.disabled = true;
  try {
    await work();
  } catch (error) {
    find("error").textContent = error.message;
    find("progress").hidden = true;
    find("table-state").textContent = "";
  } finally {
    button.disabled = false;
  }
}

function onSubmit(form, button, work) {
  find(form).addEventListener("submit", (event) => {
    event.preventDefault();
    run(find(button), work);
  });
}

onSubmit("row-form", "ask-row", askRow);
onSubmit("text-form", "ask-text", askText);
onSubmit("table-form", "ask-table", askTable);
find("fill").addEventListener("click", () => run(find("fill"), async () => fillIn()));
find("models").addEventListener("change", () => loadSchema(find("models").value));
find("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = find("key").value.trim();
  find("error").textContent = "";
  loadSchema().then(
    () => {
      find("key-form").hidden = true;
    },
    (error) => {
      find("error").textContent = error.message;
    },
  );
});
loadSchema().catch((error) => {
  find("about").textContent = "The schema could not be read.";
  find("error").textContent = error.message;
});
