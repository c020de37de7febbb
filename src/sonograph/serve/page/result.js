// A job and what came out of it: progress, then pictures, bars, tables, and the way to do it again.

import { clamp, fill, make, say, unique } from "./element.js";
import { licence } from "./fields.js";
import { address, ended } from "./service.js";
import { Sheet, player } from "./sheet.js";
import { capital, clock, count, figure, lasting, many, percent, size } from "./words.js";

const TONES = 7;

/** One job on the page. house: {action(name), sounds, model(name), use(sound), cancel, forget, tagWith}. */
export class Card {
  constructor(house, job, open) {
    Object.assign(this, { house, job, open, sheets: [] });
    const id = unique("job");
    this.heading = make("h3", { id }, house.action(job.action)?.title ?? job.action);
    this.line = make("span", { class: "soft" });
    this.fold = make("button", { type: "button", class: "quiet", onclick: () => this.show(!this.open) });
    this.drop = make("button", { type: "button", class: "quiet" });
    this.body = make("div", { class: "body" });
    this.root = make("article", { class: "job", "aria-labelledby": id },
      make("header", {}, this.heading, make("div", { class: "tools" }, this.fold, this.drop), this.line), this.body);
    this.update(job);
  }

  get title() {
    return this.heading.textContent;
  }

  update(job) {
    const before = this.job.state;
    const news = job.state !== this.shownState;
    this.job = job;
    this.line.textContent = this.facts();
    this.fold.hidden = !ended(job);
    this.fold.textContent = this.open ? "Hide" : "Show";
    this.fold.setAttribute("aria-expanded", String(this.open));
    this.fold.setAttribute("aria-label", `${this.open ? "Hide" : "Show"} ${this.title}`);
    this.drop.textContent = ended(job) ? "Remove" : "Cancel";
    this.drop.setAttribute("aria-label", `${this.drop.textContent} ${this.title}`);
    this.drop.onclick = () => (ended(this.job) ? this.house.forget(this.job) : this.house.cancel(this.job));
    this.root.classList.toggle("folded", ended(job) && !this.open);
    this.root.dataset.state = job.state;
    if (!ended(job)) this.progress(news);
    else if (news && this.open) this.render();
    if (news && before !== job.state) this.announce();
    this.shownState = ended(job) && !this.open ? undefined : job.state;
  }

  announce() {
    const words = { running: "has begun", done: "is done", failed: `failed: ${this.job.error}`, cancelled: "was cancelled" };
    if (words[this.job.state]) say(`${this.title} ${words[this.job.state]}`);
  }

  facts() {
    const { job } = this;
    const names = job.sounds.map((id) => this.house.sounds.get(id)?.name).filter(Boolean);
    const what = job.text ? `“${job.text.length > 60 ? `${job.text.slice(0, 57).trim()}…` : job.text.trim()}”`
      : names.length > 2 ? many(job.sounds.length, "sound") : names.join(", ");
    const model = job.result?.model;
    const took = job.ended && job.began ? `took ${lasting(job.ended - job.began)}` : "";
    return [what, model && `${model.name}, ${licence(model.licence)}`, took].filter(Boolean).join(" · ");
  }

  show(open) {
    this.open = open;
    this.shownState = undefined;
    if (!open) this.close();
    this.update(this.job);
  }

  close() {
    for (const sheet of this.sheets) sheet.close();
    this.sheets = [];
    fill(this.body);
  }

  progress(fresh) {
    const { job } = this;
    if (fresh || !this.bar?.isConnected) {
      this.bar = make("progress", { max: 1, "aria-label": `Progress of ${this.title}` });
      this.note = make("span", { class: "note" });
      this.left = make("span");
      fill(this.body, make("div", { class: "running" }, make("div", {}, this.note, this.left), this.bar));
    }
    const { done, total, note, seconds_left } = job.progress;
    if (job.state === "queued") this.bar.value = 0;
    else if (total) this.bar.value = clamp(done / total, 0, 1);
    else this.bar.removeAttribute("value");
    if (job.state === "queued") {
      this.note.textContent = job.place > 1 ? `In the queue, ${many(job.place - 1, "job")} before it` : "Next in the queue";
      this.left.textContent = "";
    } else {
      this.note.textContent = note || "Getting ready";
      this.left.textContent = seconds_left !== null && total ? `${lasting(seconds_left)} left` : "";
    }
  }

  render() {
    const { job } = this;
    this.close();
    if (job.state !== "done") {
      const told = job.state === "cancelled" ? make("p", { class: "soft" }, "Cancelled.")
        : make("p", { class: "wrong" }, sentence(job.error ?? "It failed."));
      fill(this.body, told);
      return;
    }
    const show = SHOWN[job.action] ?? anything;
    fill(this.body, ...show(this, job.result.summary), this.leave(), this.same());
  }

  // --- what results are made of ---

  inputs() {
    return this.job.sounds.map((id) => this.house.sounds.get(id));
  }

  sheet(about) {
    const sheet = new Sheet(about);
    this.sheets.push(sheet);
    return sheet;
  }

  /** Tracks of the sounds that were made; each can be saved, and given to what comes next. */
  parts(group, { quiet = () => false, which = () => true, named = (sound) => capital(sound.part || sound.name) } = {}) {
    return this.job.result.sounds.filter(which).map((sound) => ({
      sound, name: named(sound), group, quiet: quiet(sound),
      tools: [
        make("button", {
          type: "button", class: "quiet", "aria-label": `Go on with ${named(sound)}`, onclick: () => this.house.use(sound),
        }, "Go on"),
        make("a", { class: "quiet", href: address.save(sound), download: "", "aria-label": `Save ${named(sound)}` }, "Save"),
      ],
    }));
  }

  before(group = "Before") {
    const [sound] = this.inputs();
    return sound ? [{ sound, name: sound.name, group }] : [];
  }

  leave() {
    const { sounds, files, summary } = this.job.result;
    const link = (href, words, bytes, name) =>
      make("a", { href, download: name ?? "" }, words, bytes ? make("small", {}, ` ${size(bytes)}`) : null);
    const json = link("#", "result.json");
    json.addEventListener("click", () => {
      const url = URL.createObjectURL(new Blob([JSON.stringify(summary, null, 2)], { type: "application/json" }));
      json.href = url;
      json.download = "result.json";
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    });
    return make("div", { class: "leave" }, make("span", { class: "soft" }, "Download"),
      ...sounds.map((one) => link(address.save(one), one.name || one.part, one.bytes)),
      ...files.map((one) => link(one.url, one.name, one.bytes, one.name)), json);
  }

  /** The same in Python and in a shell: two tabs and a button that copies. */
  same() {
    const texts = { Python: this.job.result.python, Command: this.job.result.command };
    const panel = unique("same");
    const pre = make("pre", { id: panel, role: "tabpanel", tabindex: "0" });
    const copy = make("button", { type: "button", class: "quiet copy" }, "Copy");
    const tabs = Object.keys(texts).map((name) => make("button", {
      type: "button", role: "tab", id: `${panel}-${name}`, "aria-controls": panel, onclick: () => choose(name),
    }, name));
    const choose = (name) => {
      pre.textContent = texts[name];
      pre.setAttribute("aria-labelledby", `${panel}-${name}`);
      copy.textContent = "Copy";
      copy.setAttribute("aria-label", `Copy the ${name === "Python" ? "Python" : "command"}`);
      for (const tab of tabs) {
        const on = tab.textContent === name;
        tab.setAttribute("aria-selected", String(on));
        tab.tabIndex = on ? 0 : -1;
      }
    };
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(pre.textContent);
        copy.textContent = "Copied";
        say("Copied");
      } catch {
        getSelection().selectAllChildren(pre);
        copy.textContent = "Selected";
      }
    });
    const row = make("div", { role: "tablist", "aria-label": "The same without this page" }, ...tabs);
    row.addEventListener("keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      const next = tabs[(tabs.indexOf(document.activeElement) + 1) % tabs.length];
      choose(next.textContent);
      next.focus();
      event.preventDefault();
    });
    choose("Python");
    return make("div", { class: "same" }, make("div", {}, row, copy), pre);
  }
}

const sentence = (line) => {
  const told = capital(line);
  return /[.!?]$/.test(told) ? told : `${told}.`;
};

/** Labels with how sure each is; what is not known for sure is paler. */
function bars(tags, tones, most = 8) {
  const rows = Object.entries(tags.scores).sort((a, b) => b[1] - a[1]).slice(0, most)
    .filter(([label, score], place) => place < 3 || score >= 0.01 || tags.known.includes(label));
  return make("ul", { class: "bars" }, ...rows.map(([label, score]) => {
    const fillOf = make("i");
    fillOf.style.width = `${100 * clamp(score, 0, 1)}%`;
    return make("li", { class: `${tags.known.includes(label) ? "" : "guess"} ${tones[label] ?? ""}` },
      make("span", {}, label), make("span", { class: "rail", "aria-hidden": "true" }, fillOf), make("output", {}, percent(score)));
  }));
}

/** Colours for the labels that are drawn under the picture, the surest first. */
function tonesOf(tags) {
  const drawn = [...new Set(tags.spans.map((one) => one.label))];
  const order = drawn.sort((a, b) => (tags.scores[b] ?? 0) - (tags.scores[a] ?? 0));
  return Object.fromEntries(order.slice(0, TONES).map((label, place) => [label, `c${place}`]));
}

const unsure = (tags) => (tags.known.length ? null
  : make("p", {}, "Nothing that it knows for sure. What comes nearest:"));

function tag(card, { tags }) {
  const sounds = card.inputs();
  return tags.flatMap((one, place) => {
    const tones = tonesOf(one);
    const sound = sounds[place];
    return [
      tags.length > 1 ? make("h4", {}, one.name) : null,
      sound && card.sheet({ title: one.name, tracks: [{ sound, name: one.name }], spans: one.spans, tones }).root,
      unsure(one), bars(one, tones),
    ].filter(Boolean);
  });
}

function search(card, { query, matches }) {
  const sounds = card.inputs();
  const top = Math.max(1e-6, ...matches.map((one) => one.score));
  return [
    make("p", { class: "soft" }, "Most like ", make("b", {}, query), ", the nearest first. 1 is the same sound."),
    make("ul", { class: "bars matches" }, ...matches.map((one) => {
      const length = make("i");
      length.style.width = `${100 * clamp(one.score / Math.max(1, top), 0, 1)}%`;
      const sound = sounds[one.sound];
      return make("li", {}, sound ? player(sound) : make("span"), make("span", {}, one.name),
        make("span", { class: "rail", "aria-hidden": "true" }, length), make("output", {}, one.score.toFixed(2).replace("-", "−")));
    })),
  ];
}

/** Before, and all parts of it after. */
function apart(card, quiet) {
  const parts = card.parts("After", { quiet });
  return [card.sheet({ title: "the parts", tracks: [...card.before(), ...parts] }).root];
}

const enhance = (card) => apart(card, (sound) => sound.part !== "speech");
const separate = (card) => apart(card);

function notesTable(notes) {
  const rows = () => notes.map((note) => make("tr", {},
    make("th", { scope: "row" }, note.key), make("td", { class: "n" }, clock(note.onset_s)),
    make("td", { class: "n" }, lasting(note.offset_s - note.onset_s)),
    make("td", { class: "n" }, `${Math.round(440 * 2 ** ((note.pitch - 69) / 12))} Hz`)));
  const body = make("tbody");
  const details = make("details", { ontoggle: () => fill(body, ...rows()) },
    make("summary", {}, many(notes.length, "note")),
    make("div", { class: "scroll" }, make("table", { class: "rows" },
      make("thead", {}, make("tr", {}, ...["Note", "Begins", "Lasts", "Pitch"].map((word, place) =>
        make("th", { scope: "col", class: place ? "n" : "" }, word)))), body)));
  return details;
}

function melody(card, { notes }, title) {
  const [sound] = card.inputs();
  if (!notes.length) return [make("p", {}, "No melody was heard in it.")];
  return [
    sound && card.sheet({ title: title ?? sound.name, tracks: [{ sound, name: sound.name }], notes }).root,
    notesTable(notes),
  ].filter(Boolean);
}

function compare(card, { action, outcomes }) {
  const [sound] = card.inputs();
  if (card.job.result.sounds.length) {
    const tracks = outcomes.flatMap(({ model }) => card.parts(model, {
      which: (one) => one.part.startsWith(`${model}: `),
      named: (one) => one.part,
      quiet: (one) => action === "enhance" && !one.part.endsWith(": speech"),
    }));
    return [card.sheet({ title: "both models", tracks: [...card.before(), ...tracks] }).root];
  }
  if (action === "transcribe-notes") {
    return outcomes.flatMap(({ model, summary }) => [make("h4", {}, model), ...melody(card, summary, model)]);
  }
  const sides = outcomes.map(({ model, summary }) => make("div", {}, make("h4", {}, model),
    ...(summary.tags ?? []).flatMap((one) => [unsure(one), bars(one, tonesOf(one))].filter(Boolean))));
  return [
    sound && card.sheet({ title: sound.name, tracks: [{ sound, name: sound.name }] }).root,
    make("div", { class: "abreast" }, ...sides),
  ].filter(Boolean);
}

/** The words that are heard now are marked; a click goes to a word. */
function speak(card, { sentences }) {
  const words = [];
  let sheet = null;
  const text = make("p", { class: "said" }, ...sentences.flatMap((one) => {
    const pieces = [];
    let at = 0;
    for (const word of one.words ?? []) {
      if (word.end <= at && words.length) { // a sign that is said as several words: one of the text
        words.at(-1)[0].end_s = word.end_s;
        continue;
      }
      if (word.start > at) pieces.push(one.text.slice(at, word.start));
      const span = make("span", { onclick: () => sheet.seek(word.start_s) }, one.text.slice(Math.max(at, word.start), word.end));
      words.push([{ ...word }, span]);
      pieces.push(span);
      at = word.end;
    }
    return [...pieces, one.text.slice(at), " "];
  }));
  const tracks = card.parts("");
  sheet = tracks.length && card.sheet({
    title: "the speech", tracks,
    moved: (at, playing) => {
      for (const [word, span] of words) span.classList.toggle("now", playing && at >= word.start_s && at < word.end_s);
    },
  });
  return [text, sheet && sheet.root].filter(Boolean);
}

function adapt(card, told) {
  const tested = told.accuracy !== null && told.accuracy !== undefined;
  const [low, high] = told.accuracy_interval ?? [];
  return [
    make("div", { class: "figure" },
      tested ? make("span", { class: "large" }, percent(told.accuracy)) : null,
      make("p", {}, tested
        ? `right on ${many(told.test_clips, "sound")} that it had not heard`
        : "Not measured: one sound in ten is held back for that, and of so few none was.",
      tested ? make("small", {}, `95 % interval ${percent(low)} to ${percent(high)}; guessing would be right on about ${percent(1 / told.classes.length)}`) : null,
      tested && told.unmeasured?.length
        ? make("small", {}, `None was held back of ${told.unmeasured.join(", ")}`) : null,
      make("small", {}, `${many(told.train_clips, "sound")} taught it ${told.classes.join(", ")}; ` +
        `${count(told.trained_parameters)} of ${count(told.total_parameters)} weights learned`))),
    tested && told.confusion ? confusion(told) : null,
    make("div", { class: "go" }, make("button", {
      type: "button", class: "primary", onclick: () => card.house.tagWith(told.model),
    }, `Use ${told.model}`), make("p", { class: "soft" }, "to say what is heard in other sounds")),
  ].filter(Boolean);
}

function confusion({ classes, confusion: counts }) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "What was taken for what" },
    make("table", { class: "confusion" },
      make("caption", {}, "What it was (rows), what it was taken for (columns)"),
      make("thead", {}, make("tr", {}, make("td", { hidden: true }), make("th", {}, ""),
        ...classes.map((one) => make("th", { scope: "col" }, one)))),
      make("tbody", {}, ...counts.map((row, at) => {
        const all = Math.max(1, row.reduce((sum, one) => sum + one, 0));
        return make("tr", {}, make("th", { scope: "row" }, classes[at]), ...row.map((number, to) => {
          const cell = make("td", { class: at === to ? "right" : number ? "astray" : "" }, String(number));
          cell.style.setProperty("--share", String(number / all));
          return cell;
        }));
      }))));
}

/** An action that this page was not made for: its figures and its sounds. */
function anything(card, summary) {
  const plain = Object.entries(summary).filter(([, value]) => typeof value !== "object"
    || (Array.isArray(value) && value.every((one) => typeof one !== "object")));
  return [
    card.job.result.sounds.length
      ? card.sheet({ title: card.title, tracks: [...card.before(), ...card.parts("After")] }).root : null,
    plain.length ? make("table", { class: "rows" }, make("tbody", {}, ...plain.map(([name, value]) => make("tr", {},
      make("th", { scope: "row" }, name.replaceAll("_", " ")),
      make("td", {}, [value].flat().map((one) => (typeof one === "number" ? figure(one) : String(one))).join(", ")))))) : null,
  ].filter(Boolean);
}

const SHOWN = { tag, search, enhance, separate, compare, speak, adapt, "transcribe-notes": (card, told) => melody(card, told) };

