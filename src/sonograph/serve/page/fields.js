// A form out of a JSON schema: nothing about an action is known here.

import { fill, make, unique } from "./element.js";
import { capital, count, figure, size } from "./words.js";

const title = (name, about) => capital(about.title ?? name.replaceAll("_", " "));
const kinds = (about) => [about.type ?? (about.anyOf ?? []).map((one) => one.type)].flat();

/** A field of the settings; `values` holds what was chosen, a missing one is the default. */
export function field(name, about, values) {
  const kind = kinds(about).find((one) => one !== "null");
  const optional = kinds(about).includes("null");
  const now = values[name] ?? about.default;
  const keep = (value) => { if (value === undefined) delete values[name]; else values[name] = value; };
  const id = unique("field");
  const words = about.description ? make("small", { id: `${id}-words` }, about.description) : null;
  const told = { id, "aria-describedby": words && `${id}-words` };
  if (about.enum) {
    const input = make("select", { ...told, onchange: () => keep(input.value) },
      ...about.enum.map((one) => make("option", { value: one, selected: one === now }, String(one))));
    return make("label", { class: "field" }, title(name, about), input, words);
  }
  if (kind === "boolean") {
    const input = make("input", { ...told, type: "checkbox", checked: Boolean(now), onchange: () => keep(input.checked) });
    return make("label", { class: "field tick" }, input, title(name, about), words);
  }
  if (kind === "number" || kind === "integer") {
    const input = make("input", {
      ...told, type: "number", inputmode: kind === "integer" ? "numeric" : "decimal",
      min: about.minimum, max: about.maximum, step: kind === "integer" ? 1 : "any",
      value: now ?? "", placeholder: optional ? "as the model has it" : null, required: !optional,
      oninput: () => keep(input.value === "" ? (optional ? null : undefined) : Number(input.value)),
    });
    return make("label", { class: "field" }, title(name, about), input, words);
  }
  const list = kind === "array";
  const input = make("input", {
    ...told, type: "text", maxlength: about.maxLength ?? 1000, autocomplete: "off",
    value: (list ? (now ?? []).join(", ") : now) ?? "",
    oninput: () => keep(list ? input.value.split(",").map((one) => one.trim()).filter(Boolean) : input.value),
  });
  return make("label", { class: "field" }, title(name, about), input, words);
}

/** What is wrong with the fields of a form, in one line; the first of them is shown. */
export function fault(form) {
  const wrong = [...form.querySelectorAll("input, textarea, select")].find((one) => !one.checkValidity());
  if (!wrong) return "";
  wrong.closest("details")?.setAttribute("open", "");
  wrong.focus();
  const name = wrong.closest("label")?.firstChild?.textContent ?? "A field";
  return `${name}: ${wrong.validationMessage}`;
}

// --- models ---

const NAMES = {
  si_sdr_improvement: "SI-SDR gain", si_sdr: "SI-SDR", accuracy: "accuracy", map: "mAP",
  word_error_rate: "word errors", stoi: "STOI", f1: "F1", loss: "loss",
};
const named = (path) => path.map((one) => NAMES[one] ?? one.replaceAll("_", " "));
const interval = (value) => value && typeof value === "object" && ["mean", "low", "high"].every((key) => Number.isFinite(value[key]));

/** All figures of a card: [path, text]. */
function figures(value, path = []) {
  if (interval(value)) return [[path, `${figure(value.mean)} (95 %: ${figure(value.low)} to ${figure(value.high)})`]];
  if (typeof value === "number") return [[path, figure(value)]];
  if (typeof value === "string") return [[path, value]];
  if (Array.isArray(value)) return value.every((one) => typeof one !== "object") ? [[path, value.join(", ")]] : [];
  if (value && typeof value === "object") return Object.entries(value).flatMap(([key, one]) => figures(one, [...path, key]));
  return [];
}

// What says most, best first: the page shows the first that a card has.
const TELLING = [
  /si_sdr_improvement$/, /(^|\/)(map|mAP|accuracy|accuracy_of_its_kinds)$/, /conpoff$/, /conp$/, /f1$/, /word_error_rate$/,
];

/** The figure of a card that says most, in one line. */
export function headline(quality) {
  if ("loss" in quality) return ""; // of its training: it tells whoever chooses nothing
  const all = figures(quality).map(([path, text]) => ({ path, key: path.join("/"), text }));
  for (const telling of TELLING) {
    const found = all.filter((one) => telling.test(one.key) && !one.key.startsWith("real"));
    const own = found.find((one) => !/real|griffin|mixture\/|oracle|copy/.test(one.key)) ?? found[0];
    if (own) {
      const unit = /si_sdr/.test(own.key) ? " dB" : "";
      return `${named(own.path).join(", ")} ${own.text.replace(/^([-−\d.]+)/, `$1${unit}`)}`;
    }
  }
  return "";
}

/** The chooser of a model: beside each its size, licence and measured quality. */
export function chooser(name, about, models, values, changed) {
  const names = about.enum ?? [];
  const group = unique("model");
  const chosen = names.includes(values[name]) ? values[name] : about.default;
  const single = names.length === 1;
  const legend = make("legend", {}, title(name, about));
  return make("fieldset", { class: "models" }, legend, ...names.map((one) => {
    const model = models.get(one) ?? { name: one };
    const input = single ? null : make("input", {
      type: "radio", name: group, value: one, checked: one === chosen, "aria-label": one,
      onchange: () => { values[name] = one; changed?.(); },
    });
    const worth = headline(model.quality ?? {});
    const all = figures(model.quality ?? {});
    const more = make("dl", {});
    const details = make("details", {
      ontoggle: () => fill(more, ...told(model, all)), onclick: (event) => event.stopPropagation(),
    }, make("summary", {}, "Licence, limits, and all that was measured", make("span", { class: "unseen" }, ` of ${one}`)), more);
    const row = make(single ? "div" : "label", { class: `model${single ? " single" : ""}` },
      input, make("b", {}, one),
      make("span", { class: "size" }, [
        model.parameters && `${count(model.parameters)} weights`, model.bytes && size(model.bytes),
      ].filter(Boolean).join(" · ")),
      make("span", { class: "says" }, make("span", { class: "soft" }, brief(model.summary ?? "")),
        worth ? make("span", { class: "worth" }, ` Measured: ${worth}.`) : null,
        model.licence ? make("span", { class: "soft" }, ` Licence: ${licence(model.licence)}.`) : null));
    return make("div", { class: "offer" }, row, details);
  }));
}

const brief = (words) => {
  const short = words.length > 150 ? `${words.slice(0, words.lastIndexOf(",", 150) > 40 ? words.lastIndexOf(",", 150) : 150)} …` : words;
  return capital(short && !/[.…]$/.test(short) ? `${short}.` : short);
};
/** The first clause of a licence; all of it stands under the model. */
export const licence = (words) => words.split(/[;,(]/)[0].trim();

function told(model, all) {
  const pair = (name, words) => words && make("div", {}, make("dt", {}, name), make("dd", {}, words));
  return [
    pair("Licence", capital(model.licence ?? "")), pair("Limits", [model.limits ?? ""].flat().join(" ")),
    pair("Knows", (model.summary ?? "").length > 150 ? model.summary : ""),
    pair("Measured", all.length ? make("ul", {}, ...all.map(([path, text]) =>
      make("li", {}, make("span", {}, capital(named(path).join(", "))), make("span", {}, text)))) : ""),
    pair("Paper", model.paper), pair("System", (model.system ?? "").replaceAll("_", " ")),
  ].filter(Boolean);
}
