// The microphone: samples are kept while it listens, and become a 16-bit WAV file.

import { clamp, colour, sharp } from "./element.js";

/** A WAV file of one channel, 16 bits. blocks: Float32Arrays, full scale 1. */
export function wav(blocks, rate) {
  const count = blocks.reduce((sum, one) => sum + one.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const word = (at, text) => [...text].forEach((letter, n) => view.setUint8(at + n, letter.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + 2 * count, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // length of what follows
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a frame
  view.setUint16(34, 16, true); // bits
  word(36, "data");
  view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const block of blocks) {
    for (const value of block) {
      view.setInt16(at, Math.round(clamp(value, -1, 1) * 32767), true);
      at += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}

/** Why there is no microphone, and what to do. */
function reason(problem) {
  return {
    NotAllowedError: "The microphone was refused: allow it for this page in the browser, then record again.",
    NotFoundError: "No microphone was found: plug one in, or choose a file.",
    NotReadableError: "Another program holds the microphone: close it, then record again.",
  }[problem.name] ?? `The microphone cannot be used: ${problem.message}`;
}

/** One recording. `tell(seconds)` follows it; the level is drawn on a canvas. */
export class Recording {
  static async begin(canvas, tell) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("Browsers lend the microphone to https and to this machine only: choose a file instead.");
    }
    const recording = new Recording();
    try {
      recording.stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
      });
    } catch (problem) {
      throw new Error(reason(problem));
    }
    recording.context = new AudioContext();
    await recording.context.audioWorklet.addModule("/page/microphone.js");
    const ear = new AudioWorkletNode(recording.context, "microphone", { numberOfOutputs: 0 });
    recording.blocks = [];
    recording.count = 0;
    recording.levels = [];
    let told = 0;
    ear.port.onmessage = ({ data }) => {
      recording.blocks.push(data);
      recording.count += data.length;
      recording.levels.push(data.reduce((most, one) => Math.max(most, Math.abs(one)), 0));
      if (performance.now() - told < 60) return;
      told = performance.now();
      recording.draw(canvas);
      tell(recording.seconds);
    };
    recording.context.createMediaStreamSource(recording.stream).connect(ear);
    await recording.context.resume();
    return recording;
  }

  get seconds() {
    return this.count / this.context.sampleRate;
  }

  draw(canvas) {
    const { pen, width, height } = sharp(canvas);
    const bars = Math.floor(width / 3);
    const each = 6; // blocks of 128 samples a bar
    const last = Math.floor(this.levels.length / each);
    pen.fillStyle = colour("ink");
    for (let n = Math.max(0, last - bars); n < last; n++) {
      const level = Math.max(...this.levels.slice(n * each, (n + 1) * each));
      const high = Math.max(1.5, Math.sqrt(Math.min(1, level)) * (height - 8));
      pen.fillRect(width - (last - n) * 3, (height - high) / 2, 2, high);
    }
  }

  /** Stop; the recording as a file. */
  end() {
    this.drop();
    const stamp = new Date().toTimeString().slice(0, 8).replaceAll(":", ".");
    return new File([wav(this.blocks, this.context.sampleRate)], `recording ${stamp}.wav`, { type: "audio/wav" });
  }

  drop() {
    for (const track of this.stream.getTracks()) track.stop();
    this.context.close();
  }
}
