"use strict";
// Brings the report to life: players with a shared playhead, readings of charts and tables, the map.
// Without it everything can still be read, and the browser's own players are shown.

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
let playing = null; // the one sound that is heard

function hear(audio) {
  if (playing && playing !== audio) playing.pause();
  playing = audio;
  return audio.play();
}

// --- sounds: one playhead over the three pictures of an example ---

for (const example of document.querySelectorAll(".example")) {
  const audio = example.querySelector("audio");
  const button = example.querySelector(".play");
  const slider = example.querySelector("input");
  const time = example.querySelector(".time");
  const screens = [...example.querySelectorAll(".screen")];
  const seconds = Number(example.dataset.seconds);
  const whole = time.textContent;
  audio.controls = false;
  button.hidden = slider.hidden = false;

  const draw = () => {
    const share = clamp(audio.currentTime / seconds, 0, 1);
    for (const screen of screens) {
      screen.querySelector(".playhead").style.transform =
        `translateX(${share > 0 ? share * screen.clientWidth : -4}px)`;
    }
    slider.value = String(Math.round(1000 * share));
    slider.setAttribute("aria-valuetext", `${audio.currentTime.toFixed(1)} seconds`);
    time.textContent = share > 0 ? `${audio.currentTime.toFixed(2)}\u00a0s` : whole;
  };
  const follow = () => {
    draw();
    if (!audio.paused) requestAnimationFrame(follow);
  };
  const show = (on) => {
    button.classList.toggle("on", on);
    const name = button.getAttribute("aria-label").replace(/^(Play|Pause) /, "");
    button.setAttribute("aria-label", `${on ? "Pause" : "Play"} ${name}`);
  };
  const jump = (share) => {
    audio.currentTime = clamp(share, 0, 1) * Math.min(seconds, audio.duration || seconds);
    draw();
  };
  button.addEventListener("click", () => (audio.paused ? hear(audio) : audio.pause()));
  slider.addEventListener("input", () => jump(slider.value / 1000));
  audio.addEventListener("play", () => { show(true); follow(); });
  audio.addEventListener("pause", () => show(false));
  audio.addEventListener("ended", () => { show(false); audio.currentTime = 0; draw(); });
  for (const screen of screens) {
    screen.addEventListener("click", (event) => {
      const box = screen.getBoundingClientRect();
      jump((event.clientX - box.left) / box.width);
      if (audio.paused) hear(audio);
    });
  }
}

// --- charts: the values at the pointer stand in the legend ---

for (const chart of document.querySelectorAll(".chart")) {
  const data = JSON.parse(chart.dataset.chart);
  const plot = chart.querySelector(".plot");
  const canvas = chart.querySelector(".canvas");
  const where = chart.querySelector(".where");
  const values = [...chart.querySelectorAll(".legend li:not(.fixed) b")];
  const whole = values.map((value) => value.textContent);
  const cursor = document.createElement("div");
  cursor.className = "cursor";
  cursor.hidden = true;
  canvas.append(cursor);
  if (data.x.length === 0) continue;
  for (const value of values) value.style.minWidth = `${value.offsetWidth}px`;
  for (const value of values) value.style.textAlign = "right";
  let at = -1;

  const show = (index) => {
    at = clamp(index, 0, data.x.length - 1);
    cursor.hidden = false;
    cursor.style.left = `${100 * data.x[at]}%`;
    where.textContent = `step ${data.at[at]}`;
    values.forEach((value, line) => { value.textContent = data.y[line][at]; });
  };
  const leave = () => {
    at = -1;
    cursor.hidden = true;
    where.textContent = "step";
    values.forEach((value, line) => { value.textContent = whole[line]; });
  };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    let best = 0;
    data.x.forEach((x, i) => {
      if (Math.abs(x - share) < Math.abs(data.x[best] - share)) best = i;
    });
    show(best);
  });
  canvas.addEventListener("pointerleave", leave);
  plot.addEventListener("blur", leave);
  plot.addEventListener("keydown", (event) => {
    const last = data.x.length - 1;
    const start = at < 0 ? (event.key === "ArrowLeft" ? last + 1 : -1) : at;
    const step = Math.max(1, Math.round(last / 40));
    const next = {
      ArrowRight: start < 0 ? 0 : start + step,
      ArrowLeft: start - step,
      Home: 0,
      End: last,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    show(next);
  });
}

// --- confusions: a cell in words ---

for (const figure of document.querySelectorAll(".mixups")) {
  const table = figure.querySelector("table");
  const readout = figure.querySelector(".readout");
  const empty = readout.textContent;
  const answers = [...table.rows[0].cells].map((cell) => cell.textContent);

  const read = (cell) => {
    const count = cell.textContent || "0";
    const total = cell.parentElement.dataset.total;
    const truth = cell.parentElement.cells[0].textContent;
    const answer = answers[cell.cellIndex];
    readout.textContent = truth === answer
      ? `True: ${truth}. Named rightly: ${count} of ${total}.`
      : `True: ${truth}. Answer: ${answer}: ${count} of ${total}.`;
  };
  table.addEventListener("pointerover", (event) => {
    const cell = event.target.closest("td");
    if (cell) read(cell);
  });
  table.addEventListener("pointerleave", () => { readout.textContent = empty; });
  table.addEventListener("focusin", (event) => {
    if (event.target.matches("td")) read(event.target);
  });
  table.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td");
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!cell || !move[event.key]) return;
    event.preventDefault();
    const [down, right] = move[event.key];
    const row = clamp(cell.parentElement.rowIndex + down, 1, table.rows.length - 1);
    const column = clamp(cell.cellIndex + right, 1, answers.length - 1);
    cell.tabIndex = -1;
    table.rows[row].cells[column].tabIndex = 0;
    table.rows[row].cells[column].focus();
  });
}

// --- the map: names, classes, sounds ---

for (const map of document.querySelectorAll(".map")) {
  const plane = map.querySelector(".plane");
  const name = map.querySelector(".name");
  const marks = [...map.querySelectorAll(".plane use")].map((element) => ({
    element,
    x: parseFloat(element.getAttribute("x")) / 100,
    y: parseFloat(element.getAttribute("y")) / 100,
    label: element.dataset.label,
    title: element.dataset.title,
    sound: element.dataset.sound,
  }));
  const buttons = [...map.querySelectorAll(".classes button")];
  const words = buttons.map((button) => button.childNodes[1].textContent);
  const voice = new Audio();
  let chosen = null;

  const seen = (mark) => !mark.element.classList.contains("off");
  const choose = (mark) => {
    if (chosen) chosen.element.classList.remove("at");
    chosen = mark;
    name.hidden = !mark;
    if (!mark) return;
    mark.element.classList.add("at");
    name.textContent = `${mark.title} \u2013 ${words[mark.label]}`;
    name.classList.toggle("left", mark.x > 0.55);
    name.style.left = `${100 * mark.x}%`;
    name.style.top = `${100 * clamp(mark.y, 0.05, 0.95)}%`;
  };
  const sound = () => {
    if (!chosen || !chosen.sound) return;
    voice.src = chosen.sound;
    hear(voice);
  };
  const nearest = (event) => {
    const box = plane.getBoundingClientRect();
    let best = null;
    let least = 28 ** 2;
    for (const mark of marks.filter(seen)) {
      const dx = event.clientX - box.left - mark.x * box.width;
      const dy = event.clientY - box.top - mark.y * box.height;
      if (dx * dx + dy * dy < least) [best, least] = [mark, dx * dx + dy * dy];
    }
    return best;
  };
  plane.addEventListener("pointermove", (event) => choose(nearest(event)));
  plane.addEventListener("pointerleave", () => choose(null));
  plane.addEventListener("blur", () => choose(null));
  plane.addEventListener("click", (event) => { choose(nearest(event)); sound(); });
  plane.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      sound();
      return;
    }
    const way = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
    if (!way[event.key]) return;
    event.preventDefault();
    const [right, down] = way[event.key];
    const from = chosen || { x: 0.5, y: 0.5 };
    let best = null;
    let least = Infinity;
    for (const mark of marks.filter(seen)) {
      if (mark === chosen) continue;
      const ahead = (mark.x - from.x) * right * 1.6 + (mark.y - from.y) * down;
      const aside = Math.abs((mark.x - from.x) * down * 1.6) + Math.abs((mark.y - from.y) * right);
      if (ahead > 0 && ahead + 2 * aside < least) [best, least] = [mark, ahead + 2 * aside];
    }
    if (best) choose(best);
  });
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      for (const mark of marks) {
        if (mark.label === button.dataset.label) mark.element.classList.toggle("off", !on);
      }
      choose(null);
    });
  }
}

// --- commands: copied at a press ---

for (const button of document.querySelectorAll(".copy")) {
  const code = button.parentElement.querySelector("code");
  button.hidden = false;
  button.addEventListener("click", async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code); // where the clipboard is closed: selected at least
      done = document.execCommand("copy");
    }
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
