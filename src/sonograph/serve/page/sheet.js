// A sheet: waveform over spectrogram of one or more sounds, with one playhead, one ruler and one zoom.

import { clamp, colour, make, sharp, unique } from "./element.js";
import { Mixer } from "./mixer.js";
import { address, ask } from "./service.js";
import { clock, lasting } from "./words.js";

const CLOSEST_S = 0.02;

/** The theme that holds now: "light" or "dark". */
export function theme() {
  return document.documentElement.dataset.theme
    || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

export class Sheet {
  /**
   * tracks: [{sound, name, group, quiet, tools}]; group: which side of before and after, "" for both.
   * spans: [{start_s, end_s, label, score}] and tones: {label: class}, drawn under the pictures.
   * notes: [{onset_s, offset_s, pitch, key, score}], drawn as a piano roll.
   */
  constructor({ title, tracks, spans = [], tones = {}, notes = [], moved = () => {} }) {
    Object.assign(this, { tracks, spans, notes, moved });
    this.seconds = Math.max(0.01, ...tracks.map((one) => one.sound.duration_s));
    this.view = { from: 0, to: this.seconds };
    this.groups = [...new Set(tracks.map((one) => one.group).filter(Boolean))];
    this.group = this.groups.at(-1) ?? "";
    this.only = null;
    this.mixer = new Mixer(
      tracks.map(({ sound }) => ({
        url: address.audio(sound), seconds: sound.duration_s, channels: sound.channels,
      })),
      (problem) => this.changed(problem),
    );
    this.build(title, tones);
    this.mix();
    this.redraw = () => this.draw();
    addEventListener("themechange", this.redraw);
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.root);
    // What is not on the screen asks the service for nothing.
    this.sight = new IntersectionObserver((seen) => {
      if (!seen.some((one) => one.isIntersecting)) return;
      this.sight.disconnect();
      this.seen = true;
      this.draw();
    }, { rootMargin: "300px" });
    this.sight.observe(this.root);
  }

  build(title, tones) {
    const several = this.tracks.length > 1;
    this.button = make("button", {
      type: "button", class: "play", "aria-label": `Play ${title}`, onclick: () => this.toggle(),
    });
    this.title = title;
    this.clock = (seconds) => (this.seconds < 1 ? `${seconds.toFixed(2)} s` : clock(seconds));
    this.now = make("b", {}, this.clock(0));
    this.problem = make("p", { class: "wrong", role: "alert", hidden: true });
    this.zooms = {
      out: make("button", { type: "button", class: "quiet glyph", "aria-label": "Further", onclick: () => this.zoom(2) }, "−"),
      in: make("button", { type: "button", class: "quiet glyph", "aria-label": "Closer", onclick: () => this.zoom(0.5) }, "+"),
      whole: make("button", { type: "button", class: "quiet", onclick: () => this.look(0, this.seconds) }, "Whole"),
    };
    this.transport = make("div", { class: "transport" },
      this.button,
      make("span", { class: "clock" }, this.now, ` / ${this.clock(this.seconds)}`),
      this.groups.length > 1 ? this.switch() : null,
      make("div", { class: "zoom" }, this.zooms.out, this.zooms.in, this.zooms.whole));
    this.ruler = make("div", {
      class: "ruler", role: "slider", tabindex: "0", "aria-label": `Playhead of ${title}`,
      "aria-valuemin": "0", "aria-valuemax": this.seconds.toFixed(2), "aria-valuenow": "0",
    }, make("canvas", { "aria-hidden": "true" }));
    this.lanes = this.tracks.map((track, number) => this.lane(track, number, several));
    this.rows = this.spans.length ? this.spanRows(tones) : null;
    this.roll = this.notes.length
      ? make("canvas", { class: "roll", role: "img", "aria-label": this.notesTold() }) : null;
    const bed = make("div", { class: `lanes${several ? " parts" : ""}` },
      ...this.lanes.map((lane) => lane.root),
      this.roll ? this.screen(this.roll) : null, this.rows, this.ruler);
    this.root = make("div", { class: "sheet", role: "group", "aria-label": title },
      this.transport, this.problem, bed);
    this.root.addEventListener("keydown", (event) => this.typed(event));
    this.pointers(this.ruler, "ruler");
    this.tell();
  }

  switch() {
    const name = unique("group");
    return make("fieldset", { class: "switch" },
      make("legend", { class: "unseen" }, "What is heard"),
      ...this.groups.map((group) => make("label", {},
        make("input", {
          type: "radio", name, value: group, checked: group === this.group,
          onchange: () => this.hear(group),
        }),
        make("span", {}, group))));
  }

  lane(track, number, several) {
    const wave = make("canvas", { class: "wave", role: "img", "aria-label": `Waveform of ${track.name}` });
    const spectrum = make("canvas", { class: "spectrum", role: "img", "aria-label": `Spectrogram of ${track.name}` });
    const field = make("div", { class: "field-of-pitch" }, spectrum, ...pitches(track.sound, several));
    const screen = this.screen(wave, field);
    const lane = { ...track, wave, spectrum, screen, muted: Boolean(track.quiet), peaks: null, pictures: [] };
    const mixed = several && this.tracks.filter((one) => one.group === track.group).length > 1;
    lane.solo = mixed && make("button", {
      type: "button", class: "quiet", "aria-pressed": "false", "aria-label": `Only ${track.name}`,
      onclick: () => this.solo(number),
    }, "Only");
    lane.mute = mixed && make("button", {
      type: "button", class: "quiet", "aria-pressed": String(lane.muted), "aria-label": `Mute ${track.name}`,
      onclick: () => { lane.muted = !lane.muted; this.only = null; this.mix(); },
    }, "Mute");
    const head = several || track.tools?.length
      ? make("div", { class: "lane-head" }, make("b", {}, track.name),
        make("div", { class: "tools" }, lane.solo, lane.mute, ...(track.tools ?? [])))
      : null;
    lane.root = make("div", { class: "lane" }, head, screen);
    return lane;
  }

  screen(...canvases) {
    const screen = make("div", { class: "screen" }, ...canvases,
      make("div", { class: "stretch", hidden: true }), make("div", { class: "head" }));
    this.pointers(screen, "screen");
    (this.screens ??= []).push(screen);
    return screen;
  }

  // --- hearing ---

  toggle() {
    if (this.mixer.state === "stopped") this.mixer.play();
    else this.mixer.pause();
  }

  hear(group) {
    this.group = group;
    this.only = null;
    for (const input of this.transport.querySelectorAll(".switch input")) input.checked = input.value === group;
    this.mix();
  }

  solo(number) {
    this.only = this.only === number ? null : number;
    if (this.lanes[number].group) {
      const chosen = this.only;
      if (this.group !== this.lanes[number].group) this.hear(this.lanes[number].group);
      this.only = chosen;
    }
    this.mix();
  }

  mix() {
    const loud = this.lanes.map((lane, number) => {
      if (this.only !== null) return number === this.only ? 1 : 0;
      return (!lane.group || lane.group === this.group) && !lane.muted ? 1 : 0;
    });
    this.lanes.forEach((lane, number) => {
      lane.root.classList.toggle("silent", !loud[number]);
      if (lane.solo) lane.solo.setAttribute("aria-pressed", String(this.only === number));
      if (lane.mute) lane.mute.setAttribute("aria-pressed", String(lane.muted));
    });
    this.loud = loud;
    this.mixer.mix(loud);
  }

  seek(seconds) {
    this.mixer.seek(seconds);
    this.follow();
  }

  changed(problem) {
    const on = this.mixer.state !== "stopped";
    this.button.classList.toggle("on", on);
    this.button.setAttribute("aria-busy", String(this.mixer.state === "loading"));
    this.button.setAttribute("aria-label", `${on ? "Pause" : "Play"} ${this.title}`);
    this.problem.hidden = !problem;
    this.problem.textContent = problem ?? "";
    this.follow();
    if (this.mixer.state === "playing") this.run();
  }

  run() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      this.follow();
      if (this.mixer.state === "playing") this.run();
    });
  }

  /** The playhead, wherever it is now; what is looked at goes along while it is heard. */
  follow() {
    const at = this.mixer.position;
    const wide = this.view.to - this.view.from;
    if (this.mixer.state === "playing" && wide < this.seconds && (at > this.view.to || at < this.view.from)) {
      this.look(at, at + wide);
    }
    this.head();
    this.tell();
    if (this.roll && this.mixer.state === "playing") this.drawRoll();
    this.moved(at, this.mixer.state === "playing");
  }

  head() {
    const share = (this.mixer.position - this.view.from) / (this.view.to - this.view.from);
    const seen = share >= 0 && share <= 1;
    for (const screen of this.screens) {
      const head = screen.querySelector(".head");
      head.hidden = !seen;
      if (seen) head.style.transform = `translateX(${(share * screen.clientWidth - 0.75).toFixed(2)}px)`;
    }
  }

  tell() {
    const at = this.mixer.position;
    this.now.textContent = this.clock(at);
    this.ruler.setAttribute("aria-valuenow", at.toFixed(2));
    this.ruler.setAttribute("aria-valuetext", `${lasting(at)} of ${lasting(this.seconds)}`);
  }

  // --- looking closer ---

  look(from, to) {
    const wide = clamp(to - from, Math.min(CLOSEST_S, this.seconds), this.seconds);
    const start = clamp(from, 0, this.seconds - wide);
    this.view = { from: start, to: start + wide };
    const whole = wide >= this.seconds - 1e-6;
    this.zooms.out.setAttribute("aria-disabled", String(whole));
    this.zooms.whole.setAttribute("aria-disabled", String(whole));
    this.zooms.in.setAttribute("aria-disabled", String(wide <= CLOSEST_S * 1.001));
    this.draw();
    this.head();
  }

  /** factor below 1: closer, around a time (the playhead, or the middle if it is out of sight). */
  zoom(factor, around) {
    const { from, to } = this.view;
    const at = this.mixer.position;
    const centre = around ?? (at >= from && at <= to && at > 0 ? at : (from + to) / 2);
    const share = (centre - from) / (to - from);
    const wide = clamp((to - from) * factor, CLOSEST_S, this.seconds);
    this.look(centre - share * wide, centre + (1 - share) * wide);
  }

  pan(seconds) {
    this.look(this.view.from + seconds, this.view.to + seconds);
  }

  /** Click: jump. Drag: look closer (fingers: move). Two fingers, wheel: zoom. On the ruler: move. */
  pointers(element, where) {
    const down = new Map();
    let begun = null;
    const time = (x) => {
      const box = element.getBoundingClientRect();
      return this.view.from + clamp((x - box.left) / box.width, 0, 1) * (this.view.to - this.view.from);
    };
    const stretch = element.querySelector(".stretch");
    const scale = () => (this.view.to - this.view.from) / element.clientWidth;
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      down.set(event.pointerId, event.clientX);
      element.setPointerCapture(event.pointerId);
      begun = { x: event.clientX, y: event.clientY, time: time(event.clientX), moved: false, ...this.view };
      if (down.size === 2) {
        const [a, b] = [...down.values()];
        begun = { ...begun, moved: true, apart: Math.max(20, Math.abs(a - b)), middle: time((a + b) / 2) };
      }
    });
    element.addEventListener("pointermove", (event) => {
      if (!down.has(event.pointerId) || !begun) return;
      down.set(event.pointerId, event.clientX);
      if (down.size === 2 && begun.apart) {
        const [a, b] = [...down.values()];
        const wide = clamp((begun.to - begun.from) * begun.apart / Math.max(20, Math.abs(a - b)), CLOSEST_S, this.seconds);
        const box = element.getBoundingClientRect();
        const share = ((a + b) / 2 - box.left) / box.width;
        this.look(begun.middle - share * wide, begun.middle + (1 - share) * wide);
        return;
      }
      const away = event.clientX - begun.x;
      if (!begun.moved && Math.abs(away) < 5) return;
      begun.moved = true;
      const zoomed = this.view.to - this.view.from < this.seconds - 1e-6;
      if (where === "ruler" && !zoomed) this.seek(time(event.clientX));
      else if (where === "ruler" || event.pointerType === "touch") {
        if (zoomed) this.look(begun.from - away * scale(), begun.to - away * scale());
      } else {
        const box = element.getBoundingClientRect();
        const [a, b] = [begun.x, event.clientX].map((x) => clamp(x - box.left, 0, box.width)).sort((p, q) => p - q);
        stretch.hidden = false;
        stretch.style.left = `${a}px`;
        stretch.style.width = `${b - a}px`;
      }
    });
    const up = (event) => {
      if (!down.delete(event.pointerId) || !begun) return;
      if (stretch && !stretch.hidden) {
        stretch.hidden = true;
        const ends = [begun.time, time(event.clientX)].sort((p, q) => p - q);
        if (event.type === "pointerup") this.look(...ends);
      } else if (!begun.moved && event.type === "pointerup") {
        this.seek(begun.time);
        this.ruler.focus({ preventScroll: true, focusVisible: false });
      }
      if (down.size === 0) begun = null;
    };
    element.addEventListener("pointerup", up);
    element.addEventListener("pointercancel", up);
    element.addEventListener("dblclick", () => this.look(0, this.seconds));
    element.addEventListener("wheel", (event) => {
      const zooms = event.ctrlKey || event.metaKey || this.root.contains(document.activeElement);
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
      if (sideways && this.view.to - this.view.from < this.seconds - 1e-6) {
        event.preventDefault();
        this.pan((event.deltaX || event.deltaY) * scale());
      } else if (zooms && event.deltaY) {
        event.preventDefault();
        this.zoom(Math.exp(clamp(event.deltaY, -200, 200) * (event.ctrlKey ? 0.01 : 0.0025)), time(event.clientX));
      }
    }, { passive: false });
  }

  /** Keys mean something while the focus is on this sheet, and not on a field or what they press. */
  typed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input")) return;
    if (event.key === " " && event.target.closest("button, a")) return;
    const step = (this.view.to - this.view.from) / (event.shiftKey ? 100 : 20);
    const at = this.mixer.position;
    const act = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.seek(at - step),
      ArrowDown: () => this.seek(at - step),
      ArrowRight: () => this.seek(at + step),
      ArrowUp: () => this.seek(at + step),
      Home: () => this.seek(0),
      End: () => this.seek(this.seconds),
      "+": () => this.zoom(0.5),
      "=": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      "_": () => this.zoom(2),
      0: () => this.look(0, this.seconds),
      "[": () => this.pan(-step * 5),
      "]": () => this.pan(step * 5),
      b: () => this.groups.length > 1
        && this.hear(this.groups[(this.groups.indexOf(this.group) + 1) % this.groups.length]),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const number = Number(event.key);
    if (act) act();
    else if (number >= 1 && number <= this.lanes.length && this.lanes.length > 1) this.solo(number - 1);
    else return;
    event.preventDefault();
  }

  // --- drawing ---

  draw() {
    if (!this.seen || !this.root.isConnected) return;
    cancelAnimationFrame(this.drawing);
    this.drawing = requestAnimationFrame(() => {
      this.drawRuler();
      this.placeSpans();
      if (this.roll) this.drawRoll();
      for (const lane of this.lanes) { this.drawWave(lane); this.drawSpectrum(lane); }
      this.head();
    });
    clearTimeout(this.asking);
    this.asking = setTimeout(() => this.lanes.forEach((lane) => this.fetch(lane)), this.asked ? 160 : 0);
    this.asked = true;
  }

  /** Ask for the outline and the picture of what is looked at, as sharp as the screen. */
  async fetch(lane) {
    const from = clamp(this.view.from, 0, lane.sound.duration_s);
    const to = Math.min(this.view.to, lane.sound.duration_s);
    const width = lane.wave.clientWidth;
    if (to - from < 1e-4 || !width) return;
    const share = (to - from) / (this.view.to - this.view.from);
    const scale = Math.min(devicePixelRatio || 1, 2);
    const wide = clamp(Math.round(width * share * scale), 16, 2000);
    const key = `${from}|${to}|${wide}`;
    if (lane.key !== key) {
      lane.key = key;
      ask(address.peaks(lane.sound, from, to, clamp(Math.round(wide / scale / 2), 16, 1000))).then((peaks) => {
        lane.peaks = peaks;
        if (!lane.top) {
          lane.top = Math.max(1e-4, ...peaks.high, ...peaks.low.map((one) => -one));
          this.describe(lane, peaks);
        }
        for (const one of this.lanes) this.drawWave(one);
      }).catch(() => { lane.key = ""; });
    }
    const high = clamp(Math.round(lane.spectrum.clientHeight * scale), 32, 512);
    const url = address.picture(lane.sound, from, to, wide, high, theme());
    if (lane.url === url) return;
    lane.url = url;
    const image = new Image();
    image.onload = () => {
      // Kept: the first, which is the whole, and the last, which is sharp.
      const one = { image, from, to, theme: theme() };
      lane.pictures = [...lane.pictures.filter((p) => p.theme === one.theme).slice(0, 1), one];
      this.drawSpectrum(lane);
    };
    image.onerror = () => { // too many requests at once, or it is gone
      if (lane.url !== url) return;
      lane.url = "";
      lane.tries = (lane.tries ?? 0) + 1;
      if (lane.tries < 5 && this.root.isConnected) setTimeout(() => this.fetch(lane), 1000 * lane.tries);
    };
    image.src = url;
  }

  /** What a picture shows, for whoever cannot see it. */
  describe(lane, peaks) {
    const loudest = peaks.high.map((one, number) => Math.max(one, -peaks.low[number]));
    const place = loudest.indexOf(Math.max(...loudest));
    const at = peaks.start_s + ((place + 0.5) / loudest.length) * (peaks.end_s - peaks.start_s);
    const still = loudest.filter((one) => one < 0.02 * lane.top).length / loudest.length;
    lane.wave.setAttribute("aria-label",
      `Waveform of ${lane.name}: ${lasting(lane.sound.duration_s)}, loudest at ${lasting(at)}` +
      (still > 0.05 ? `, quiet for ${Math.round(100 * still)} percent of it` : ""));
  }

  x(seconds, width) {
    return ((seconds - this.view.from) / (this.view.to - this.view.from)) * width;
  }

  drawWave(lane) {
    if (!lane.peaks || !lane.wave.clientWidth) return;
    const { pen, width, height } = sharp(lane.wave);
    const { start_s, end_s, low, high } = lane.peaks;
    // One scale for all lanes, so that a part is as high as it is loud.
    const top = Math.max(...this.lanes.map((one) => one.top ?? 0)) * 1.06;
    const middle = height / 2;
    pen.fillStyle = colour("line");
    pen.fillRect(0, middle - 0.5, this.x(lane.sound.duration_s, width), 1);
    pen.fillStyle = colour("ink");
    const left = this.x(start_s, width);
    const step = (this.x(end_s, width) - left) / low.length;
    const thick = Math.max(0.8, step >= 1.6 ? step - 0.6 : step);
    for (let n = 0; n < low.length; n++) {
      const x = left + n * step;
      if (x < -step || x > width) continue;
      const up = (clamp(high[n] / top, -1, 1) * height) / 2;
      const down = (clamp(low[n] / top, -1, 1) * height) / 2;
      pen.fillRect(x, middle - up - 0.35, thick, Math.max(0.7, up - down + 0.7));
    }
  }

  drawSpectrum(lane) {
    if (!lane.spectrum.clientWidth) return;
    const { pen, width, height } = sharp(lane.spectrum);
    pen.imageSmoothingEnabled = true;
    for (const { image, from, to } of lane.pictures) {
      pen.drawImage(image, this.x(from, width), 0, this.x(to, width) - this.x(from, width), height);
    }
  }

  drawRuler() {
    const { pen, width } = sharp(this.ruler.firstElementChild);
    const wide = this.view.to - this.view.from;
    const least = wide / Math.max(2, Math.floor(width / 78));
    const step = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600]
      .find((one) => one >= least) ?? 7200;
    pen.strokeStyle = colour("soft");
    pen.fillStyle = colour("soft");
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    pen.globalAlpha = 1;
    const digits = step >= 1 ? 0 : Math.ceil(-Math.log10(step) - 1e-9);
    for (let n = Math.ceil(this.view.from / step - 1e-9); n * step <= this.view.to + 1e-9; n++) {
      const at = n * step;
      const x = this.x(at, width);
      pen.fillRect(Math.round(x) - (x > width - 1 ? 1 : 0), 0, 1, 5);
      const words = this.seconds >= 60 ? clock(at, false) + (digits ? (at % 1).toFixed(digits).slice(1) : "") : `${at.toFixed(digits)} s`;
      const long = pen.measureText(words).width;
      if (x + 4 + long <= width) pen.fillText(words, x + 4, 15);
    }
  }

  spanRows(tones) {
    const labels = [...new Set(this.spans.map((one) => one.label))];
    this.bars = [];
    return make("div", { class: "spans", role: "list", "aria-label": "When it is heard" },
      ...labels.map((label) => {
        const own = this.spans.filter((one) => one.label === label);
        const row = make("div", {
          class: `span-row ${tones[label] ?? "c7"}`, role: "listitem",
          "aria-label": `${label}: ${own.map((s) => `${lasting(s.start_s)} to ${lasting(s.end_s)}`).join(", ")}`,
        }, make("b", { "aria-hidden": "true" }, label));
        for (const span of own) {
          const bar = make("i", { title: `${label} ${clock(span.start_s)} – ${clock(span.end_s)}` });
          bar.style.opacity = String(0.35 + 0.65 * clamp(span.score, 0, 1));
          row.append(bar);
          this.bars.push([bar, span]);
        }
        return row;
      }));
  }

  placeSpans() {
    if (!this.rows) return;
    for (const [bar, span] of this.bars) {
      bar.style.left = `${this.x(span.start_s, 100)}%`;
      bar.style.width = `${this.x(span.end_s, 100) - this.x(span.start_s, 100)}%`;
    }
  }

  notesTold() {
    const keys = this.notes.slice(0, 40).map((note) => note.key).join(", ");
    return `Piano roll of ${this.notes.length} notes: ${keys}${this.notes.length > 40 ? " and more" : ""}`;
  }

  drawRoll() {
    const { pen, width, height } = sharp(this.roll);
    const pitches = this.notes.map((note) => note.pitch);
    const low = Math.floor(Math.min(...pitches)) - 2;
    const high = Math.max(Math.ceil(Math.max(...pitches)) + 2, low + 12);
    const row = height / (high - low + 1);
    const y = (pitch) => height - (pitch - low + 1) * row;
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    for (let pitch = low; pitch <= high; pitch++) {
      if ([1, 3, 6, 8, 10].includes(((pitch % 12) + 12) % 12)) {
        pen.fillStyle = colour("screen");
        pen.globalAlpha = 0.75;
        pen.fillRect(0, y(pitch), width, row);
        pen.globalAlpha = 1;
      }
      if (pitch % 12 === 0) {
        pen.fillStyle = colour("line");
        pen.fillRect(0, y(pitch) + row, width, 1);
        pen.fillStyle = colour("soft");
        const words = `C${pitch / 12 - 1}`;
        pen.fillText(words, width - pen.measureText(words).width - 4, y(pitch) + row - 3);
      }
    }
    const at = this.mixer.position;
    for (const note of this.notes) {
      const x = this.x(note.onset_s, width);
      const wide = Math.max(2, this.x(note.offset_s, width) - x - 1);
      if (x > width || x + wide < 0) continue;
      const heard = at >= note.onset_s && at < note.offset_s && this.mixer.state === "playing";
      pen.fillStyle = heard ? colour("accent") : colour("ink");
      pen.globalAlpha = 0.4 + 0.6 * clamp(note.score ?? 1, 0, 1);
      pen.beginPath();
      pen.roundRect(x, y(note.pitch) + 0.5, wide, Math.max(2, row - 1), Math.min(2, row / 3));
      pen.fill();
      pen.globalAlpha = 1;
    }
  }

  /** Give back what it holds, when it is taken from the page. */
  close() {
    this.mixer.pause();
    this.sizes.disconnect();
    this.sight.disconnect();
    removeEventListener("themechange", this.redraw);
  }
}

/** Marks of pitch on a spectrogram, whose axis is logarithmic, as the service draws it. */
function pitches(sound, few) {
  const top = Math.min(sound.rate_hz / 2, 20000);
  const low = Math.min(50, top / 4);
  return (few ? [[100, "100"], [1000, "1k"], [10000, "10k"]] : [[100, "100 Hz"], [300, "300"], [1000, "1k"], [3000, "3k"], [10000, "10k"]])
    .filter(([hertz]) => hertz > low * 1.2 && hertz < top * 0.93)
    .map(([hertz, words]) => {
      const mark = make("span", { class: "pitch", "aria-hidden": "true" }, words);
      mark.style.bottom = `${(100 * Math.log(hertz / low)) / Math.log(top / low)}%`;
      return mark;
    });
}

/** A play button of its own, for lists. */
export function player(sound) {
  const button = make("button", { type: "button", class: "play small", "aria-label": `Play ${sound.name}` });
  const mixer = new Mixer(
    [{ url: address.audio(sound), seconds: sound.duration_s, channels: sound.channels }],
    () => {
      const on = mixer.state !== "stopped";
      button.classList.toggle("on", on);
      button.setAttribute("aria-label", `${on ? "Pause" : "Play"} ${sound.name}`);
    },
  );
  button.addEventListener("click", () => {
    if (mixer.state === "stopped") { mixer.at = 0; mixer.play(); } else mixer.pause();
  });
  return button;
}

/** A small waveform, for lists. */
export async function thumbnail(canvas, sound) {
  const { low, high } = await ask(address.peaks(sound, 0, sound.duration_s, 110));
  const draw = () => {
    if (!canvas.isConnected) removeEventListener("themechange", draw);
    if (!canvas.clientWidth) return;
    const { pen, width, height } = sharp(canvas);
    const top = Math.max(1e-4, ...high, ...low.map((one) => -one));
    pen.fillStyle = colour("soft");
    const step = width / low.length;
    for (let n = 0; n < low.length; n++) {
      const up = (high[n] / top) * height / 2;
      const down = (low[n] / top) * height / 2;
      pen.fillRect(n * step, height / 2 - up - 0.3, Math.max(0.8, step - 0.7), Math.max(0.6, up - down + 0.6));
    }
  };
  addEventListener("themechange", draw);
  new ResizeObserver(draw).observe(canvas);
  draw();
}
