// Several sounds heard as one: started, moved and stopped together, each as loud as it should be.

let context = null;
let playing = null; // the one mixer that is heard

const MOST_VALUES = 40e6; // decoded samples that may lie in memory: about 7 minutes of stereo

/** tracks: [{url, seconds, channels}]. Calls `changed` when it starts, stops or cannot go on. */
export class Mixer {
  constructor(tracks, changed) {
    const values = tracks.reduce((sum, one) => sum + one.seconds * one.channels * 48000, 0);
    this.seconds = Math.max(...tracks.map((one) => one.seconds));
    this.engine = values <= MOST_VALUES ? new Decoded(tracks) : new Streamed(tracks);
    this.changed = changed;
    this.at = 0;
    this.state = "stopped"; // stopped | loading | playing
    this.loud = tracks.map(() => 1);
  }

  get position() {
    return this.state === "playing" ? Math.min(this.engine.position(), this.seconds) : this.at;
  }

  async play() {
    if (this.state !== "stopped") return;
    playing?.pause();
    playing = this;
    this.state = "loading";
    this.changed();
    try {
      await this.engine.ready();
      if (this.state !== "loading") return;
      if (this.at >= this.seconds - 0.02) this.at = 0;
      this.engine.mix(this.loud);
      await this.engine.start(this.at);
      if (this.state !== "loading") { this.engine.stop(); return; }
      this.state = "playing";
      this.watch();
      this.changed();
    } catch (problem) {
      this.state = "stopped";
      this.changed(`This sound cannot be played here: ${problem.message}`);
    }
  }

  pause() {
    if (this.state === "stopped") return;
    this.at = this.position;
    if (this.state === "playing") this.engine.stop();
    this.state = "stopped";
    clearTimeout(this.timer);
    if (playing === this) playing = null;
    this.changed();
  }

  /** Move; goes on from there if it was heard. */
  seek(seconds) {
    this.at = Math.min(Math.max(0, seconds), this.seconds);
    if (this.state === "playing") {
      this.engine.stop();
      this.engine.start(Math.min(this.at, this.seconds - 0.01));
    }
  }

  /** loud: one factor a track. */
  mix(loud) {
    this.loud = loud;
    this.engine.mix(loud);
  }

  watch() {
    this.timer = setTimeout(() => {
      if (this.state !== "playing") return;
      if (this.position >= this.seconds - 0.005) {
        this.pause();
        this.at = 0;
        this.changed();
      } else this.watch();
    }, 40);
  }
}

/** Short sounds: decoded, and started on the same sample. */
class Decoded {
  constructor(tracks) {
    this.tracks = tracks;
    this.sources = [];
  }

  ready() {
    context ??= new AudioContext();
    this.loading ??= Promise.all(
      this.tracks.map(async ({ url }) => {
        const answer = await fetch(url);
        if (!answer.ok) {
          throw new Error(answer.status === 404 ? "it is no longer there" : "the service is busy, try again");
        }
        return context.decodeAudioData(await answer.arrayBuffer());
      }),
    ).then((buffers) => {
      this.buffers = buffers;
      this.gains = buffers.map(() => {
        const gain = context.createGain();
        gain.connect(context.destination);
        return gain;
      });
    });
    this.loading.catch(() => { this.loading = null; });
    return this.loading;
  }

  async start(at) {
    if (context.state !== "running") await context.resume();
    this.began = context.currentTime + 0.02;
    this.from = at;
    this.sources = this.buffers.map((buffer, number) => {
      const source = context.createBufferSource();
      source.buffer = buffer;
      source.connect(this.gains[number]);
      if (at < buffer.duration) source.start(this.began, at);
      return source;
    });
  }

  stop() {
    for (const source of this.sources) source.disconnect();
    this.sources = [];
  }

  position() {
    return this.from + Math.max(0, context.currentTime - this.began);
  }

  mix(loud) {
    this.gains?.forEach((gain, number) => gain.gain.setTargetAtTime(loud[number], context.currentTime, 0.008));
  }
}

/** Long sounds: streamed by the browser's own players, which are held together. */
class Streamed {
  constructor(tracks) {
    this.players = tracks.map(({ url }) => {
      const player = new Audio();
      player.preload = "none";
      player.src = url;
      return player;
    });
  }

  async ready() {}

  async start(at) {
    for (const player of this.players) player.currentTime = at;
    await Promise.all(this.players.map((player) => player.play()));
    clearInterval(this.timer);
    this.timer = setInterval(() => {
      const [first, ...others] = this.players;
      for (const other of others) {
        const apart = other.currentTime - first.currentTime;
        if (!other.ended && Math.abs(apart) > 0.04) other.currentTime = first.currentTime;
      }
    }, 700);
  }

  stop() {
    clearInterval(this.timer);
    for (const player of this.players) player.pause();
  }

  position() {
    return Math.max(...this.players.map((player) => player.currentTime));
  }

  mix(loud) {
    this.players.forEach((player, number) => {
      player.muted = loud[number] === 0;
      player.volume = Math.min(1, loud[number]);
    });
  }
}
