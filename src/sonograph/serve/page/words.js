// Numbers as people read them.

/** Seconds as 0:03.2, 12:05 or 1:02:03. */
export function clock(seconds, tenths = true) {
  const whole = Math.max(0, tenths ? Math.round(seconds * 10) / 10 : Math.round(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = tenths ? Math.round((whole % 60) * 10) / 10 : whole % 60;
  const last = tenths ? rest.toFixed(1).padStart(4, "0") : String(rest).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${last}` : `${minutes}:${last}`;
}

/** How long something lasts: 50 ms, 3.2 s, 4 min 5 s, 1 h 2 min. */
export function lasting(seconds) {
  if (seconds > 0 && seconds < 0.095) return `${Math.max(1, Math.round(1000 * seconds))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 1e6) return `${Math.round(bytes / 1000)} kB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

export function count(number) {
  if (number < 1e4) return String(number);
  if (number < 1e6) return `${Math.round(number / 1000)} thousand`;
  return `${(number / 1e6).toFixed(number < 1e7 ? 1 : 0)} million`;
}

export const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)}\u00a0%`;

/** 1 sound, 2 sounds. */
export const many = (number, one, more = `${one}s`) => `${number} ${number === 1 ? one : more}`;

/** A number of a card: three digits that count. */
export const figure = (value) =>
  String(Math.abs(value) < 1e-6 ? 0 : Number.isInteger(value) ? value : Number(value.toPrecision(3))).replace("-", "−");

/** What a sound is, in one line. */
export function about(sound) {
  const channels = { 1: "mono", 2: "stereo" }[sound.channels] ?? `${sound.channels} channels`;
  const rate = `${Number((sound.rate_hz / 1000).toFixed(2))} kHz`;
  return `${lasting(sound.duration_s)} · ${rate} · ${channels}`;
}

/** Words at the beginning of a line; names such as ast-mini stay as they are. */
export const capital = (words) => (/^[a-z]+[-_\d]/.test(words) ? words : words.charAt(0).toUpperCase() + words.slice(1));
