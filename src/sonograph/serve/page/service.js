// Talking to the service: requests, uploads, and jobs that are followed until they end.

/** Events "lost" and "back": whether the service answers. */
export const wire = new EventTarget();
let lost = false;

function reached(ok) {
  if (ok === !lost) return;
  lost = !ok;
  wire.dispatchEvent(new Event(ok ? "back" : "lost"));
}

/** Why a request failed, in one line. status 0: the service was not reached. */
export class Refused extends Error {
  constructor(status, line, after = 0) {
    super(line);
    Object.assign(this, { status, after });
  }
}

const SILENT = "The service does not answer: is `sonograph serve` still running?";
const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

let opening = null;
/** Ask for the token once, however many requests need it. Set by the page. */
export const session = { open: async () => { throw new Refused(401, "a token is needed"); } };

async function entered() {
  opening ??= session.open().finally(() => { opening = null; });
  await opening;
}

function refusal(status, text, retry) {
  let line = "";
  try { line = JSON.parse(text).error; } catch { /* no JSON: told by its status */ }
  return new Refused(status, line || `The service answered with ${status}.`, Number(retry) || 0);
}

/** JSON from the service. Waits and tries again where it asks for patience. */
export async function ask(path, { method = "GET", json, signal } = {}) {
  for (let turn = 0; ; turn++) {
    let answer;
    try {
      answer = await fetch(`/api${path}`, {
        method,
        signal,
        headers: json === undefined ? {} : { "Content-Type": "application/json" },
        body: json === undefined ? undefined : JSON.stringify(json),
      });
    } catch (problem) {
      if (problem.name === "AbortError") throw problem;
      reached(false);
      throw new Refused(0, SILENT);
    }
    reached(true);
    if (answer.ok) return answer.status === 204 ? null : answer.json();
    const problem = refusal(answer.status, await answer.text(), answer.headers.get("Retry-After"));
    if (problem.status === 401 && path !== "/session") await entered();
    else if (problem.status === 429 && turn < 5) await pause(problem.after || 1);
    else throw problem;
  }
}

/** Send a file, telling how much of it is there. signal: an AbortSignal that breaks it off. */
export async function upload(file, label, tell, signal) {
  for (let turn = 0; ; turn++) {
    signal?.throwIfAborted();
    const form = new FormData();
    if (label) form.append("label", label);
    form.append("file", file, file.name);
    const { status, text, retry } = await new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      request.open("POST", "/api/sounds");
      request.upload.onprogress = (event) => tell(event.total ? event.loaded / event.total : 0);
      request.onload = () =>
        done({ status: request.status, text: request.responseText, retry: request.getResponseHeader("Retry-After") });
      request.onerror = () => { reached(false); failed(new Refused(0, SILENT)); };
      request.onabort = () => failed(signal.reason);
      signal?.addEventListener("abort", () => request.abort(), { once: true });
      request.send(form);
    });
    reached(true);
    if (status === 201) return JSON.parse(text);
    const problem = refusal(status, text, retry);
    if (status === 401) await entered();
    else if ((status === 429 || status === 503) && turn < 8) await pause(problem.after || 1);
    else throw problem;
  }
}

const ENDED = new Set(["done", "failed", "cancelled"]);
export const ended = (job) => ENDED.has(job.state);

/**
 * Jobs that are followed: by events where they stream, else by asking now and then.
 *
 * A browser opens six connections to a place, so only two jobs stream; the others are asked about
 * together. A stream that breaks goes on as asking until the service answers again.
 */
export class Following {
  constructor(changed) {
    this.changed = changed; // called with every job as it is now
    this.jobs = new Map(); // those that have not ended
    this.streams = new Map();
    this.timer = 0;
    this.wait = 1;
    this.broken = false;
  }

  add(job) {
    if (ended(job)) return;
    this.jobs.set(job.id, job);
    this.tend();
  }

  told(job) {
    if (ended(job)) {
      this.jobs.delete(job.id);
      this.streams.get(job.id)?.close();
      this.streams.delete(job.id);
    } else this.jobs.set(job.id, job);
    this.changed(job);
    this.tend();
  }

  /** Open what may stream; ask about the rest. */
  tend() {
    const waiting = [...this.jobs.values()].sort((a, b) => a.created - b.created);
    if (!this.broken) {
      for (const job of waiting) {
        if (this.streams.size >= 2) break;
        if (!this.streams.has(job.id)) this.stream(job.id);
      }
    }
    if (!this.timer && waiting.some((job) => !this.streams.has(job.id))) {
      this.timer = setTimeout(() => this.poll(), 1000 * this.wait);
    }
  }

  stream(id) {
    const stream = new EventSource(`/api/jobs/${id}/events`);
    this.streams.set(id, stream);
    stream.onmessage = (event) => {
      this.wait = 1;
      reached(true);
      this.told(JSON.parse(event.data));
    };
    stream.onerror = () => {
      stream.close();
      this.streams.delete(id);
      this.broken = true;
      this.tend();
    };
  }

  async poll() {
    try {
      const found = new Map((await ask("/jobs")).map((job) => [job.id, job]));
      this.timer = 0;
      this.wait = 1;
      this.broken = false;
      for (const job of [...this.jobs.values()]) {
        this.told(found.get(job.id) ?? { ...job, state: "failed", error: "The service has forgotten this: start it again." });
      }
    } catch {
      this.timer = 0;
      this.wait = Math.min(5, this.wait * 1.5);
    }
    this.tend();
  }
}

/**
 * Uploads, three at a time; `tell({done, count, share, name})` follows them. What a signal breaks
 * off is no failure: what came before it stays.
 */
export async function uploadAll(files, tell, given, signal) {
  let next = 0;
  let done = 0;
  const shares = new Map();
  const failed = [];
  const share = () => ([...shares.values()].reduce((sum, one) => sum + one, 0) + done) / files.length;
  const worker = async () => {
    while (next < files.length) {
      const place = next++;
      const { file, label } = files[place];
      try {
        const sound = await upload(file, label, (part) => {
          shares.set(file, part);
          tell({ done, count: files.length, share: share(), name: file.name });
        }, signal);
        given(sound, place);
      } catch (problem) {
        if (signal?.aborted) return;
        failed.push({ name: file.name, line: problem.message });
        if (problem.status === 0) next = files.length;
      }
      shares.delete(file);
      done++;
      tell({ done, count: files.length, share: share(), name: file.name });
    }
  };
  await Promise.all([worker(), worker(), worker()]);
  return failed;
}

export const address = {
  audio: (sound) => `/api/sounds/${sound.id}/audio`,
  save: (sound) => `/api/sounds/${sound.id}/audio?download=1`,
  peaks: (sound, from, to, points) =>
    `/sounds/${sound.id}/peaks?start_s=${from.toFixed(4)}&end_s=${to.toFixed(4)}&points=${points}`,
  picture: (sound, from, to, width, height, theme) =>
    `/api/sounds/${sound.id}/spectrogram.png?start_s=${from.toFixed(4)}&end_s=${to.toFixed(4)}` +
    `&width=${width}&height=${height}&theme=${theme}`,
};

