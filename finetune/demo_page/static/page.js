"use strict";

const byId = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(1)} %`;
let asked = 0; // requests: a late answer to an earlier one is not shown

/* Texts of the model and of the data are texts, never HTML. */
function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function table(rows) {
  const made = element("table");
  for (const cells of rows) {
    const row = element("tr");
    for (const [content, kind] of cells) {
      const cell = element("td", typeof content === "string" ? content : undefined, kind);
      if (typeof content !== "string") cell.append(content);
      row.append(cell);
    }
    made.append(row);
  }
  return made;
}

function labels(found) {
  return table(found.map(({ name, probability, threshold }) => {
    const bar = element("meter");
    bar.value = probability;
    bar.setAttribute("aria-label", `${name}: ${percent(probability)}`);
    const cells = [[name], [bar, "bar"], [percent(probability), "number"]];
    if (threshold !== null) cells.push([`${probability > threshold ? "predicted" : "not predicted"}, above ${percent(threshold)}`, "quiet"]);
    return cells;
  }));
}

function confidence(found) {
  const lines = [];
  if (found.temperature === null) lines.push(`Confidence ${percent(found.plain)}, not calibrated: this model has no temperature.`);
  else lines.push(`Confidence ${percent(found.calibrated)}, calibrated with temperature ${found.temperature.toFixed(2)}; ${percent(found.plain)} without.`);
  if (found.validation_rows) lines.push(`Of the ${found.validation_rows} validation rows on which it was at least as confident, ${percent(found.validation_right / found.validation_rows)} were right.`);
  return lines.map((line) => element("p", line, "quiet"));
}

function reading(answer) {
  if (answer.tokens <= answer.limit) return [];
  const how = answer.windows ? `read in windows of ${answer.limit} tokens, whose outputs are averaged` : `of which ${answer.limit} are read`;
  return [element("p", `The text has ${answer.tokens} tokens, ${how}.`, "quiet")];
}

/* One function for each kind of detail that an answer may have. */
const details = {
  neighbours: ({ rows, missing }) => [
    element("h2", "Nearest training texts"),
    missing ? element("p", missing, "quiet") : table(rows.map(({ text, label, similarity }) => [[text], [label], [similarity.toFixed(2), "number"]])),
  ],
};

function shown(answer) {
  if (answer.error) return [element("p", answer.error, "error")];
  if (answer.empty) return [element("p", "Type a text.", "quiet")];
  const { prediction } = answer;
  const said = Array.isArray(prediction) ? prediction.join(", ") || "no label" : typeof prediction === "number" ? prediction.toPrecision(4) : prediction;
  const parts = [element("p", said, "prediction")];
  if (answer.confidence) parts.push(...confidence(answer.confidence));
  if (answer.labels.length) parts.push(labels(answer.labels));
  parts.push(...reading(answer));
  for (const [kind, content] of Object.entries(answer.details)) parts.push(...details[kind](content));
  return parts;
}

async function ask(event) {
  event.preventDefault();
  const number = (asked += 1);
  const place = byId("answer");
  place.setAttribute("aria-busy", "true");
  const body = { text: byId("text").value };
  if (!byId("second").hidden) body.pair = byId("pair").value;
  let answer;
  try {
    const response = await fetch("answer", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    answer = await response.json();
  } catch {
    answer = { error: "No answer: finetune demo is no longer running, or it failed. See its terminal." };
  }
  if (number !== asked) return;
  place.replaceChildren(...shown(answer));
  place.setAttribute("aria-busy", "false");
}

async function start() {
  const model = await (await fetch("model")).json();
  document.title = `${model.name} · finetune demo`;
  byId("name").textContent = model.name;
  byId("about").replaceChildren(...model.about.map((line) => element("li", line)));
  byId("second").hidden = !model.pairs;
}

byId("ask").addEventListener("submit", ask);
byId("ask").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
});
start();
