// What to do: the action, its model and settings, what it is done to, and the button that starts it.

import { fill, make, unique } from "./element.js";
import { chooser, fault, field } from "./fields.js";
import { many } from "./words.js";

export class Task {
  /**
   * house: {actions, models, sounds, chosen, shown, labelled(), giveFolder(), giveExample, start()}.
   * What was chosen for an action stays while the page is open.
   */
  constructor(house, form) {
    Object.assign(this, { house, form, values: {}, text: "" });
    this.name = "";
    this.verbs = form.querySelector("#verbs");
    this.wanted = form.querySelector("#wanted");
    form.addEventListener("submit", (event) => { event.preventDefault(); this.start(); });
  }

  get action() {
    return this.house.actions.find((one) => one.name === this.name);
  }

  /** Actions and models as they are now. */
  renew() {
    const open = this.wanted.querySelector(".settings")?.open;
    this.keepFocus(() => {
      this.list();
      if (open) this.wanted.querySelector(".settings")?.setAttribute("open", "");
    });
  }

  list() {
    if (!this.action) this.name = this.house.actions.find((one) => one.models.length)?.name ?? "";
    fill(this.verbs, this.verbs.querySelector("legend"), ...this.house.actions
      .filter((one) => one.models.length)
      .map((one) => make("label", {},
        make("input", {
          type: "radio", name: "action", value: one.name, checked: one.name === this.name,
          onchange: () => this.choose(one.name),
        }),
        make("span", {}, one.title))));
    this.choose(this.name);
  }

  choose(name, values = {}) {
    this.name = name;
    this.values[name] = { ...this.values[name], ...values };
    for (const input of this.verbs.querySelectorAll("input")) input.checked = input.value === name;
    const action = this.action;
    if (!action) {
      fill(this.wanted, make("p", { class: "soft" }, "No model of this service can do anything."));
      return;
    }
    const own = this.values[name];
    const fields = Object.entries(action.settings.properties ?? {});
    const settings = fields.filter(([, about]) => about.format !== "model");
    this.choosers = make("div", { class: "wanted" });
    this.button = make("button", { class: "primary", type: "submit" });
    this.reason = make("p", { class: "soft", id: unique("reason") });
    this.button.setAttribute("aria-describedby", this.reason.id);
    this.problem = make("p", { class: "wrong", role: "alert", hidden: true });
    this.material = make("div", {});
    fill(this.wanted, make("div", { class: "wanted" },
      make("p", { class: "words" }, action.words),
      this.given(action),
      this.choosers,
      settings.length
        ? make("details", { class: "settings" }, make("summary", {}, "Settings"),
          make("div", {}, ...settings.map(([key, about]) => field(key, about, own))))
        : null,
      make("div", { class: "go" }, this.button, this.reason),
      this.problem));
    this.offer();
    this.tend();
  }

  /** The models; one that is set beside another has to do something that the other does, too. */
  offer() {
    const { action, house } = this;
    const own = this.values[this.name];
    const fields = Object.entries(action.settings.properties ?? {}).filter(([, about]) => about.format === "model");
    let first = null;
    fill(this.choosers, ...fields.map(([key, about]) => {
      let names = house.models.size ? about.enum.filter((one) => house.models.has(one)) : about.enum;
      if (first) {
        const doing = (one) => (house.models.get(one)?.actions ?? []).filter((a) => a !== action.name);
        names = names.filter((one) => one !== first && doing(one).some((a) => doing(first).includes(a)));
        own[key] = names.includes(own[key]) ? own[key] : names[0];
      } else if (fields.length > 1) {
        // Only those that have something to be set beside.
        const doing = (one) => (house.models.get(one)?.actions ?? []).filter((a) => a !== action.name);
        names = names.filter((one) => names.some((other) => other !== one && doing(one).some((a) => doing(other).includes(a))));
        own[key] = names.includes(own[key]) ? own[key] : names[0];
      }
      const chosen = names.includes(own[key]) ? own[key] : names.includes(about.default) ? about.default : names[0];
      first ??= chosen;
      return chooser(key, { ...about, enum: names, default: chosen }, house.models, own,
        fields.length > 1 ? () => this.keepFocus(() => this.offer()) : null);
    }));
  }

  /** Whoever chooses or writes something is not disturbed by a change of the form around it. */
  keepFocus(change) {
    const at = document.activeElement;
    const groups = () => [...this.form.querySelectorAll("fieldset")];
    const others = () => [...this.form.querySelectorAll("textarea, select, button, input:not([type=radio])")];
    const group = at.type === "radio" ? groups().indexOf(at.closest("fieldset")) : -1;
    const place = others().indexOf(at);
    const [value, from, to] = [at.value, at.selectionStart, at.selectionEnd];
    change();
    const next = group >= 0 ? groups()[group]?.querySelector(`input[value="${CSS.escape(value)}"]`) : others()[place];
    next?.focus({ preventScroll: true });
    if (next?.matches("textarea")) next.setSelectionRange(from, to);
  }

  given(action) {
    if (action.kind === "text") {
      const area = make("textarea", {
        required: true, rows: 4, placeholder: "Good morning.", oninput: () => { this.text = area.value; this.tend(); },
      });
      area.value = this.text;
      return make("label", { class: "field" }, "Text", area);
    }
    if (action.kind === "labelled") return this.material;
    return null;
  }

  /** What stands beside the button follows what is chosen. */
  tend() {
    const { action, house } = this;
    if (!action || !this.button) return;
    const sounds = this.sounds();
    const { least, most } = action.sounds;
    this.lack = "";
    let words = "";
    if (action.kind === "text") {
      this.lack = this.text.trim() ? "" : "Write what to say.";
    } else if (action.kind === "labelled") {
      this.showLabels();
      const labels = new Set(sounds.map((one) => one.label));
      if (!sounds.length) this.lack = "Choose a folder that holds a folder of sounds for each label.";
      else if (labels.size < 2) this.lack = "Give sounds of at least two labels.";
    } else if (house.sounds.size === 0) {
      this.lack = "Drop a sound, choose a file or record one first.";
    } else if (sounds.length < least) {
      this.lack = `Tick ${least === 1 ? "a sound" : `at least ${many(least, "sound")}`} in the list.`;
    } else if (least > 1) {
      words = `${sounds[0].name} beside ${many(sounds.length - 1, "other sound")}`;
    } else if (sounds.length === 1) words = sounds[0].name;
    else if (most === 1) words = "one after the other";
    const number = action.kind === "sounds" && sounds.length > 1 ? ` · ${many(sounds.length, "sound")}` : "";
    this.button.textContent = action.title + (this.lack ? "" : number);
    this.button.setAttribute("aria-disabled", String(Boolean(this.lack)));
    this.reason.textContent = this.lack || words;
  }

  sounds() {
    const { action, house } = this;
    if (action.kind === "text") return [];
    if (action.kind === "labelled") return house.labelled();
    const all = [...house.chosen].map((id) => house.sounds.get(id)).filter(Boolean);
    // What is shown comes first: it is what others are compared with.
    return all.sort((a, b) => (b.id === house.shown) - (a.id === house.shown));
  }

  showLabels() {
    const counts = new Map();
    for (const one of this.house.labelled()) counts.set(one.label, (counts.get(one.label) ?? 0) + 1);
    fill(this.material,
      make("button", { type: "button", class: "plain", onclick: () => this.house.giveFolder() },
        counts.size ? "Add another folder" : "Choose a folder"),
      counts.size
        ? make("ul", { class: "labels", "aria-label": "Labels" },
          ...[...counts].sort().map(([label, number]) => make("li", {}, make("b", {}, label), ` ${many(number, "sound")}`)))
        : null);
  }

  fail(line) {
    this.problem.textContent = line;
    this.problem.hidden = !line;
  }

  async start() {
    this.fail(this.lack || fault(this.form));
    if (!this.problem.hidden || this.busy) return;
    const { action } = this;
    const sounds = this.sounds();
    const settings = { ...this.values[this.name] };
    const turns = action.kind === "sounds" && action.sounds.most === 1 ? sounds.map((one) => [one]) : [sounds];
    this.busy = true;
    this.button.setAttribute("aria-busy", "true");
    try {
      for (const some of turns) await this.house.start(action, some, action.kind === "text" ? this.text : "", settings);
    } catch (problem) {
      this.fail(problem.message);
    }
    this.busy = false;
    this.button.removeAttribute("aria-busy");
  }
}
