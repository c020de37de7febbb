// Runs beside the page, where sound is heard: hands the samples of one channel on.

class Microphone extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) {
      const mixed = new Float32Array(input[0].length);
      for (const channel of input) for (let n = 0; n < mixed.length; n++) mixed[n] += channel[n] / input.length;
      this.port.postMessage(mixed, [mixed.buffer]);
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
