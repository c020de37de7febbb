// The page: what was given, what is looked at, what is done with it, and what came out.

import { colour, fill, make, say, sharp } from "./element.js";
import { dropped, labelled, ofFolderInput } from "./gather.js";
import { Recording } from "./record.js";
import { Card } from "./result.js";
import { Following, Refused, address, ask, session, uploadAll, wire } from "./service.js";
import { Sheet, thumbnail } from "./sheet.js";
import { Task } from "./task.js";
import { about, clock, many } from "./words.js";

const $ = (id) => document.getElementById(id);

/** What is remembered in this browser; without storage, for as long as the page is open. */
const memory = {
  read(name, otherwise) {
    try { return JSON.parse(localStorage.getItem(name)) ?? otherwise; } catch { return otherwise; }
  },
  keep(name, value) {
    try { localStorage.setItem(name, JSON.stringify(value)); } catch { /* storage is off or full */ }
  },
};

const cards = new Map();
let sheet = null;

const house = {
  actions: [],
  models: new Map(),
  sounds: new Map(), // all of the service's: given ones and made ones
  listed: new Set(), // those in the list: given ones, and made ones that are gone on with
  chosen: new Set(),
  shown: "",
  action: (name) => house.actions.find((one) => one.name === name),
  labelled: () => [...house.sounds.values()].filter((one) => one.label && !one.from),
  giveFolder: () => folderInput.click(),
  use,
  cancel,
  forget,
  start,
  tagWith(model) {
    const doing = house.models.get(model)?.actions ?? ["tag"];
    task.choose(doing.includes("tag") ? "tag" : doing[0], { model });
    $("task").scrollIntoView({ block: "start" });
    $("task").focus({ preventScroll: true });
    say(`${model} is chosen`);
  },
};

const task = new Task(house, $("form"));
const following = new Following((job) => changed(job));

const folderInput = make("input", {
  type: "file", class: "unseen", id: "folder", webkitdirectory: true, multiple: true, tabindex: "-1",
  "aria-label": "A folder that holds a folder of sounds for each label",
  onchange: () => { giveLabelled(ofFolderInput(folderInput)); folderInput.value = ""; },
});
document.body.append(folderInput);

// --- sounds ---

function add(sound) {
  house.sounds.set(sound.id, sound);
  for (const made of sound.result?.sounds ?? []) house.sounds.set(made.id, made);
}

/** Where the keyboard goes on when what had the focus is gone; elsewhere it stays. */
function focusOn(control) {
  if (document.activeElement === document.body) control?.focus();
}

/** What is said under the buttons that give sounds. */
function problem(line) {
  $("give-error").textContent = line;
  $("give-error").hidden = !line;
}

/** files: [{file, label}]. What was given last is looked at. */
async function give(files) {
  if (!files.length) return;
  problem("");
  const bar = make("progress", { max: 1, value: 0, "aria-label": "Upload" });
  const words = make("span", {}, files[0].file.name);
  const ending = new AbortController();
  const row = make("li", {}, words, make("button", {
    type: "button", class: "quiet", "aria-label": "Cancel the upload",
    onclick: () => ending.abort(),
  }, "Cancel"), bar);
  $("uploads").append(row);
  const came = [];
  const failed = await uploadAll(files, ({ done, count, share, name }) => {
    bar.value = share;
    const which = count > 1 ? `${Math.min(done + 1, count)} of ${count} · ${name}` : name;
    words.textContent = share >= 1 && done < count ? `Looking at ${name}` : which;
  }, (sound, place) => {
    came[place] = sound;
    add(sound);
    if (!sound.label) house.listed.add(sound.id);
    list();
  }, ending.signal);
  row.remove();
  if (ending.signal.aborted) {
    focusOn($("choose"));
    say("The upload was cancelled");
  }
  for (const { name, line } of failed.slice(0, 5)) {
    const told = make("li", { class: "wrong", role: "alert" },
      make("span", {}, line.includes(name) ? line : `${name}: ${line}`),
      make("button", { type: "button", class: "quiet", "aria-label": `Dismiss what is said about ${name}`, onclick: () => { told.remove(); focusOn($("uploads").querySelector("button") ?? $("choose")); } }, "Dismiss"));
    $("uploads").append(told);
  }
  if (failed.length > 5) problem(`${many(failed.length - 5, "more file")} could not be used.`);
  const plain = came.filter((one) => one && !one.label);
  if (plain.length) {
    house.chosen = new Set(plain.map((one) => one.id));
    show(plain[0].id);
  }
  const added = came.filter(Boolean).length;
  if (added) say(`${many(added, "sound")} added`);
  task.tend();
}

function giveLabelled(files) {
  const { found, loose } = labelled(files);
  if (!found.length) {
    problem(loose
      ? "The sounds of this folder lie in no folder of their own: put those of each label into a folder that is called like it."
      : "There is no sound in this folder.");
    task.fail($("give-error").textContent);
    return;
  }
  if (house.action("adapt")) task.choose("adapt");
  give(found);
}

function list() {
  const rows = [...house.listed].map((id) => house.sounds.get(id)).filter(Boolean).map(row);
  const taught = house.labelled();
  if (taught.length) {
    const labels = new Set(taught.map((one) => one.label));
    rows.push(make("li", { class: "one folder" }, make("span"),
      make("div", { class: "open" }, make("b", {}, "Labelled sounds"),
        make("span", {}, `${many(taught.length, "sound")} of ${many(labels.size, "label")}`)),
      make("button", {
        type: "button", class: "quiet", "aria-label": "Remove the labelled sounds",
        onclick: () => remove(...taught),
      }, "Remove")));
  }
  const focused = document.activeElement?.closest?.("#list li")?.dataset.id;
  const control = document.activeElement?.dataset?.control;
  fill($("list"), ...rows);
  const open = $("list").querySelector(".shown");
  if (open && house.scrolledTo !== house.shown) { // the list alone, not the page
    $("list").scrollTop = open.offsetTop - ($("list").clientHeight - open.offsetHeight) / 2;
    house.scrolledTo = house.shown;
  }
  if (focused) $("list").querySelector(`[data-id="${CSS.escape(focused)}"] [data-control="${control}"]`)?.focus();
  document.body.classList.toggle("empty", rows.length === 0);
  $("sounds-title").textContent = rows.length ? "Sounds" : "Drop a sound";
  $("choose").className = rows.length ? "plain" : "primary";
  $("choose").textContent = rows.length ? "Add files" : "Choose files";
  $("look").hidden = !house.sounds.has(house.shown) || !rows.length;
  if (!rows.length) drawInk();
  task.tend();
}

const thumbnails = new Map();

function row(sound) {
  if (!thumbnails.has(sound.id)) {
    const canvas = make("canvas", { "aria-hidden": "true" });
    thumbnails.set(sound.id, canvas);
    thumbnail(canvas, sound).catch(() => {});
  }
  const tick = make("input", {
    type: "checkbox", "data-control": "tick", checked: house.chosen.has(sound.id), "aria-label": `Use ${sound.name}`,
    onchange: () => {
      if (tick.checked) house.chosen.add(sound.id);
      else house.chosen.delete(sound.id);
      task.tend();
    },
  });
  return make("li", { class: `one${sound.id === house.shown ? " shown" : ""}`, "data-id": sound.id }, tick,
    make("button", {
      type: "button", class: "open", "data-control": "open", "aria-current": sound.id === house.shown ? "true" : null,
      onclick: () => { house.chosen = new Set([sound.id]); show(sound.id); },
    }, make("b", { title: sound.name }, nameOf(sound)), make("span", {}, about(sound))),
    make("button", {
      type: "button", class: "quiet", "data-control": "remove", "aria-label": `Remove ${sound.name}`, onclick: () => remove(sound),
    }, "Remove"),
    thumbnails.get(sound.id));
}

const nameOf = (sound) => (sound.from && sound.part && !sound.name.includes(sound.part) ? `${sound.part} · ${sound.name}` : sound.name);

function show(id) {
  const sound = house.sounds.get(id);
  house.shown = id;
  sheet?.close();
  sheet = null;
  if (sound) {
    sheet = new Sheet({ title: sound.name, tracks: [{ sound, name: sound.name }] });
    fill($("look"),
      make("div", { class: "sheet-head" }, make("h2", {}, nameOf(sound)), make("span", { class: "soft" }, about(sound)),
        make("a", { class: "quiet", href: address.save(sound), download: "", "aria-label": `Save ${sound.name}` }, "Save")),
      sheet.root);
    $("look").setAttribute("aria-label", sound.name);
  }
  list();
}

async function remove(...sounds) {
  try {
    for (const sound of sounds) {
      // A made sound belongs to its result: it only leaves the list.
      if (!sound.from) await ask(`/sounds/${sound.id}`, { method: "DELETE" }).catch(ignoring(404));
      if (!sound.from) house.sounds.delete(sound.id);
      house.listed.delete(sound.id);
      house.chosen.delete(sound.id);
      thumbnails.delete(sound.id);
    }
  } catch (wrong) {
    if (wrong.status !== 0) problem(wrong.message); // a lost service is told at the top
  }
  memory.keep("used", [...house.listed]);
  if (!house.listed.has(house.shown)) {
    const next = [...house.listed].at(-1) ?? "";
    if (next && !house.chosen.size) house.chosen.add(next);
    show(next);
  } else list();
  focusOn($("list").querySelector(".shown [data-control=remove]") ?? $("list").querySelector("button") ?? $("choose"));
}

const ignoring = (status) => (wrong) => {
  if (!(wrong instanceof Refused) || wrong.status !== status) throw wrong;
};

/** Go on with a sound that was made. */
function use(sound) {
  house.listed.add(sound.id);
  memory.keep("used", [...house.listed]);
  house.chosen = new Set([sound.id]);
  show(sound.id);
  $("look").scrollIntoView({ block: "start" });
  say(`${sound.name} is in the list`);
}

// --- jobs ---

async function start(action, sounds, text, settings) {
  const job = await ask("/jobs", {
    method: "POST",
    json: { action: action.name, sounds: sounds.map((one) => one.id), ...(text ? { text } : {}), settings },
  });
  changed(job);
  following.add(job);
  cards.get(job.id)?.root.scrollIntoView({ block: "nearest" });
}

function changed(job) {
  for (const made of job.result?.sounds ?? []) house.sounds.set(made.id, made);
  const card = cards.get(job.id);
  const before = card?.job.state;
  if (card) card.update(job);
  else place(job, true);
  if (job.state === "done" && before && before !== "done" && job.result.summary.model) renewModels();
}

function place(job, open) {
  const card = new Card(house, job, open);
  cards.set(job.id, card);
  $("jobs").prepend(card.root);
  $("results").hidden = false;
}

async function cancel(job) {
  try {
    await ask(`/jobs/${job.id}`, { method: "DELETE" }).catch(ignoring(404));
    following.told(await ask(`/jobs/${job.id}`));
  } catch (wrong) {
    if (wrong.status === 404) following.told({ ...job, state: "cancelled" });
    else say(wrong.message);
  }
}

async function forget(job) {
  try {
    await ask(`/jobs/${job.id}`, { method: "DELETE" }).catch(ignoring(404));
  } catch (wrong) {
    say(wrong.message);
    return;
  }
  for (const made of job.result?.sounds ?? []) {
    house.sounds.delete(made.id);
    if (house.listed.has(made.id)) await remove(made);
  }
  const card = cards.get(job.id);
  card?.close();
  card?.root.remove();
  cards.delete(job.id);
  $("results").hidden = cards.size === 0;
  focusOn($("jobs").querySelector("header button:not([hidden])") ?? $("task"));
}

async function renewModels() {
  const [actions, models] = await Promise.all([ask("/actions"), ask("/models")]);
  house.actions = actions;
  house.models = new Map(models.map((one) => [one.name, one]));
  task.renew();
}

// --- giving: choose, drop, paste, record ---

$("choose").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", () => {
  give([...$("files").files].map((file) => ({ file })));
  $("files").value = "";
});

let within = 0;
const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragenter", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  within++;
  $("drop").hidden = false;
});
addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
addEventListener("dragleave", () => {
  within = Math.max(0, within - 1);
  if (!within) $("drop").hidden = true;
});
addEventListener("drop", async (event) => {
  within = 0;
  $("drop").hidden = true;
  if (!carriesFiles(event)) return;
  event.preventDefault();
  const { files, folder } = await dropped(event.dataTransfer);
  if (folder) giveLabelled(files);
  else give(files);
});
addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length) give(files.map((file) => ({ file })));
});

let recording = null;

function recorderShown(on) {
  $("recorder").hidden = !on;
  $("record").hidden = on;
  (on ? $("stop") : $("record")).focus();
}

$("record").addEventListener("click", async () => {
  if ($("record").ariaBusy === "true") return; // the browser still asks whether it may
  problem("");
  $("record").ariaBusy = "true";
  try {
    $("recorded").textContent = "0:00";
    recording = await Recording.begin($("level"), (seconds) => { $("recorded").textContent = clock(seconds, false); });
    recorderShown(true);
    say("Recording");
  } catch (wrong) {
    problem(wrong.message);
  }
  $("record").ariaBusy = null;
});
$("stop").addEventListener("click", () => {
  const file = recording.end();
  recording = null;
  recorderShown(false);
  give([{ file }]);
});
$("discard").addEventListener("click", () => {
  recording.drop();
  recording = null;
  recorderShown(false);
});

// --- the token, the wire, the colours ---

session.open = () => new Promise((opened) => {
  const dialog = $("session");
  $("session-form").onsubmit = async (event) => {
    event.preventDefault();
    try {
      await ask("/session", { method: "POST", json: { token: $("token").value } });
      $("token").value = "";
      $("session-error").hidden = true;
      dialog.close();
      opened();
    } catch (wrong) {
      $("session-error").textContent = wrong.status === 401 ? "That is not the token of this service." : wrong.message;
      $("session-error").hidden = false;
      $("token").select();
    }
  };
  dialog.oncancel = (event) => event.preventDefault(); // nothing works without it
  if (!dialog.open) dialog.showModal();
});

wire.addEventListener("lost", () => {
  $("banner").textContent = "The service does not answer. What runs there goes on; this page tries again.";
  $("banner").hidden = false;
  const again = setInterval(() => ask("/health").catch(() => {}), 2000);
  wire.addEventListener("back", () => {
    clearInterval(again);
    $("banner").hidden = true;
    say("The service answers again");
    begin();
  }, { once: true });
});

function setTheme(value) {
  if (value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
  try {
    if (value === "auto") localStorage.removeItem("theme");
    else localStorage.setItem("theme", value);
  } catch { /* storage is off */ }
  dispatchEvent(new Event("themechange"));
}

for (const input of document.querySelectorAll("#theme input")) {
  input.checked = input.value === (document.documentElement.dataset.theme ?? "auto");
  input.addEventListener("change", () => setTheme(input.value));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));

/** A sound as an early sonograph drew it: the partials of a call, in ink on ruled paper. */
function drawInk() {
  const canvas = $("ink");
  if (!canvas.clientWidth) return;
  const { pen, width, height } = sharp(canvas);
  pen.fillStyle = colour("line");
  for (let n = 0; n <= 6; n++) pen.fillRect(0, Math.round((height - 1) * n / 6), width, 1);
  // Where a call begins, how long it is, how high, how far it bends, how it trembles.
  const calls = [
    [0.04, 0.2, 0.13, 0.07, 0.006], [0.28, 0.1, 0.21, -0.1, 0], [0.4, 0.1, 0.21, -0.1, 0],
    [0.53, 0.24, 0.12, 0.09, 0.008], [0.82, 0.14, 0.2, -0.09, 0.003],
  ];
  for (const [begin, long, low, bend, tremble] of calls) {
    for (let partial = 4; partial >= 1; partial--) {
      const ink = colour(partial === 1 ? "accent" : "ink");
      const steps = Math.round(long * width * 2);
      for (let n = 0; n <= steps; n++) {
        const share = n / steps;
        const swell = Math.sin(Math.PI * Math.min(1, share * 1.04)) ** 0.8;
        const call = low + bend * Math.sin(Math.PI * share * 0.9) + tremble * Math.sin(46 * share);
        const y = height * (1 - call * (0.3 + 0.9 * partial));
        if (y < 2) continue;
        // A broad faint stroke under a fine dark one, as ink that soaks in.
        for (const [broad, strength] of [[4.2, 0.05], [1.7, 0.3]]) {
          pen.globalAlpha = strength * swell / partial ** 0.55;
          pen.fillStyle = ink;
          pen.beginPath();
          pen.arc(width * (begin + long * share), y, 0.3 + broad * swell * (1.15 - 0.16 * partial), 0, 7);
          pen.fill();
        }
      }
    }
  }
  pen.globalAlpha = 1;
}
addEventListener("themechange", drawInk);
new ResizeObserver(drawInk).observe($("ink"));

// --- the beginning, and again when the service is back ---

async function begin() {
  try {
    const [health, , sounds, jobs] = await Promise.all([ask("/health"), renewModels(), ask("/sounds"), ask("/jobs")]);
    $("version").textContent = `Sonograph ${health.version}`;
    const used = new Set(memory.read("used", []));
    const here = new Set(sounds.map((one) => one.id));
    for (const id of [...house.sounds.keys()]) {
      if (!here.has(id)) { house.sounds.delete(id); house.listed.delete(id); house.chosen.delete(id); }
    }
    for (const sound of sounds) {
      house.sounds.set(sound.id, sound);
      if ((!sound.from && !sound.label) || (sound.from && used.has(sound.id))) house.listed.add(sound.id);
    }
    const ids = new Set(jobs.map((one) => one.id));
    for (const [id, card] of cards) {
      if (!ids.has(id)) { card.close(); card.root.remove(); cards.delete(id); }
    }
    const order = [...jobs].sort((a, b) => a.created - b.created);
    for (const job of order) {
      for (const made of job.result?.sounds ?? []) house.sounds.set(made.id, made);
      if (cards.has(job.id)) cards.get(job.id).update(job);
      else place(job, job === order.at(-1) || !["done", "failed", "cancelled"].includes(job.state));
      following.add(job);
    }
    $("results").hidden = cards.size === 0;
    if (!house.listed.has(house.shown)) {
      const last = [...house.listed].at(-1) ?? "";
      if (last) house.chosen = new Set([last]);
      show(last);
    } else list();
  } catch (wrong) {
    if (wrong.status !== 0) problem(wrong.message);
  }
  document.body.dataset.ready = "true";
}

$("where").textContent = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)
  ? "It stays on this machine." : `It goes to ${location.hostname} and nowhere else.`;
begin();
