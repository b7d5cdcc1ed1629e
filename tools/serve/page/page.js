/* page.js - the page of `lorac serve`: asks the server that it came from, and nobody else. What comes from there or from
 * the reader is text (textContent), never markup. */
"use strict";

const $ = (id) => document.getElementById(id);
const make = (name, properties, ...children) => {
  const e = Object.assign(document.createElement(name), properties);
  e.append(...children);
  return e;
};

const CHAT = "chat", PLAIN = "plain", TEMPLATE = "template"; // how a prompt is made

let base = "", adapters = [], talkers = new Set(); // talkers: names of those that have a chat template
let turns = [];      // {as, asked, answers: [text, ...]}, as they were shown
let running = null;  // the AbortController of the answers being made

/* ---- the server ---- */

async function call(path, body, signal) {
  const headers = {}, key = sessionStorage.getItem("key");
  if (key) { headers.Authorization = "Bearer " + key; }
  if (body) { headers["Content-Type"] = "application/json"; }
  const r = await fetch(path, {method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body)});
  if (r.ok) { return r; }
  let why = r.status + " " + r.statusText;
  try { why = (await r.json()).error.message; } catch { /* no JSON: its status says it */ }
  if (r.status === 401) { $("keys").hidden = false; }
  throw new Error(why);
}

/* The objects of a stream of server-sent events; one that ends without [DONE] was cut off. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const {value, done} = await reader.read();
    if (done) { throw new Error("the connection ended in the middle of the answer"); }
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "data: [DONE]") { return; }
      if (!line.startsWith("data: ")) { continue; }
      const event = JSON.parse(line.slice(6));
      if (event.error) { throw new Error(event.error.message); }
      yield event;
    }
  }
}

/* What chats and completions say of tokens, as [{text, logprob, top: [{text, logprob}]}]. */
function tokensOf({logprobs: l}) {
  if (!l) { return []; }
  if (l.content) {
    return l.content.map((t) => ({text: t.token, logprob: t.logprob,
      top: t.top_logprobs.map((o) => ({text: o.token, logprob: o.logprob}))}));
  }
  return l.tokens.map((text, i) => ({text, logprob: l.token_logprobs[i],
    top: Object.entries(l.top_logprobs[i] || {}).map(([of, logprob]) => ({text: of, logprob}))
      .sort((a, b) => b.logprob - a.logprob)}));
}

/* ---- bars ---- */

const visible = (token) => token.replace(/ /g, "·").replace(/\n/g, "↵").replace(/\t/g, "→") || "(nothing)";
const percent = (p) => p < 0.001 ? "< 0.1 %" : (100 * p).toFixed(1) + " %";
const isText = (token) => !/^(bytes:|token_id:)/.test(token);

/* Bars of [{text, logprob}], as wide as `most` allows; pick(text): what choosing one does. */
function bars(list, most, chosen, pick, show = visible) {
  return make("ol", {className: "bars"}, ...list.map(({text, logprob}) => {
    const p = Math.exp(logprob), able = pick && isText(text);
    const fill = make("i", {});
    fill.style.width = 100 * p / most + "%";
    const row = make(able ? "button" : "div", {},
      make("span", {className: "token", textContent: show(text)}),
      make("span", {className: "bar", ariaHidden: "true"}, fill),
      make("span", {className: "part", textContent: percent(p)}));
    if (able) {
      row.type = "button";
      row.title = "Go on with it";
      row.addEventListener("click", () => pick(text));
    }
    return make("li", {className: text === chosen ? "chosen" : ""}, row);
  }));
}

const largest = (list) => Math.exp(Math.max(...list.map((t) => t.logprob)));

async function showNext() {
  const prompt = $("before").value, models = chosenModels();
  try {
    const all = await Promise.all(models.map(async (model) => {
      const r = await call("/v1/completions", {model, prompt, max_tokens: 1, temperature: 0, logprobs: 10});
      return tokensOf((await r.json()).choices[0])[0].top.slice(0, 10);
    }));
    const most = Math.max(...all.map(largest));
    $("bars").replaceChildren(...all.map((list, i) => make("section", {},
      make("h3", {textContent: models[i]}),
      bars(list, most, null, (text) => { $("before").value += text; showNext(); $("before").focus(); }))));
  } catch (e) {
    $("bars").replaceChildren(make("p", {className: "trouble", textContent: e.message}));
  }
}

/* ---- a token's alternatives ---- */

let pointed = null; // the span whose alternatives show

function hideAlternatives() {
  if (pointed) { pointed.classList.remove("at"); pointed.removeAttribute("aria-describedby"); }
  pointed = null;
  $("alternatives").hidden = true;
}

function showAlternatives(span, second) {
  const box = $("alternatives"), at = span.getBoundingClientRect();
  hideAlternatives();
  box.replaceChildren(...span.tokens.map((t) => {
    const list = t.top.some((o) => o.text === t.text) ? t.top : [...t.top, t];
    return bars(list, largest(list), t.text);
  }));
  box.className = second ? "second" : "";
  box.hidden = false;
  const below = at.bottom + 6 + box.offsetHeight <= innerHeight;
  box.style.left = Math.max(8, Math.min(at.left, innerWidth - box.offsetWidth - 8)) + "px";
  box.style.top = (below ? at.bottom + 6 : Math.max(8, at.top - 6 - box.offsetHeight)) + "px";
  span.classList.add("at");
  span.setAttribute("aria-describedby", "alternatives");
  pointed = span;
}

/* One stop of the Tab key an answer; arrows go from token to token. */
function walk(event) {
  const spans = [...event.currentTarget.children], i = spans.indexOf(event.target);
  const to = {ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: spans.length - 1}[event.key];
  if (i < 0 || !spans[to]) { return; }
  event.preventDefault();
  spans[i].tabIndex = -1;
  spans[to].tabIndex = 0;
  spans[to].focus();
}

/* ---- answers ---- */

const isLow = () => $("turns").scrollHeight - $("turns").scrollTop - $("turns").clientHeight < 60;

/* Where one model answers; add(text, tokens) while it does. */
function makeLane(model, second) {
  const text = make("div", {className: "text", role: "group", ariaLabel: "Answer of " + model + "; arrow keys go through its tokens"});
  const about = make("p", {className: "about"});
  const lane = make("div", {className: "lane running"}, make("h3", {textContent: model}), text, about);
  text.addEventListener("keydown", walk);
  text.addEventListener("focusin", (e) => { if (e.target.tokens) { showAlternatives(e.target, second); } });
  text.addEventListener("focusout", hideAlternatives);
  text.addEventListener("mouseover", (e) => { if (e.target.tokens) { showAlternatives(e.target, second); } });
  text.addEventListener("mouseleave", hideAlternatives);
  let held = []; // tokens whose characters aren't whole yet
  let said = "";
  const put = (piece, tokens) => {
    const code = (said.match(/^```/gm) || []).length % 2 === 1; // between fences; other Markdown stays as it was written
    said += piece;
    const shown = text.firstChild ? piece : piece.replace(/^ (?=.)/, ""); // a text that goes on begins with a space
    const span = make("span", {textContent: shown, className: code ? "code" : ""});
    if (tokens.length) {
      span.tokens = tokens;
      span.tabIndex = text.querySelector("[tabindex='0']") ? -1 : 0;
    }
    text.append(span);
  };
  const add = (piece, tokens) => {
    const low = isLow();
    tokens = held.concat(tokens);
    held = piece ? [] : tokens;
    if (!piece) { return; }
    if (tokens.map((t) => t.text).join("") === piece) {
      for (const t of tokens) { put(t.text, [t]); }
    } else {
      put(piece, tokens);
    }
    if (low) { $("turns").scrollTop = $("turns").scrollHeight; }
  };
  return {model, lane, text, about, add};
}

/* Ask, and show the answer as it comes; its text, or null where there is none. */
async function answer({lane, text, about, add}, request, signal) {
  let first = 0, tokens = 0, finish = "", trouble = null; // first: when its first token came
  try {
    const r = await call(request.messages ? "/v1/chat/completions" : "/v1/completions", request, signal);
    for await (const event of events(r)) {
      if (event.usage) { tokens = event.usage.completion_tokens; }
      for (const choice of event.choices) {
        first ||= performance.now();
        add(choice.text ?? choice.delta.content ?? "", tokensOf(choice));
        finish = choice.finish_reason || finish;
      }
    }
  } catch (e) {
    if (!signal.aborted) { trouble = e.message; }
  }
  const low = isLow(), said = text.textContent, facts = [];
  lane.classList.remove("running");
  if (signal.aborted) { facts.push("stopped"); } else if (!said && !trouble) { facts.push("ended without a word"); }
  if (tokens) { facts.push(tokens + (tokens === 1 ? " token" : " tokens")); }
  if (tokens > 1) { facts.push((1000 * (tokens - 1) / (performance.now() - first)).toFixed(1) + " a second"); }
  if (finish === "length") { facts.push("cut at the length"); }
  about.textContent = facts.join(" · ");
  text.hidden = !said;
  if (trouble) { lane.append(make("p", {className: "trouble", textContent: trouble})); }
  if (low) { $("turns").scrollTop = $("turns").scrollHeight; }
  $("said").append(make("span", {textContent: lane.firstChild.textContent + ": " + (said || trouble || "nothing") + ". "}));
  return trouble ? null : said;
}

/* ---- asking ---- */

const chosenModels = () => [...new Set([$("model").value, $("beside").value])].filter(Boolean);

/* The template that an adapter of these was trained with: texts and columns, as recipes write them: {text}, {?text} what
 * is there where text is not empty {/text}, {{ and }}. `may`: the columns that may be empty; `chats`: a user says it. */
function templateOf(models) {
  const of = adapters.find((a) => models.includes(a.id) && a.template?.prompt)?.template;
  if (!of) { return null; }
  const parts = [], names = (list) => [...new Set(list.map((p) => p.column).filter((c) => c !== undefined))];
  let where = "";
  for (const [all, column] of of.prompt.matchAll(/\{\{|\}\}|\{([^{}]*)\}|[^{}]+/g)) {
    if (column?.startsWith("?")) { where = column.slice(1);
    } else if (column?.startsWith("/")) { where = "";
    } else { parts.push(column !== undefined ? {where, column} : {where, text: all === "{{" || all === "}}" ? all[0] : all}); }
  }
  const must = names(parts.filter((p) => p.where !== p.column));
  const columns = names(parts);
  return {prompt: of.prompt, parts, columns, may: columns.filter((c) => !must.includes(c)), chats: Boolean(of.chat_template)};
}

const labelsOf = (model) => adapters.find((a) => a.id === model)?.template?.labels?.length > 1;

function messagesFor(asked, lane) {
  const messages = $("system").value ? [{role: "system", content: $("system").value}] : [];
  for (const t of turns) {
    const said = t.answers[lane] ?? t.answers[0];
    if (t.as !== CHAT || !said) { continue; }
    messages.push({role: "user", content: t.asked}, {role: "assistant", content: said});
  }
  return messages.concat({role: "user", content: asked});
}

function requestFor(model, lane, as, asked, seed) {
  const request = {model, seed, stream: true, stream_options: {include_usage: true},
    temperature: Number($("temperature").value), max_tokens: Number($("length").value)};
  const messages = as === CHAT ? messagesFor(asked, lane)
    : as === TEMPLATE && templateOf(chosenModels()).chats ? [{role: "user", content: asked}] : null;
  return messages ? {...request, messages, logprobs: true, top_logprobs: 5} : {...request, prompt: asked, logprobs: 5};
}

/* How likely each of the labels is that the model was trained to choose from. */
async function showLabels({lane}, model, input, signal) {
  const place = make("div", {className: "labels"});
  lane.append(place);
  try {
    const {data: [{probs}], labels} = await (await call("/classify", {model, input}, signal)).json();
    const list = labels.map((text, i) => ({text, logprob: Math.log(probs[i])})).sort((a, b) => b.logprob - a.logprob);
    place.append(bars(list.slice(0, 10), largest(list), list[0].text, null, (text) => text));
  } catch (e) {
    if (!signal.aborted) { place.append(make("p", {className: "trouble", textContent: e.message})); }
  }
}

const readFields = () => Object.fromEntries([...$("fields").querySelectorAll("textarea")].map((t) => [t.name, t.value]));

/* What the fields hold as a prompt. */
function readPrompt(models, values) {
  if ($("as").value !== TEMPLATE) { return values.message; }
  const there = templateOf(models).parts.filter((p) => !p.where || values[p.where].trim());
  return there.map((p) => p.column === undefined ? p.text : values[p.column]).join("");
}

async function send() {
  const models = chosenModels(), as = $("as").value;
  const may = as === TEMPLATE ? templateOf(models).may : [];
  const empty = [...$("fields").querySelectorAll("textarea")].find((t) => !t.value && !may.includes(t.name));
  if (empty || !$("length").reportValidity()) { empty?.focus(); return; }
  const values = readFields(), asked = readPrompt(models, values), seed = crypto.getRandomValues(new Uint32Array(1))[0];
  const lanes = models.map((m, i) => makeLane(m, i > 0));
  running = new AbortController();
  const {signal} = running;
  $("nothing").hidden = true;
  $("clear").hidden = false;
  $("said").replaceChildren();
  $("turns").append(make("article", {className: "turn"}, make("p", {className: "asked", textContent: asked}),
    make("div", {className: "lanes" + (models.length > 1 ? " two" : "")}, ...lanes.map((l) => l.lane))));
  $("turns").scrollTop = $("turns").scrollHeight;
  for (const t of $("fields").querySelectorAll("textarea")) { t.value = ""; }
  $("send").textContent = "Stop";
  $("send").classList.add("stop");
  const turn = {as, asked};
  const labels = lanes.filter((l, i) => as === TEMPLATE && labelsOf(models[i])).map((l) => showLabels(l, l.model, values, signal));
  turn.answers = await Promise.all(lanes.map((l, i) => answer(l, requestFor(models[i], i, as, asked, seed), signal)));
  await Promise.all(labels);
  if (running?.signal !== signal) { return; } // cleared
  turns.push(turn);
  idle();
}

function idle() {
  running = null;
  $("send").textContent = "Send";
  $("send").classList.remove("stop");
}

function clear() {
  running?.abort();
  idle();
  turns = [];
  hideAlternatives();
  for (const t of document.querySelectorAll(".turn")) { t.remove(); }
  $("nothing").hidden = false;
  $("clear").hidden = true;
  $("fields").querySelector("textarea").focus();
}

/* ---- what can be chosen ---- */

/* A select's options as [value, text, group or none]; what was chosen stays so where it is still there. */
function fill(select, options) {
  const was = select.value;
  select.replaceChildren();
  for (const [value, textContent, group] of options) {
    const option = make("option", {value, textContent}), last = select.lastElementChild;
    if (!group) {
      select.append(option);
    } else if (last?.label === group) {
      last.append(option);
    } else {
      select.append(make("optgroup", {label: group}, option));
    }
  }
  if (options.some(([value]) => value === was)) { select.value = was; }
}

/* The prompt's fields follow the models and how it is made. */
function arrange() {
  const models = chosenModels(), template = templateOf(models), before = $("as").value;
  const ways = [[PLAIN, "as it stands"]];
  if (template?.columns.length) { ways.unshift([TEMPLATE, "the recipe's template"]); }
  if (models.every((m) => talkers.has(m))) { ways.unshift([CHAT, "a chat"]); }
  fill($("as"), ways);
  if (arrange.template !== template?.prompt && template?.columns.length) { $("as").value = TEMPLATE; } // what it was trained on
  arrange.template = template?.prompt;
  const as = $("as").value, names = as === TEMPLATE ? template.columns : ["message"];
  $("systems").hidden = as !== CHAT;
  $("template").hidden = as !== TEMPLATE;
  $("template").textContent = as === TEMPLATE ? template.prompt : "";
  const fields = [...$("fields").querySelectorAll("textarea")];
  if (as === before && fields.map((t) => t.name).join("\n") === names.join("\n")) { return; }
  $("fields").className = as === TEMPLATE ? "" : "plain";
  $("fields").replaceChildren(...names.flatMap((name, i) => {
    const id = "field" + i, label = as === TEMPLATE ? name : "Message";
    return [make("label", {htmlFor: id, textContent: label}),
      make("textarea", {id, name, rows: 1, value: fields[i]?.value ?? "", placeholder: as === CHAT ? "Message" : as === PLAIN ? "A text to go on with" : ""})];
  }));
}

async function refresh() {
  const [models, loaded] = await Promise.all(
    ["/v1/models", "/v1/lora_adapters"].map(async (path) => (await call(path)).json()));
  base = models.data.find((m) => m.parent === null).id;
  adapters = loaded.data;
  talkers = new Set(models.data.filter((m) => m.chat_template).map((m) => m.id));
  $("base").textContent = base;
  const all = models.data.map((m) => [m.id, m.id, m.id === base ? "Base" : "Adapters"]);
  fill($("model"), all);
  fill($("beside"), [["", "nobody"], ...all]);
  $("adapters").replaceChildren(...adapters.map((a) => {
    const facts = a.method + (a.rank ? ", rank " + a.rank : "") + ", " + (a.bytes / 1e6).toFixed(1) + " MB";
    const row = make("li", {}, make("span", {textContent: a.id}, make("small", {textContent: facts})));
    if (loaded.can_load) {
      const button = make("button", {type: "button", textContent: "Unload", ariaLabel: "Unload " + a.id});
      button.addEventListener("click", () => change("/v1/unload_lora_adapter", {lora_name: a.id}));
      row.append(button);
    }
    return row;
  }));
  if (!adapters.length) { $("adapters").append(make("li", {className: "hint", textContent: "None."})); }
  $("load").hidden = !loaded.can_load;
  $("fixed").hidden = loaded.can_load;
  $("keys").hidden = true;
  $("compose").hidden = false;
  arrange();
}

/* Load or unload; whether it went well. */
async function change(path, body) {
  $("trouble").textContent = "";
  try {
    await call(path, body);
    await refresh();
    return true;
  } catch (e) {
    $("trouble").textContent = e.message;
    return false;
  }
}

/* ---- the reader ---- */

const on = (id, event, run) => $(id).addEventListener(event, (e) => { if (event === "submit") { e.preventDefault(); } run(e); });

on("compose", "submit", () => running ? running.abort() : send());
on("fields", "keydown", (e) => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) { return; }
  e.preventDefault();
  if (!running) { send(); }
});
on("next", "submit", showNext);
on("before", "keydown", (e) => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) { return; }
  e.preventDefault();
  showNext();
});
on("load", "submit", async () => {
  if (await change("/v1/load_lora_adapter", {lora_name: $("name").value, lora_path: $("path").value})) { $("load").reset(); }
});
on("keys", "submit", async () => {
  sessionStorage.setItem("key", $("key").value);
  $("keys").reset();
  start();
});
on("clear", "click", clear);
on("temperature", "input", () => { $("degrees").textContent = Number($("temperature").value).toFixed(2).replace(/0$/, ""); });
for (const id of ["model", "beside", "as"]) { on(id, "change", arrange); }
on("turns", "scroll", hideAlternatives);
const open = (yes) => { // on a narrow page the settings lie over the conversation
  $("side").classList.toggle("open", yes);
  document.querySelector("main").inert = yes;
  $("more").ariaExpanded = String(yes);
  $("more").textContent = yes ? "Done" : "Settings";
};
on("more", "click", () => open($("more").ariaExpanded !== "true"));
matchMedia("(max-width: 50rem)").addEventListener("change", () => open(false));
addEventListener("keydown", (e) => {
  if (e.key !== "Escape") { return; }
  if (pointed) { hideAlternatives(); } else if ($("more").ariaExpanded === "true") { open(false); } else { running?.abort(); }
});

async function start() {
  try {
    await refresh();
    $("nothing").textContent = "Nothing said yet.";
    $("nothing").className = "hint";
    $("fields").querySelector("textarea").focus();
  } catch (e) {
    const asks = !$("keys").hidden && !sessionStorage.getItem("key"); // no trouble: none was given yet
    $("nothing").textContent = asks ? "" : e.message;
    $("nothing").className = "trouble";
    if (!$("keys").hidden) { $("key").focus(); }
  }
}
start();
